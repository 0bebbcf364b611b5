"""How long GridSearchCV takes behind the shipped network, with and without ``memory``.

    python benchmarks/tuning_memory.py --out docs/tuning_memory.json

A synthetic cohort; the LEF Pipeline with the shipped MTECG and a logistic regression; eight
candidates and five folds by patient, in one process. The scores have to be the same.
"""

import argparse
import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV, GroupKFold

from ecgsk import MTECGClassifier, make_lef_classifier, make_lef_cohort

VERSIONS = ("scikit-learn", "torch", "numpy")


class Counted(MTECGClassifier):
    """The network, with a count of the recordings that it computes."""

    computed = 0

    def predict_proba(self, X):
        Counted.computed += len(X)
        return super().predict_proba(X)


def search(data, args, memory: str | None) -> tuple[dict, np.ndarray]:
    Counted.computed = 0
    lef = make_lef_classifier(
        Counted.from_pretrained(sampling_rate=100), classifier="logistic", memory=memory
    )
    grid = {"classifier__C": np.logspace(-3, 1, args.candidates).tolist()}
    start = time.perf_counter()
    found = GridSearchCV(lef, grid, cv=GroupKFold(args.folds), scoring="roc_auc").fit(
        data.data, data.target, groups=data.groups
    )
    seconds = round(time.perf_counter() - start, 2)
    scores = found.cv_results_["mean_test_score"]
    return {"seconds": seconds, "recordings_computed": Counted.computed}, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=300)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = make_lef_cohort(args.records, sampling_rate=100, random_state=args.seed)
    with tempfile.TemporaryDirectory() as folder:
        first, scores = search(data, args, folder)
        again, scores_again = search(data, args, folder)
    without, expected = search(data, args, None)
    report = {
        "what": f"{len(data.data)} synthetic recordings, {args.candidates} candidates, "
        f"{args.folds} folds by patient",
        "seed": args.seed,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "results": {"without memory": without, "with memory": first, "the same again": again},
        "ratio": round(without["seconds"] / first["seconds"], 1),
        "ratio again": round(without["seconds"] / again["seconds"], 1),
        "scores are equal": bool(
            np.array_equal(scores, expected) and np.array_equal(scores_again, expected)
        ),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
