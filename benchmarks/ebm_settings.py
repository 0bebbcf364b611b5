"""Time the glass box of `make_lef_classifier`, and what its settings lose, at EchoNext's size.

72,475 synthetic records of 26,218 patients and 71 predictors: the log-odds of 14 findings of
`make_lef_cohort`'s model as a network would give them (right to a degree, with noise), and 57
columns that follow others of them or nothing. Both machines are fitted on them in one run and
score patients apart, beside the best possible score. No real ejection fractions are involved.

    python benchmarks/ebm_settings.py                 # library defaults beside ours, about 10 min
    python benchmarks/ebm_settings.py --ours-only     # about a minute
"""

import argparse
import json
import os
import pickle
import platform
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
from interpret.glassbox import ExplainableBoostingClassifier
from sklearn.metrics import roc_auc_score

from ecgsk.datasets._synthetic.lef_cohort import draw_cohort
from ecgsk.tabular import make_lef_classifier


def make_table(n_records: int, n_patients: int, n_predictors: int, seed: int, rng):
    """Return predictors, low EF, patients and the best possible score."""
    cohort = draw_cohort(n_records, n_patients, 0.23, 45.0, rng)
    found = cohort.diagnoses
    n_found = found.shape[1]
    said = np.where(found == 1, 2.0, -4.0) + rng.normal(0, 1.2, found.shape)
    # One network makes the columns of all records: what they mix is the seed's alone.
    of_network = np.random.default_rng([seed, 1])
    mixing = of_network.normal(0, 1, (n_found, n_predictors - n_found))
    mixing *= of_network.random(mixing.shape) < 0.1
    others = (said + 3) @ mixing / 2 + rng.normal(0, 1.5, (n_records, n_predictors - n_found)) - 3
    names = cohort.diagnosis_names + [f"OTHER{i}" for i in range(n_predictors - n_found)]
    table = pd.DataFrame(np.hstack([said, others]), columns=names)
    return table, cohort.target, cohort.groups, cohort.oracle


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=72_475)
    parser.add_argument("--patients", type=int, default=26_218)
    parser.add_argument("--predictors", type=int, default=71)
    parser.add_argument("--test-records", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ours-only", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    X, y, groups, _ = make_table(
        options.records, options.patients, options.predictors, options.seed, rng
    )
    X_test, y_test, _, oracle = make_table(
        options.test_records, options.test_records, options.predictors, options.seed, rng
    )
    ours = make_lef_classifier(random_state=0)["classifier"]
    machines = {"ours": (ours, {"groups": groups})}
    if not options.ours_only:
        machines["library defaults"] = (ExplainableBoostingClassifier(n_jobs=-1), {})
    print(
        f"{len(X)} records of {len(set(groups))} patients, {X.shape[1]} predictors, {y.mean():.1%} "
        f"low EF (synthetic); {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"interpret-core {version('interpret-core')}; seed {options.seed}"
    )
    results = {"best possible": {"auroc": roc_auc_score(y_test, oracle)}}
    for name, (machine, params) in machines.items():
        start = time.perf_counter()
        machine.fit(X, y, **params)
        seconds = time.perf_counter() - start
        area = roc_auc_score(y_test, machine.predict_proba(X_test)[:, 1])
        size = len(pickle.dumps(machine)) / 1e6
        results[name] = {"seconds": seconds, "auroc": area, "pickle_mb": size}
        print(f"{name}: {seconds:.0f} s, AUROC {area:.4f}, pickle {size:.1f} MB", flush=True)
    print(f"best possible: AUROC {results['best possible']['auroc']:.4f}")
    if not options.ours_only:
        lost = results["library defaults"]["auroc"] - results["ours"]["auroc"]
        ratio = results["library defaults"]["seconds"] / results["ours"]["seconds"]
        print(f"ours loses {lost:+.4f} of AUROC and takes 1/{ratio:.1f} of the time")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
