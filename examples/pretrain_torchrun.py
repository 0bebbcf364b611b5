"""
Pre-training in several processes
=================================

`torchrun` starts this script once for each GPU of the machine (or twice on a CPU). All of them fit
one network together, and the first one saves it:

    torchrun --standalone --nproc-per-node 2 examples/pretrain_torchrun.py OUT
    torchrun --standalone --nproc-per-node 8 examples/pretrain_torchrun.py OUT \
        --recordings X.npy --sampling-rate 500 --preset ti_12_25 --batch-size 1024 --epochs 100

X.npy holds an array of shape (records, 12, samples) in mV; it is read a batch at a time, and each
process reads its share. Without it the recordings are synthetic and the training is short, which is
no result.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from ecgsk import MTECGClassifier, MTECGPretrainer, RecordArray, make_ecg

parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
parser.add_argument("out", type=Path)
parser.add_argument("--recordings", help=".npy file of shape (records, 12, samples), mV")
parser.add_argument("--sampling-rate", type=float, default=100, help="Hz")
parser.add_argument("--preset", default="nano")
parser.add_argument("--batch-size", type=int, default=32, help="records of a step, all processes")
parser.add_argument("--epochs", type=int, default=2)
options = parser.parse_args()
first = os.environ.get("RANK", "0") == "0"

# %%
# Every process has to be given the same recordings in the same order.
if options.recordings is None:
    X = make_ecg(200, sampling_rate=options.sampling_rate, random_state=0)
else:
    X = RecordArray.wrap(np.load(options.recordings, mmap_mode="r"))

# %%
# Killed, or with one process dead, the same command goes on after the last epoch.
pretrainer = MTECGPretrainer(
    options.preset,
    sampling_rate=options.sampling_rate,
    max_epochs=options.epochs,
    batch_size=options.batch_size,
    distributed=True,
    checkpoint_dir=options.out / "checkpoints",
    random_state=0,
    verbose=2,
).fit(X)

# %%
# Now all processes have the fitted pre-trainer. One file of it is enough.
if first:
    path = options.out / "encoder.safetensors"
    pretrainer.save_weights(path)
    loss = pretrainer.history_[-1]["train_loss"]
    print(f"masked loss {loss:.3f} after {options.epochs} epochs; encoder in {path}")

    # Fine-tuning is for one process.
    model = MTECGClassifier(pretrained=path, sampling_rate=options.sampling_rate, max_epochs=1)
    model.fit(X[:40], np.arange(40) % 2)
