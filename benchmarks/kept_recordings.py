"""What a fit gains where recordings from disk are prepared once instead of in each epoch.

    python benchmarks/kept_recordings.py --out docs/kept_recordings.json

Recordings of 12 x 5000 samples in a memory map; `ECGFounderClassifier` filters them as it reads.
The same fit runs with nothing kept, with the prepared recordings in memory, and with them in a
temporary file, in turns, each in a process of its own. Ratios are of processor time, because other
work may run on the machine; it leaves out waiting for a disk, which the seconds by the clock have.
The networks are small: what is saved is the same for any network, and is a larger share of the
epochs of a fast device. The weights have to be the same.
"""

import argparse
import hashlib
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sklearn
import torch

from ecgsk import ECGFounderClassifier, RecordArray, make_ecg
from ecgsk._training import Trainer
from ecgsk._training.dataset import ECGDataset
from ecgsk._training.kept_recordings import KeptRecordings, keep_recordings
from ecgsk.preprocessing import ECGFounderPreprocessor

VERSIONS = ("scikit-learn", "torch", "numpy", "scipy")
WAYS = ("nothing kept", "kept in memory", "kept in a file")
SHAPE = (12, 5000)


def peak_megabytes() -> float:
    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def one_fit(path: str, way: str, preset: str, epochs: int) -> dict:
    """Return what epochs after the first take, and what reading alone takes."""
    X = RecordArray.wrap(np.load(path, mmap_mode="r"), sampling_rate=500)
    y = np.arange(len(X)) % 2
    if way == "nothing kept":
        KeptRecordings.with_room_for = lambda *args: None
    sklearn.set_config(working_memory=1 if way == "kept in a file" else 1024)
    model = ECGFounderClassifier(
        preset,
        sampling_rate=500,
        max_epochs=epochs,
        device="cpu",
        precision="float32",
        random_state=0,
    )
    ends, after_epoch = [], Trainer.after_epoch

    def noted(trainer):
        after_epoch(trainer)
        ends.append(time.process_time())

    Trainer.after_epoch = noted
    before = peak_megabytes()
    model.fit(X, y)
    peak = peak_megabytes()
    digest = hashlib.sha256()
    for value in model.net_.module_.state_dict().values():
        digest.update(value.numpy().tobytes())
    return {
        "epoch_cpu_s": statistics.median(np.diff(ends)),
        "epoch_s": statistics.median(row["dur"] for row in model.history_[1:]),
        "peak_mb_more": peak - before,
        "read_cpu_ms": reading(X, y),
        "weights": digest.hexdigest(),
    }


def reading(X, y) -> float:
    """Return the milliseconds that reading a record takes in the second epoch."""
    prepared = ECGFounderPreprocessor(sampling_rate=500).transform(X)
    rows = np.random.default_rng(0).permutation(len(X))
    dataset = ECGDataset(prepared, y, np.ones(len(X)), rows)
    with keep_recordings([dataset], 2):
        for _ in range(2):
            start = time.process_time()
            for first in range(0, len(X), 32):
                dataset.__getitems__(list(range(first, min(first + 32, len(X)))))
            seconds = time.process_time() - start
    return 1000 * seconds / len(X)


def in_turns(path: Path, preset: str, args) -> dict:
    """Return medians over the turns, and how many times faster epochs after the first are."""
    turns = []
    for _ in range(args.turns):
        turn = {}
        for way in WAYS:
            one = json.dumps([str(path), way, preset, args.epochs])
            command = [sys.executable, __file__, "--one", one]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            turn[way] = json.loads(done.stdout.splitlines()[-1])
        turns.append(turn)
    found = {}
    for way in WAYS:
        rows = [turn[way] for turn in turns]
        measured = {name: [row[name] for row in rows] for name in rows[0] if name != "weights"}
        found[way] = {name: round(statistics.median(v), 3) for name, v in measured.items()}
        if way != WAYS[0]:
            ratios = [turn[WAYS[0]]["epoch_cpu_s"] / turn[way]["epoch_cpu_s"] for turn in turns]
            found[way]["ratio"] = round(statistics.median(ratios), 2)
            found[way]["ratios"] = [round(ratio, 2) for ratio in ratios]
    found["weights are equal"] = len({turn[way]["weights"] for turn in turns for way in WAYS}) == 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--presets", nargs="+", default=["nano", "small"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one_fit(*args.one)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ecgs.npy"
        mapped = np.lib.format.open_memmap(path, "w+", np.float32, (args.records, *SHAPE))
        for start in range(0, args.records, 64):
            n_records = min(64, args.records - start)
            mapped[start : start + n_records] = make_ecg(n_records, random_state=start)
        mapped.flush()
        results = {preset: in_turns(path, preset, args) for preset in args.presets}
    report = {
        "what": f"{args.records} synthetic recordings of {SHAPE[0]} x {SHAPE[1]} in a memory map, "
        f"ECGFounder's filters, {args.epochs} epochs, batches of 32, medians of {args.turns} turns",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "results": results,
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
