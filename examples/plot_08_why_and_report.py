"""
Why this patient: explanation, leads, and a report to hand over
===============================================================

The answer for one patient is taken apart: which predictors moved it, which spans of the recording
and which leads. Then everything goes into one HTML file that needs no network.

Synthetic records by default; ``--path /data/echonext`` for the real ones. Runs in under a minute.
"""

import argparse
from pathlib import Path

import numpy as np

from ecgsk import load_echonext, make_echonext, make_lef_classifier, save
from ecgsk.inspection import (
    ExplanationDisplay,
    SaliencyDisplay,
    explain_record,
    group_correlated,
    group_explanation,
    group_importances,
    lead_importance,
    make_report,
    saliency,
)

parser = argparse.ArgumentParser()
parser.add_argument("--path", help="folder of EchoNext (default: a synthetic one is made)")
parser.add_argument("--out", default="example-output")
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)
path = options.path or make_echonext(out / "echonext", 1200, random_state=0).path
train, val, test = (load_echonext(path, split=split) for split in ("train", "val", "test"))

model = make_lef_classifier(sampling_rate=250, covariates=["age", "sex"], random_state=0)
model.fit(train.data, train.target, classifier__groups=train.groups)

# %%
# Many of the 71 statements are correlated. The glass box divides the credit among them as chance
# has it, so that a group is to be read before its members.
predictors = model[:-1].transform(test.data)
print(group_importances(model[-1], predictors, min_correlation=0.8).head(5).round(3))

# %%
# The patient that the model is surest of: from the average to this probability, group by group.
surest = int(np.argmax(model[-1].predict_proba(predictors)[:, 1]))
explanation = explain_record(model[-1], predictors.iloc[[surest]])
print(explanation.table.head(5).round(3), f"\nprobability {explanation.probability:.3f}")
grouped = group_explanation(explanation, group_correlated(predictors))
bars = ExplanationDisplay.from_result(grouped, title=f"Record {surest} of test")
bars.figure_.savefig(out / "explanation.png", dpi=120, bbox_inches="tight")

# %%
# Which spans of the recording changed it: each window of 0.2 s is hidden in turn.
record = test.data[surest : surest + 1]
found = saliency(model, record, sampling_rate=250)
shading = SaliencyDisplay.from_result(np.asarray(record), found, sampling_rate=250)
shading.figure_.savefig(out / "saliency.png", dpi=120)

# %%
# Which leads it needs, on some records: how much the AUROC falls when a lead is another patient's.
some = np.sort(np.concatenate([np.flatnonzero(test.target == k)[:12] for k in (0, 1)]))
leads = lead_importance(model, test.data[some], test.target[some], n_repeats=2, random_state=0)
print(leads.table.sort_values("importance", ascending=False).head(4).round(3))

# %%
# One file to hand over, and the model to go with it, which runs no code when it is loaded.
# ``ecgsk report lef.ecgsk --echonext DIR`` makes such a report from the command line,
# ``ecgsk predict lef.ecgsk RECORDS -o answers.csv`` answers for other recordings.
what = "synthetic records in EchoNext's layout" if test.synthetic else "EchoNext"
report = make_report(
    out / "report.html",
    model,
    test.data,
    test.target,
    data=f"the test split of {what}, EF <= 45 %",
    groups=test.groups,
    validation=(val.data, val.target),
    records=[surest],
    about={"Trained on": f"the train split of {what}"},
    synthetic=test.synthetic,
    n_resamples=200,
)
save(model, out / "lef.ecgsk")
print(f"report in {report.path}")
