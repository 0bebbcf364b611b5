"""Time of bootstrap intervals on as many records as EchoNext's test split has.

    python benchmarks/bootstrap_speed.py [--records 5442] [--resamples 1000]

All ten metrics of `evaluate_binary` with their intervals, compared with a loop over scikit-learn's
AUROC and average precision of each resample. Both in one run, in turns; the times are the best of
three. Synthetic scores.
"""

import argparse
import platform
import time
from importlib.metadata import version

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgsk.metrics import evaluate_binary


def loop(y, score, n_resamples):
    random = np.random.RandomState(0)
    values = []
    for _ in range(n_resamples):
        rows = random.randint(len(y), size=len(y))
        values.append(
            (roc_auc_score(y[rows], score[rows]), average_precision_score(y[rows], score[rows]))
        )
    return np.quantile(values, [0.025, 0.975], axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=5442)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    y = random.random(options.records) < 0.177
    score = 1 / (1 + np.exp(2 - 2 * y - random.normal(size=len(y))))
    best = {"evaluate_binary": np.inf, "loop": np.inf}
    for _ in range(3):
        start = time.perf_counter()
        result = evaluate_binary(
            y, score, threshold=0.3, n_resamples=options.resamples, random_state=0
        )
        best["evaluate_binary"] = min(best["evaluate_binary"], time.perf_counter() - start)
        start = time.perf_counter()
        ends = loop(y, score, options.resamples)
        best["loop"] = min(best["loop"], time.perf_counter() - start)
    print(
        f"Python {platform.python_version()}, numpy {version('numpy')}, scikit-learn "
        f"{version('scikit-learn')}; {options.records} records, {options.resamples} resamples"
    )
    print(f"evaluate_binary, ten metrics: {best['evaluate_binary']:.2f} s")
    print(f"loop over scikit-learn, two metrics: {best['loop']:.2f} s "
          f"(ratio {best['loop'] / best['evaluate_binary']:.1f})")  # fmt: skip
    low, high = result.table.loc["AUROC", ["low", "high"]]
    print(f"interval of AUROC: {low:.4f} to {high:.4f}; by the loop {ends[0, 0]:.4f} to "
          f"{ends[1, 0]:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
