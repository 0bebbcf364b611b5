"""
A pre-trained network on few labels: plain fine-tuning and post-training
========================================================================

A network that has learned many findings is to tell low ejection fraction from a few dozen labeled
recordings. We will:

1. train a small network of ECGFounder's kind on findings, in place of the published weights,
2. fine-tune it plainly, and by post-training: first the head alone (preview linear probing), then
   all weights with stochastic depth and dropout,
3. keep the result in a file, and answer from it with another engine.

The recordings are synthetic and everything is small: this shows how the pieces fit together and is
no result. With the published weights step 1 is ``weights="12-lead"``, and recordings go in as they
are, in mV at any rate. Runs in under a minute on two cores.
"""

# sphinx_gallery_thumbnail_path = 'figures/post-training-gain.png'

import argparse
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from ecgsk import ECGFounderClassifier, make_lef_cohort
from ecgsk.estimators import PostTraining
from ecgsk.preprocessing import BandPass, Standardize

parser = argparse.ArgumentParser()
parser.add_argument("--out", default="example-output")
parser.add_argument("--records", type=int, default=600, help="that the first network learns from")
parser.add_argument(
    "--epochs", type=int, default=8, help="through the whole network, on few labels"
)
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)

# %%
# The small network reads 100 Hz: we prepare the recordings ourselves and say so with
# ``preprocessing="none"``.
before = [BandPass(0.67, 40, sampling_rate=100), Standardize()]


def prepared(cohort):
    X = cohort.data
    for step in before:
        X = step.transform(X)
    return X


others = make_lef_cohort(options.records, sampling_rate=100, random_state=1)
few = make_lef_cohort(120, sampling_rate=100, random_state=2)
test = make_lef_cohort(400, sampling_rate=100, random_state=3)

# %%
# 1. The base: findings of other patients. What has been learned travels in one file.
base = ECGFounderClassifier(
    "small",
    preprocessing="none",
    sampling_rate=100,
    max_epochs=6,
    head_init="prior",
    precision="float32",
    random_state=0,
)
base.fit(prepared(others), others.diagnoses)
base.save_weights(out / "base.safetensors")

# %%
# 2. The same number of passes through the whole network for both; every number of the strategy is a
# parameter that ``GridSearchCV`` can reach. The values that are not given here are second-hand
# accounts of the paper's.
plain = ECGFounderClassifier(
    weights=out / "base.safetensors",
    sampling_rate=100,
    max_epochs=options.epochs,
    learning_rate=5e-4,
    precision="float32",
    random_state=0,
)
post = clone(plain).set_params(strategy=PostTraining(stochastic_depth=0.3, dropout=0.05))
for name, model in {"plain fine-tuning": plain, "post-training": post}.items():
    model.fit(prepared(few), few.target)
    area = roc_auc_score(test.target, model.predict_proba(prepared(test))[:, 1])
    print(f"{name}: AUROC {area:.3f} on {len(test.target)} recordings of others (no result)")
print("stages:", list(dict.fromkeys(row["stage"] for row in post.history_)))

# %%
# 3. From recordings as they are to probabilities: the file holds what comes before the network.
post.save_weights(out / "low-ef.safetensors", preprocessing=before)
loaded = ECGFounderClassifier(weights=out / "low-ef.safetensors", sampling_rate=100)
probability = loaded.predict_proba(test.data)[:, 1]
assert np.allclose(probability, post.predict_proba(prepared(test))[:, 1], atol=1e-5)

# %%
# Another engine, and a file that others read (both need the extra ``onnx``).
try:
    loaded.set_params(backend="onnxruntime")
    difference = abs(loaded.predict_proba(test.data)[:, 1] - probability).max()
    loaded.export(out / "low-ef.onnx")
    print(f"ONNX Runtime differs by {difference:.0e}; wrote {out / 'low-ef.onnx'}")
except ImportError as error:
    print(error)
