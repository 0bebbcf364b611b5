"""How long a search downstream of the extractor takes, and that the extractor is not asked again.

    python benchmarks/lef_search.py --out docs/lef_search.json

A synthetic cohort in EchoNext's layout; the LEF Pipeline with the shipped MTECG as it is, and with
a small MTECG that is fitted in each fold; 25 trials of the EBM's parameters, five folds by patient.
"""

import argparse
import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ecgsk import MTECGClassifier, load_echonext, make_echonext, make_lef_classifier
from ecgsk.model_selection import OptunaSearchCV, search_space

VERSIONS = ("scikit-learn", "optuna", "interpret-core", "torch", "numpy", "skorch")


class Counted(MTECGClassifier):
    """The network, counting what it is asked."""

    fits = 0
    asked = 0

    def fit(self, X, y, **params):
        Counted.fits += 1
        return super().fit(X, y, **params)

    def predict_proba(self, X):
        Counted.asked += len(X)
        return super().predict_proba(X)


def search(extractor, data, args, bags: int = 2, n_trials: int | None = None, **params) -> dict:
    Counted.fits = Counted.asked = 0
    lef = make_lef_classifier(extractor, cv=3, n_jobs=2, random_state=args.seed)
    lef.set_params(classifier__outer_bags=bags)
    space = search_space(lef["classifier"])
    start = time.perf_counter()
    found = OptunaSearchCV(
        lef,
        {f"classifier__{name}": values for name, values in space.items()},
        n_trials=n_trials or args.trials,
        cv=StratifiedGroupKFold(5, shuffle=True, random_state=args.seed),
        scoring="roc_auc",
        random_state=args.seed,
        refit=False,
        error_score="raise",
    ).fit(data.data, data.target, groups=data.groups, **params)
    seconds = time.perf_counter() - start
    scores = found.cv_results_["mean_test_score"]
    in_trials = float(np.sum(found.cv_results_["mean_fit_time"]) * 5)
    return {
        "seconds": round(seconds, 1),
        "seconds_in_fits_of_trials": round(in_trials, 1),
        "trials": len(scores),
        "best_auroc": round(float(scores.max()), 4),
        "worst_auroc": round(float(scores.min()), 4),
        "fits_of_the_network": Counted.fits,
        "records_asked": Counted.asked,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=2000, help="training records")
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--whole-trials", type=int, default=5, help="with all 8 bags")
    parser.add_argument("--epochs", type=int, default=1, help="of the network that is fitted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_echonext(folder, round(args.records / 0.6), random_state=args.seed)
        data = load_echonext(folder, split="train")
        data.data = np.asarray(data.data)
        weights = Counted(weights="ptbxl", sampling_rate=250)
        results = {
            "shipped network, 2 bags while searching": search(weights, data, args),
            "shipped network, 8 bags": search(weights, data, args, 8, args.whole_trials),
        }
        own = Counted("nano", sampling_rate=250, max_epochs=args.epochs, random_state=args.seed)
        findings = data.metadata  # its flags are what the network learns
        flags = [name for name in findings if name.endswith("_flag")][:8]
        results["small network, fitted in each fold, 2 bags"] = search(
            own, data, args, predictors__diagnoses=findings[flags].fillna(0).astype(int)
        )
    said = {
        "what": f"{len(data.data)} synthetic records in EchoNext's layout, {args.trials} trials, "
        "5 folds by patient",
        "seed": args.seed,
        "cores": 2,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "results": results,
    }
    text = json.dumps(said, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
