"""
Low ejection fraction from the 12-lead ECG, with a glass box
============================================================

Recordings become named probabilities of ECG findings, and an explainable boosting machine reads
those. The recordings are synthetic, with a planted ejection fraction, so that the best possible
answer is known. Runs in under a minute on two cores.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from interpret.glassbox import ExplainableBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline

from ecgsk import MTECGClassifier, ProbabilityTransformer, make_lef_cohort
from ecgsk.inspection import EBMTermsDisplay, ECGDisplay
from ecgsk.metrics import bootstrap
from ecgsk.preprocessing import BandPass

parser = argparse.ArgumentParser()
parser.add_argument("--out", default="example-output")
parser.add_argument("--records", type=int, default=1200)
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)

# %%
# Recordings: (records, leads, samples) in mV. Patients have one or several, and stay together.
cohort = make_lef_cohort(options.records, sampling_rate=100, random_state=0)
train, test = next(
    GroupShuffleSplit(1, test_size=0.3, random_state=0).split(cohort.data, groups=cohort.groups)
)
findings = pd.DataFrame(cohort.diagnoses, columns=cohort.diagnosis_names)

# %%
# One Pipeline. The network learns the findings; its out-of-fold probabilities reach the glass
# box, which learns the question from them.
network = MTECGClassifier(
    "small",
    sampling_rate=100,
    max_epochs=10,
    learning_rate=2e-3,
    precision="float32",
    random_state=0,
)
pipeline = make_pipeline(
    BandPass(0.5, 40, sampling_rate=100),
    ProbabilityTransformer(network, cv=2, scale="logit", random_state=0),
    ExplainableBoostingClassifier(interactions=0, max_bins=32, min_samples_leaf=20),
)
pipeline.fit(
    cohort.data[train],
    cohort.target[train],
    probabilitytransformer__diagnoses=findings.iloc[train],
    probabilitytransformer__groups=cohort.groups[train],
)

# %%
# How well, on patients that it has not seen, and how well at best.
answers = pipeline.predict_proba(cohort.data[test])[:, 1]
for name, score in {"Pipeline": answers, "best possible": cohort.oracle[test]}.items():
    estimate = bootstrap(
        roc_auc_score, cohort.target[test], score, groups=cohort.groups[test], random_state=0
    )
    print(f"AUROC, {name}: {estimate}")

# %%
# Why: the terms of the glass box, and the record that it is surest of.
terms = EBMTermsDisplay.from_estimator(pipeline[-1], n_terms=6)
terms.figure_.savefig(out / "terms.png", dpi=120)
surest = test[np.argmax(answers)]
record = ECGDisplay.from_record(
    cohort.data[surest], sampling_rate=100, title=f"P(low EF) = {answers.max():.2f}"
)
record.figure_.savefig(out / "ecg.png", dpi=120)
