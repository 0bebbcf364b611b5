"""
The answers of other models as predictors
=========================================

A network of your own, one of another group and a table from the manufacturer of the ECG device
contain different knowledge. Here all three are predictors of one glass box. We will:

1. make a network of another group: an ONNX file, another sampling rate, microvolt, other leads,
2. make it a classifier, and compare it with what its authors computed,
3. see what is refused,
4. join a table of the manufacturer, with missing values and decisions in words,
5. cross-validate all of them by patient, alone and together, and see what the glass box uses,
6. save everything in one file, so that the file of the network is no longer needed.

The recordings are synthetic and the networks small: this shows how the pieces fit together and is
no result. It needs the extra ``onnx`` and runs in about 20 seconds.
"""

import argparse
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn import config_context
from sklearn.model_selection import StratifiedGroupKFold, cross_validate
from torch import nn

from ecgsk import (
    ONNXClassifier,
    RecordArray,
    load,
    make_lef_classifier,
    make_lef_cohort,
    save,
)
from ecgsk.inspection import EBMTermsDisplay
from ecgsk.preprocessing import Resample
from ecgsk.tabular import GroupedEBMClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--records", type=int, default=240)
parser.add_argument("--out", default="example-output")
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)


# %%
# 1. The network of the other group. It reads 10 s at 200 Hz in microvolt, eight leads that
# begin with V1, and has the samples before the leads. It was trained on their own recordings, and
# computes probabilities of three findings. All that we get is the file.
class TheirNetwork(nn.Module):
    def __init__(self, n_findings):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(8, 16, 15, stride=4), nn.ReLU(), nn.Conv1d(16, 16, 9, stride=4), nn.ReLU()
        )
        self.head = nn.Linear(32, n_findings)

    def forward(self, x):  # (records, samples, leads), microvolt
        x = self.layers(x.transpose(1, 2) / 1000)
        return self.head(torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)).sigmoid()


THEIR_LEADS = ["V1", "V2", "V3", "V4", "V5", "V6", "I", "II"]
FINDINGS = ["CLBBB", "LVH", "AFIB"]


def as_they_read(ecg):
    """Return recordings at 200 Hz, mV, standard leads, as their network reads them."""
    return torch.tensor(1000 * ecg[:, [6, 7, 8, 9, 10, 11, 0, 1]]).transpose(1, 2)


theirs = make_lef_cohort(200, sampling_rate=200, random_state=7)
columns = [list(theirs.diagnosis_names).index(name) for name in FINDINGS]
targets = torch.tensor(theirs.diagnoses[:, columns], dtype=torch.float32)
torch.manual_seed(0)
network = TheirNetwork(len(FINDINGS))
optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
inputs = as_they_read(theirs.data)
for _ in range(8):
    for rows in torch.randperm(len(inputs)).split(32):
        loss = nn.functional.binary_cross_entropy(network(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    program = torch.onnx.export(
        network.eval(),
        (inputs[:2],),
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("records")},),
    )
program.save(out / "theirs.onnx")

# %%
# 2. The parameters state what the network reads. Our recordings are at 250 Hz, in mV, with the
# twelve leads in standard order; ``Resample`` brings them to 200 Hz, leads are found by name.
# Nothing is fitted.
other = ONNXClassifier(
    out / "theirs.onnx",
    FINDINGS,
    sampling_rate=200,
    leads=THEIR_LEADS,
    unit="uV",
    preprocessing=Resample(250, 200),
)
cohort = make_lef_cohort(options.records, sampling_rate=250, random_state=0)
probabilities = pd.DataFrame(other.predict_proba(cohort.data), columns=other.label_names_)
print(probabilities.head(3).round(3))

# %%
# Always compare some recordings with what the authors computed: a wrong unit or order of leads can
# fit the file. Here we have the network itself.
with torch.inference_mode():
    expected = network(as_they_read(Resample(250, 200).transform(cohort.data[:20])))
print(f"largest difference {np.abs(probabilities[:20] - expected.numpy()).to_numpy().max():.0e}")

# %%
# 3. Parameters that contradict the file or the recordings are errors.
for wrong in (
    {"label_names": ["CLBBB", "LVH"]},
    {"activation": "sigmoid"},
    {"leads": None},
    {"preprocessing": None},
):
    try:
        ONNXClassifier(**{**other.get_params(deep=False), **wrong}).predict_proba(cohort.data)
    except ValueError as error:
        print(f"{wrong}: {str(error).replace(str(out), 'folder')}\n")

# %%
# 4. The manufacturer's table: a measurement, a decision in words and a score, all with gaps. The
# table travels with the recordings. From files, ``join_labels`` does this by the recordings' names.
random = np.random.default_rng(0)
n_records = len(cohort.target)
bundle = cohort.diagnoses[:, list(cohort.diagnosis_names).index("CLBBB")]
table = pd.DataFrame(
    {
        "age": cohort.age,
        "QRS duration": random.normal(95 + 30 * bundle, 20).clip(80, 130).round(),
        "abnormal ECG": np.where(random.random(n_records) < 0.3 + 0.4 * bundle, "yes", "no"),
        "score": (random.random(n_records) + 0.3 * cohort.target).clip(0.1, 0.9),
    }
)
for name in ("QRS duration", "abnormal ECG", "score"):
    table[name] = table[name].where(random.random(n_records) > 0.1)
print(table.head(3))
X = RecordArray.wrap(cohort.data, table=table, sampling_rate=250)

# %%
# 5. Compare them side by side. The networks are not fitted here, so nothing leaks. With ``memory``
# each recording goes through them once. interpret warns of missing values, because its plots do not
# show them; the plots of ecgsk do.
warnings.filterwarnings("ignore", "Missing values detected")
extractors = {"ours": "mtecg", "theirs": other}
covariates = ["age", "QRS duration", "abnormal ECG", "score"]


def glass_box(extractors, covariates):
    """Return the Pipeline of some sources of predictors."""
    return make_lef_classifier(
        extractors,
        classifier=GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=100, n_jobs=1),
        covariates=covariates,
        memory=out / "memory",
        random_state=0,
    )


folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
sources = {
    "our network": (extractors["ours"], []),
    "their network": (other, []),
    "the table": ([], covariates),
    "all of them": (extractors, covariates),
}
with config_context(enable_metadata_routing=True):
    for name, (chosen, chosen_columns) in sources.items():
        scores = cross_validate(
            glass_box(chosen, chosen_columns),
            X,
            cohort.target,
            cv=folds,
            params={"groups": cohort.groups},
            scoring="roc_auc",
        )
        print(f"{name:<14} AUROC {scores['test_score'].mean():.3f}")

# %%
# The importances in the glass box. Names begin with the source of the predictor: ``ours__``,
# ``theirs__``, and ``patient__`` for the table.
model = glass_box(extractors, covariates)
model.fit(X, cohort.target, classifier__groups=cohort.groups)
importances = pd.Series(model[-1].term_importances(), index=model[-1].term_names_)
print(importances.sort_values(ascending=False).head(8).round(3))
display = EBMTermsDisplay.from_estimator(model[-1], n_terms=6)
display.figure_.savefig(out / "other-models.png", dpi=120)

# %%
# 6. One file with everything in it, also the network of the others.
save(model, out / "together.ecgsk", about="A toy of synthetic recordings.")
expected = model.predict_proba(X)
(out / "theirs.onnx").unlink()
again = load(out / "together.ecgsk")
print("the same answers without the file:", np.array_equal(again.predict_proba(X), expected))
