"""A search over a shared study, run by the tests in processes of their own."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from ecgsk.model_selection import OptunaSearchCV


class Slow(ClassifierMixin, BaseEstimator):
    """Logistic regression that takes its time and writes down what it fits."""

    def __init__(self, C=1.0, log=None, seconds=0.05):
        self.C = C
        self.log = log
        self.seconds = seconds

    def fit(self, X, y):
        time.sleep(self.seconds)
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {len(X)} {self.C!r}\n")
        self.model_ = LogisticRegression(C=self.C).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def predict(self, X):
        return self.model_.predict(X)


def search(storage, log, n_trials=12, seconds=0.05, **params):
    if storage is not None and storage.startswith("journal:"):
        storage = JournalStorage(JournalFileBackend(storage.removeprefix("journal:")))
    X, y = make_classification(120, random_state=0)
    found = OptunaSearchCV(
        Slow(log=str(log), seconds=seconds),
        {"C": FloatDistribution(1e-3, 1e2, log=True)},
        n_trials=n_trials,
        storage=storage,
        scoring="roc_auc",
        cv=3,
        random_state=0,
        **params,
    )
    return found.fit(X, y)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("storage")
    parser.add_argument("log", type=Path)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.05)
    options = parser.parse_args()
    done = search(options.storage, options.log, options.trials, options.seconds)
    json.dump(
        {
            "C": done.cv_results_["param_C"].tolist(),
            "score": done.cv_results_["mean_test_score"].tolist(),
            "number": done.cv_results_["trial_number"].tolist(),
            "state": done.cv_results_["trial_state"].tolist(),
        },
        sys.stdout,
    )
