"""A search over a shared study, run by the tests in processes of their own."""

import os
from pathlib import Path

from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from ecgsk.model_selection import OptunaSearchCV
from tests._processes import die, wait_until

# No part of the search: the file that fits are written to, and what happens after one.
LOG, TOGETHER, DIES_AFTER = "TEST_LOG", "TEST_TOGETHER", "TEST_DIES_AFTER"


class Logged(ClassifierMixin, BaseEstimator):
    """Logistic regression that writes down what it fits."""

    def __init__(self, C=1.0):
        self.C = C

    def fit(self, X, y):
        with open(os.environ[LOG], "a") as file:
            file.write(f"{os.getpid()} {len(X)} {self.C!r}\n")
        after_fit(os.environ[LOG])
        self.model_ = LogisticRegression(C=self.C).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def predict(self, X):
        return self.model_.predict(X)


def fits_of(log) -> list[list[str]]:
    """Return process, number of records and C of each fit."""
    return [line.split() for line in Path(log).read_text().splitlines()]


def after_fit(log) -> None:
    mine = sum(pid == str(os.getpid()) for pid, *_ in fits_of(log))
    if os.environ.get(TOGETHER) and mine == 1:
        wait_until(lambda: len({pid for pid, *_ in fits_of(log)}) == 2)
    if str(mine) == os.environ.get(DIES_AFTER):
        die()


def search(storage, log, n_trials=12):
    if storage is not None and storage.startswith("journal:"):
        storage = JournalStorage(JournalFileBackend(storage.removeprefix("journal:")))
    os.environ[LOG] = str(log)
    X, y = make_classification(120, random_state=0)
    found = OptunaSearchCV(
        Logged(),
        {"C": FloatDistribution(1e-3, 1e2, log=True)},
        n_trials=n_trials,
        storage=storage,
        scoring="roc_auc",
        cv=3,
        random_state=0,
    )
    return found.fit(X, y)


def run(connection, storage, log, *, together=False, dies_after=None):
    """Search and send what was found.

    ``together`` makes it wait, in its first fit, until a second process fits as well;
    ``dies_after`` kills it in its fit of that number, while no lock is held.
    """
    os.environ |= {TOGETHER: "yes" * together, DIES_AFTER: str(dies_after)}
    results = search(storage, log).cv_results_
    names = {"C": "param_C", "score": "mean_test_score", "number": "trial_number"}
    names["state"] = "trial_state"
    connection.send({name: results[column].tolist() for name, column in names.items()})
