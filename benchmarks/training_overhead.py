"""Time pre-training and fine-tuning against a torch loop written by hand.

    python benchmarks/training_overhead.py [--preset compact] [--device auto] [--records 1024]

Both sides have the same network, data, batch size, precision and optimizer, and run in this
process in turns, so that a machine that slows down slows both. The ratio is throughput of the
estimator over throughput of the loop: 1 means no overhead. Parts of a fit that happen once (checks,
building the network) are not counted, what happens in each step and epoch is.
"""

import argparse
import json
import statistics
from importlib.metadata import version

import numpy as np
import torch
from _by_hand import train

from ecgsk import MTECGClassifier, MTECGPretrainer
from ecgsk._training import resolve_device, resolve_precision
from ecgsk.networks import MTECG, MaskedMTECG

RATE, SECONDS, N_LABELS = 100, 10, 71


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="compact")
    parser.add_argument("--records", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device, training=True)
    random = np.random.default_rng(0)
    X = random.normal(0, 0.2, (options.records, 12, RATE * SECONDS)).astype(np.float32)
    Y = (random.random((options.records, N_LABELS)) < 0.1).astype(int)
    print(
        f"{options.records} recordings of 12 x {RATE * SECONDS}, preset {options.preset}, batches "
        f"of {options.batch_size}, {precision} on {device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, skorch {version('skorch')}",
        flush=True,
    )
    common = {
        "preset": options.preset,
        "sampling_rate": RATE,
        # One epoch to warm up, one to time.
        "max_epochs": 2,
        "batch_size": options.batch_size,
        "device": device,
        "precision": precision,
        "random_state": 0,
    }
    results = {}
    for task, estimator, targets in (
        ("pre-training", MTECGPretrainer(**common), None),
        ("fine-tuning", MTECGClassifier(**common), Y),
    ):
        ours, theirs = [], []
        for _ in range(options.turns):
            fitted = estimator.fit(X, targets)
            ours.append(fitted.history_[-1]["dur"])
            theirs.append(by_hand(fitted, X, targets, options.batch_size, device, precision))
        ratios = [hand / own for own, hand in zip(ours, theirs, strict=True)]
        results[task] = {
            "records_per_s": round(options.records / statistics.median(ours), 1),
            "records_per_s_by_hand": round(options.records / statistics.median(theirs), 1),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
        print(f"{task}: {results[task]}", flush=True)
    print(json.dumps(results))


def by_hand(fitted, X, Y, batch_size, device, precision) -> float:
    """Return the seconds of the second epoch of a plain loop."""
    network = (MTECG if Y is not None else MaskedMTECG)(**fitted.net_.get_params_for("module"))
    return train(network, X, Y, batch_size=batch_size, device=device, precision=precision)


if __name__ == "__main__":
    main()
