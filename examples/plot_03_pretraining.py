"""
Pre-training without labels, then fine-tuning with few
======================================================

Recordings are plentiful and labels are not. We will:

1. hide half of each recording and let a network fill it in, which needs no labels,
2. look at what it fills in, on a patient that it has not seen,
3. fine-tune it on few labeled recordings, and compare with the same network from a random start.

The recordings are synthetic and the training is short: this shows how the pieces fit together and
is no result. Runs in under a minute on two cores.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from ecgsk import MTECGClassifier, MTECGPretrainer, make_ecg
from ecgsk.inspection import ReconstructionDisplay

parser = argparse.ArgumentParser()
parser.add_argument("--out", default="example-output")
parser.add_argument("--epochs", type=int, default=60, help="of pre-training")
parser.add_argument("--draws", type=int, default=5, help="of the labeled recordings")
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)


# %%
# Recordings of 5 s: (records, leads, samples) in mV, each of another patient. A third have had an
# inferior infarct, which leaves Q waves in II, III and aVF; rate, axis, voltage and body vary.
def recordings(n, seed):
    random = np.random.default_rng(seed)
    infarct = random.random(n) < 1 / 3
    X = make_ecg(
        n,
        sampling_rate=100,
        duration=5,
        heart_rate=random.uniform(55, 95, n),
        axis=random.uniform(-30, 90, n),
        voltage=random.uniform(0.6, 1.3, n),
        t_wave=random.uniform(0.5, 1.3, n),
        body_variation=0.15,
        noise=0.02,
        infarct=["inferior" if there else None for there in infarct],
        random_state=seed,
    )
    return X, infarct.astype(int)


unlabeled, _ = recordings(320, seed=0)
test, test_labels = recordings(400, seed=2)

# %%
# 1. Pre-training. Segments of 0.2 s are masked in all leads at once, so that a neighboring lead
# cannot give the answer away; the loss is taken on those alone. It first stays where filling in a
# flat line puts it, for some hundred steps: a run that ends there has learned nothing yet.
pretrainer = MTECGPretrainer(
    "small",
    sampling_rate=100,
    decoder_width=64,
    max_epochs=options.epochs,
    batch_size=16,
    learning_rate=2e-3,
    precision="float32",
    random_state=0,
)
pretrainer.fit(unlabeled)
for row in pretrainer.history_[9::10]:
    print(f"masked loss after {row['epoch']} epochs: {row['train_loss']:.2f}")
print(f"masked loss on other patients: {-pretrainer.score(test):.2f}")

# %%
# 2. What it fills in. Levels are chosen such that the curve joins what was seen; the deflections
# are the network's.
filled, mask = pretrainer.reconstruct(test[:1], return_mask=True)
display = ReconstructionDisplay.from_result(
    test[0], filled[0], mask[0], sampling_rate=100, title="A patient that the network has not seen"
)
display.figure_.savefig(out / "reconstruction.png", dpi=120)

# %%
# 3. Forty labels, drawn several times: with so few, which ones they are matters as much as where
# the network starts. Both networks have the same size, recipe and seed.
start = MTECGClassifier(
    "small",
    sampling_rate=100,
    max_epochs=20,
    batch_size=8,
    precision="float32",
    random_state=0,
)
starts = {"random": start, "pre-trained": clone(start).set_params(pretrained=pretrainer)}
areas = {name: [] for name in starts}
for draw in range(options.draws):
    few, few_labels = recordings(40, seed=10 + draw)
    for name, model in starts.items():
        score = model.fit(few, few_labels).predict_proba(test)[:, 1]
        areas[name].append(roc_auc_score(test_labels, score))
print(f"AUROC on {len(test)} other patients, from 40 labels, drawn {options.draws} times:")
for name, values in areas.items():
    each = " ".join(f"{value:.3f}" for value in values)
    print(f"    {name + ' start':<18} mean {np.mean(values):.3f}, each {each}")
print("Synthetic recordings and few epochs: this shows the mechanics and is no result.")
