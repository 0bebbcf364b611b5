"""Alarms on real recordings, what is noticed of wrong ones, and the cost of looking.

    python benchmarks/signal_checks.py PTBXL [WFDB_FOLDER ...] [--npy NAME=FILE ...] \
        --out docs/signal_checks.json

PTBXL is a folder of PTB-XL; a part is enough. WFDB_FOLDERs hold 12-lead records; .npy files
hold recordings (n, 12, samples) in mV. Recordings are examined as `check_ecg` examines them.
Then PTB-XL's are made wrong in several ways, and each is examined alone, as a single recording is.
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ecgsk import STANDARD_LEADS, MTECGClassifier, load_ptbxl, load_wfdb
from ecgsk._core.signal_doubts import find_doubts

VERSIONS = ("numpy", "torch")


def alarms(X) -> dict:
    kinds = Counter(doubt.kind for doubt in find_doubts(np.asarray(X), STANDARD_LEADS))
    return {"recordings": len(X), "alarms": dict(kinds)}


def random_order(rng):
    order = rng.permutation(12)
    while (order[:6] == np.arange(6)).all():
        order = rng.permutation(12)
    return order


def with_fill_values(rng, x):
    x = x.copy()
    x[:, rng.permutation(x.shape[1])[: x.shape[1] // 50]] = -32.768
    return x


WRONG = {
    "aVL and aVF exchanged": lambda rng, x: x[[0, 1, 2, 3, 5, 4, *range(6, 12)]],
    "order I II V1-V6 III aVR aVL aVF": lambda rng, x: x[[0, 1, *range(6, 12), 2, 3, 4, 5]],
    "any other order": lambda rng, x: x[random_order(rng)],
    "aVR with the opposite sign": lambda rng, x: x * np.where(np.arange(12) == 3, -1, 1)[:, None],
    "a lead copied": lambda rng, x: x[[0, 1, 2, 3, 4, 5, 6, 6, *range(8, 12)]],
    "microvolt": lambda rng, x: x * 1000,
    "volt": lambda rng, x: x / 1000,
    "ten times": lambda rng, x: x * 10,
    "a tenth": lambda rng, x: x / 10,
    "-32.768 mV in 2 % of the samples": with_fill_values,
}


def noticed(X, seed: int) -> dict:
    shares = {}
    for name, change in WRONG.items():
        rng = np.random.default_rng(seed)
        wrong = [change(rng, x).astype(np.float32) for x in X]
        alone = np.mean([bool(find_doubts(x[np.newaxis], STANDARD_LEADS)) for x in wrong])
        shares[name] = {
            "of recordings alone": round(float(alone), 4),
            "of all together": bool(find_doubts(np.stack(wrong), STANDARD_LEADS)),
        }
    return shares


def seconds(function, X) -> float:
    start = time.perf_counter()
    function(X)
    return time.perf_counter() - start


def cost(X, turns: int) -> dict:
    model = MTECGClassifier.from_pretrained("ptbxl")
    looking, predicting = [], []
    model.predict_proba(X)
    for _ in range(turns):
        predicting.append(seconds(model.predict_proba, X))
        looking.append(seconds(lambda X: find_doubts(X, STANDARD_LEADS), X))
    return {
        "ms a recording, predict_proba": round(statistics.median(predicting) / len(X) * 1e3, 3),
        "ms a recording, looking": round(statistics.median(looking) / len(X) * 1e3, 3),
        "share": round(statistics.median(np.divide(looking, predicting)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptbxl")
    parser.add_argument("wfdb", nargs="*")
    parser.add_argument("--npy", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    data = {
        f"PTB-XL, {rate} Hz": load_ptbxl(args.ptbxl, sampling_rate=rate).data for rate in (100, 500)
    }
    first = data["PTB-XL, 100 Hz"]
    others = {
        Path(folder).name: load_wfdb(folder, sampling_rate=500, n_samples=5000).data
        for folder in args.wfdb
    }
    others |= {name: np.load(file) for name, _, file in (item.partition("=") for item in args.npy)}
    report = {
        "seed": args.seed,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "alarms on recordings as they are": {k: alarms(X) for k, X in (data | others).items()},
        "noticed of 500 that were made wrong": noticed(first[:500], args.seed),
        "cost": {name: cost(X[:256], args.turns) for name, X in data.items()},
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
