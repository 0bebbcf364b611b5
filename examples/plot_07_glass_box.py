"""
A glass box for low ejection fraction, evaluated whole
======================================================

71 probabilities, age and sex go into an explainable boosting machine. We will fit it with patients
kept together, choose its threshold on other records than those it is judged on, compare it with a
logistic regression on the same resamples, look at calibration, move it to a clinic with another
prevalence, and look at subgroups.

Synthetic records by default; ``--path /data/echonext`` for the real ones. Runs in under a minute.
"""

import argparse
from pathlib import Path

from ecgsk import load_echonext, make_echonext, make_lef_classifier
from ecgsk.inspection import EBMTermsDisplay, EvaluationDisplay, SubgroupsDisplay
from ecgsk.metrics import (
    calibration_metrics,
    choose_threshold,
    compare_models,
    evaluate_binary,
    evaluate_subgroups,
    shift_prevalence,
)

parser = argparse.ArgumentParser()
parser.add_argument("--path", help="folder of EchoNext (default: a synthetic one is made)")
parser.add_argument("--out", default="example-output")
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)
path = options.path or make_echonext(out / "echonext", 1200, random_state=0).path
train, val, test = (load_echonext(path, split=split) for split in ("train", "val", "test"))
where = "synthetic records" if test.synthetic else "EchoNext"

# %%
# A plain Pipeline. Its first step, the network, takes most of the time. With ``memory`` its
# probabilities are kept on disk, so that it computes each recording once for both models.
glass_box, logistic = (
    make_lef_classifier(
        "mtecg",
        classifier=kind,
        sampling_rate=train.sampling_rate,
        covariates=["age", "sex"],
        memory=str(out / "memory"),
        random_state=0,
    )
    for kind in ("ebm", "logistic")
)
glass_box.fit(train.data, train.target, classifier__groups=train.groups)
logistic.fit(train.data, train.target)
print(glass_box)

# %%
# The threshold comes from val, the metrics from test.
chosen = glass_box.predict_proba(val.data)[:, 1]
threshold = choose_threshold(val.target, chosen, rule="f1")
answers = {
    "EBM": glass_box.predict_proba(test.data)[:, 1],
    "logistic regression": logistic.predict_proba(test.data)[:, 1],
}
y, patients = test.target, test.groups
print(f"EBM on test, {where}, threshold {threshold:.3f} (greatest F1 on val):")
result = evaluate_binary(y, answers["EBM"], threshold=threshold, groups=patients)
print(result.table.round(3))

# %%
# Is one better than the other? On the same patients, resampled together.
paired = compare_models(y, *answers.values(), groups=patients, random_state=0)
print(f"AUROC of EBM less logistic regression: {paired.difference}, p = {paired.p_value:.2f}")
curves = EvaluationDisplay.from_predictions(y, answers, title=where)
curves.figure_.savefig(out / "evaluation.png", dpi=120)

# %%
# Do the probabilities mean what they say, and what would they be where fewer patients have it?
print(calibration_metrics(y, answers["EBM"], groups=patients, random_state=0).table.round(3))
elsewhere = shift_prevalence(answers["EBM"], trained_at=train.target.mean(), used_at=0.05)
print(f"Mean probability {answers['EBM'].mean():.3f}; at a prevalence of 5 %: "
      f"{elsewhere.mean():.3f}")  # fmt: skip

# %%
# Subgroups. Those of few records have wide intervals, and those of one class no AUROC.
sex = test.covariates["sex"].map({0: "male", 1: "female"})
by = test.covariates.assign(sex=sex, setting=test.metadata["location_setting"])
subgroups = evaluate_subgroups(
    y, answers["EBM"], by, bins={"age": [50, 65, 80]}, groups=patients, random_state=0
)
print(subgroups.table.round(3).to_string())
forest = SubgroupsDisplay.from_result(subgroups, title=where)
forest.figure_.savefig(out / "subgroups.png", dpi=120, bbox_inches="tight")

# %%
# What the glass box has learned: each curve is what one predictor adds to the log-odds.
terms = EBMTermsDisplay.from_estimator(glass_box[-1], n_terms=6)
terms.figure_.savefig(out / "lef-terms.png", dpi=120)
