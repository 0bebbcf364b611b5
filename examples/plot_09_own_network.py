"""
Your own network as an estimator
================================

Any torch module can be an estimator of this package. It needs a method ``features`` and a linear
layer ``head``. We will:

1. write a small convolutional network,
2. fit it, choose its width with GridSearchCV, and keep the recordings of a patient together,
3. use it where MTECG or ECGFounder would stand: behind it, an EBM reads its probabilities,
4. keep its weights in a file, and predict from the file.

The recordings are synthetic and everything is small: this shows how the pieces fit together and is
no result. It runs in under a minute on two cores.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from torch import nn

from ecgsk import NetworkClassifier, ProbabilityTransformer, make_lef_cohort
from ecgsk.tabular import GroupedEBMClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--out", default="example-output")
out = Path(parser.parse_args().out)
out.mkdir(parents=True, exist_ok=True)


# %%
# 1. The network. ``n_leads``, ``n_samples`` and ``n_outputs`` come from the data; other arguments
# are yours.
class SmallCNN(nn.Module):
    """Convolutions of stride 4 along time, the mean over time, and a linear head."""

    def __init__(self, n_leads, n_samples, n_outputs, *, width=16):
        super().__init__()
        layers, n_channels = [], n_leads
        for _ in range(3):
            layers += [nn.Conv1d(n_channels, width, 9, stride=4, padding=4), nn.ReLU()]
            n_channels = width
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Linear(width, n_outputs)

    def features(self, x):
        return self.convolutions(x).mean(dim=2)

    def forward(self, x):
        return self.head(self.features(x))


# %%
# 2. The estimator. Strategies, early stopping, checkpoints, devices and augmentation are those of
# the other networks.
cohort = make_lef_cohort(400, sampling_rate=100, random_state=0)
test = make_lef_cohort(200, sampling_rate=100, random_state=1)
findings = pd.DataFrame(cohort.diagnoses, columns=cohort.diagnosis_names)

network = NetworkClassifier(
    SmallCNN,
    sampling_rate=100,
    max_epochs=8,
    learning_rate=5e-3,
    precision="float32",
    random_state=0,
)
search = GridSearchCV(
    network,
    {"network__width": [8, 32]},
    scoring="roc_auc",
    cv=StratifiedGroupKFold(3, shuffle=True, random_state=0),
)
search.fit(cohort.data, cohort.target, groups=cohort.groups)
print("best width", search.best_params_["network__width"])
print(f"AUROC {roc_auc_score(test.target, search.predict_proba(test.data)[:, 1]):.3f}")

# %%
# 3. The network learns findings, out of fold and by patient, and an EBM reads their probabilities.
model = make_pipeline(
    ProbabilityTransformer(network, cv=2, scale="logit"),
    GroupedEBMClassifier(interactions=0, outer_bags=2, random_state=0),
)
model.fit(
    cohort.data,
    cohort.target,
    probabilitytransformer__diagnoses=findings,
    probabilitytransformer__groups=cohort.groups,
)
print(f"AUROC of the EBM {roc_auc_score(test.target, model.predict_proba(test.data)[:, 1]):.3f}")

# %%
# 4. Weights in a file. The file holds tensors and numbers, no code: give the class again.
network = search.best_estimator_
network.save_weights(out / "small-cnn.safetensors")
again = NetworkClassifier(SmallCNN, weights=out / "small-cnn.safetensors", sampling_rate=100)
np.testing.assert_allclose(
    again.predict_proba(test.data), network.predict_proba(test.data), atol=1e-6
)
