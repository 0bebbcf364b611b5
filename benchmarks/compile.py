"""Time training steps with and without torch.compile.

    python benchmarks/compile.py [--records 160] [--turns 3] [--device auto] [--out FILE]

Both sides are fits of an estimator in this process, in turns, so that a machine that slows down
slows both. The steps of the last of two epochs are timed, all of full batches; the ratio is steps
per second with ``compile=True`` over those without. What compiling took is how much longer the
first epoch of the first compiled fit was than that of the first fit without it. torch would find
compiled code of earlier runs in its folder, so the script uses an empty one.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ecgsk import ECGFounderClassifier, MTECGClassifier, make_ecg
from ecgsk._training import resolve_device, resolve_precision

RATE, SECONDS, SEED = 100, 10, 0
VERSIONS = ("ecgsk", "torch", "skorch", "numpy")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--mtecg", default="small")
    parser.add_argument("--ecgfounder", default="small")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device, training=True)
    X = make_ecg(options.records, sampling_rate=RATE, duration=SECONDS, random_state=SEED)
    y = np.arange(options.records) % 2
    about = (
        f"{options.records} synthetic recordings of 12 x {RATE * SECONDS}, batches of "
        f"{options.batch_size}, {precision} on {device}, medians of {options.turns} turns"
    )
    print(about, flush=True)
    common = {
        "sampling_rate": RATE,
        "max_epochs": 2,
        "batch_size": options.batch_size,
        "device": device,
        "precision": precision,
        "random_state": SEED,
    }
    models = {
        f"MTECG {options.mtecg}": MTECGClassifier(options.mtecg, **common),
        f"Net1D {options.ecgfounder}": ECGFounderClassifier(
            options.ecgfounder, preprocessing="none", **common
        ),
    }
    n_steps = -(-options.records // options.batch_size)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        for name, model in models.items():
            seconds = {False: [], True: []}
            for _ in range(options.turns):
                for compiled, found in seconds.items():
                    model.set_params(compile=compiled).fit(X, y)
                    found.append([row["dur"] for row in model.history_])
            first = {compiled: found[0][0] for compiled, found in seconds.items()}
            steady = {c: [epochs[1] for epochs in found] for c, found in seconds.items()}
            ratios = [a / b for a, b in zip(steady[False], steady[True], strict=True)]
            results[name] = {
                "steps_per_s": round(n_steps / statistics.median(steady[False]), 3),
                "steps_per_s_compiled": round(n_steps / statistics.median(steady[True]), 3),
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(ratio, 3) for ratio in ratios],
                "compiling_s": round(first[True] - first[False], 1),
            }
            print(f"{name}: {results[name]}", flush=True)
    report = {
        "what": about,
        "seed": SEED,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "results": results,
    }
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
