"""No patient is ever on both sides, at any level of a nested cross-validation.

The number of the patient is written into the signal, and handed on as a column of the table. So a
model knows whom it was fitted on and who it is asked about, whatever the loops around it believe.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import sklearn
from interpret.glassbox import ExplainableBoostingClassifier
from optuna.distributions import CategoricalDistribution
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedGroupKFold,
    TunedThresholdClassifierCV,
    cross_validate,
)

from ecgsk import MTECGClassifier, OptunaSearchCV, make_lef_classifier
from ecgsk.estimators import EarlyStopping, _classifier
from ecgsk.model_selection import MultilabelStratifiedGroupKFold
from ecgsk.tabular import GroupedEBMClassifier

N_PATIENTS, N_EACH = 24, 3
LEAKS: Counter = Counter()
LOOKS: Counter = Counter()


def numbers_of(X) -> np.ndarray:
    """Return the patients that recordings, or rows of a table, are of."""
    code = X["patient"].to_numpy() if isinstance(X, pd.DataFrame) else np.asarray(X)[:, 0, 0]
    return np.round(code * 1000).astype(int)


class Watched:
    """Notes whom it was fitted on, and counts how often it is asked about one of them."""

    def _note_fit(self, X, y=None, groups=None):
        LOOKS[f"{self.name} fit"] += 1
        self.known_ = set(numbers_of(X))
        if groups is not None:
            # What is routed has been cut as the recordings were.
            np.testing.assert_array_equal(groups, numbers_of(X))

    def _note_asked(self, X):
        LOOKS[f"{self.name} asked"] += 1
        LEAKS[self.name] += bool(self.known_ & set(numbers_of(X)))


class Extractor(Watched, ClassifierMixin, BaseEstimator):
    """Says something of the recording and, as a probability, who the patient is."""

    name = "extractor"

    def fit(self, X, y, groups=None):
        self._note_fit(X, groups=groups)
        np.testing.assert_array_equal(np.asarray(y)[:, 0], X[:, 0, 1] > 0)
        self.classes_ = np.arange(2)
        return self

    def predict_proba(self, X):
        self._note_asked(X)
        return np.column_stack([0.5 + 0.3 * np.tanh(X[:, 0, 2]), X[:, 0, 0]])


class Network(Watched, MTECGClassifier):
    name = "network"

    def fit(self, X, y, *, sample_weight=None, groups=None):
        super().fit(X, y, sample_weight=sample_weight, groups=groups)
        self._note_fit(X, groups=groups)
        return self

    def predict_proba(self, X):
        self._note_asked(X)
        return np.column_stack([super().predict_proba(X)[:, 0], X[:, 0, 0]])


class Judge(Watched, LogisticRegression):
    name = "judge"

    def fit(self, X, y):
        self._note_fit(X)
        return super().fit(X, y)

    def decision_function(self, X):
        self._note_asked(X)
        return super().decision_function(X)


class GlassBox(Watched, GroupedEBMClassifier):
    name = "judge"

    def fit(self, X, y, *, groups=None, bags=None, init_score=None):
        self._note_fit(X, groups=groups)
        return super().fit(X, y, groups=groups, bags=bags, init_score=init_score)

    def predict_proba(self, X, init_score=None):
        self._note_asked(X)
        return super().predict_proba(X, init_score)

    def decision_function(self, X, init_score=None):
        self._note_asked(X)
        return super().decision_function(X, init_score)


@pytest.fixture(autouse=True)
def watch(monkeypatch):
    """Look at the splits that are made inside a fit: early stopping's and those of bags."""
    LEAKS.clear()
    LOOKS.clear()
    run, fit = _classifier.Trainer, ExplainableBoostingClassifier.fit

    def watched_run(net, stages, train, valid, **params):
        if valid is not None:
            LOOKS["early stopping"] += 1
            sides = [set(numbers_of(part.X[part.rows])) for part in (train, valid)]
            LEAKS["early stopping"] += bool(sides[0] & sides[1])
        return run(net, stages, train, valid, **params)

    def watched_fit(self, X, y, sample_weight=None, bags=None, init_score=None):
        # Without bags interpret draws its own, record by record.
        LEAKS["bags"] += bags is None
        for bag in () if bags is None else bags.T:
            LOOKS["bags"] += 1
            sides = [set(numbers_of(X[bag == side])) for side in (1, -1)]
            LEAKS["bags"] += bool(sides[0] & sides[1]) or not sides[1]
        return fit(self, X, y, bags=bags, init_score=init_score)

    monkeypatch.setattr(_classifier, "Trainer", watched_run)
    monkeypatch.setattr(ExplainableBoostingClassifier, "fit", watched_fit)
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    # In no order: neighbors are not records of one patient.
    groups = random.permutation(np.repeat(np.arange(N_PATIENTS), N_EACH))
    X = random.normal(scale=0.2, size=(len(groups), 1, 50)).astype(np.float32)
    X[:, 0, 0] = groups / 1000
    y = groups % 2
    X[:, 0, 2] += 0.2 * y
    diagnoses = pd.DataFrame({"finding": X[:, 0, 1] > 0, "patient": groups % 3 == 0}).astype(int)
    return X, y, {"groups": groups, "diagnoses": diagnoses}


def pipeline(extractor=None, judge=None):
    return make_lef_classifier(
        extractor or Extractor(),
        classifier=judge or Judge(),
        scale="probability",
        cv=2,
        random_state=0,
    )


def glass_box():
    return GlassBox(interactions=0, outer_bags=3, max_rounds=3, validation_size=0.3, n_jobs=1)


def network(**params):
    return Network(
        {"preset": "nano", "patch_size": 10},
        sampling_rate=100,
        max_epochs=1,
        early_stopping=EarlyStopping(validation_fraction=0.3),
        precision="float32",
        random_state=0,
        **params,
    )


SEARCHES = {
    "grid": lambda model, space, cv: GridSearchCV(
        model, space, cv=cv, scoring="roc_auc", error_score="raise"
    ),
    "optuna": lambda model, space, cv: OptunaSearchCV(
        model,
        {name: CategoricalDistribution(values) for name, values in space.items()},
        n_trials=3,
        cv=cv,
        scoring="roc_auc",
        error_score="raise",
        random_state=0,
    ),
}
SPACES = {
    "judge": {"classifier__C": [0.1, 1.0]},
    # A candidate that changes the front fits it anew, one that does not may share what it said.
    "front": {"predictors__scale": ["probability"], "predictors__cv": [2, 3]},
}


def nested(search, data, *, model=None, space="judge", inner=None, outer=None):
    X, y, metadata = data
    searched = SEARCHES[search](
        pipeline() if model is None else model,
        SPACES[space] if isinstance(space, str) else space,
        StratifiedGroupKFold(2) if inner is None else inner,
    )
    outer = MultilabelStratifiedGroupKFold(2) if outer is None else outer
    return cross_validate(
        searched, X, y, cv=outer, params=metadata, error_score="raise", return_indices=True
    )


@pytest.mark.parametrize("search", list(SEARCHES))
@pytest.mark.parametrize("space", list(SPACES))
def test_no_patient_is_on_both_sides(search, space, data):
    found = nested(search, data, space=space)
    assert not LEAKS.total()
    # Two outer folds; in each two candidates on two inner folds and a refit; in each of these one
    # fit on all and two or three out of fold. A search may ask the front less often.
    assert LOOKS["judge fit"] == 2 * (2 * 2 + 1) or search == "optuna"
    assert LOOKS["judge fit"] >= 2 * (2 + 1) and LOOKS["extractor fit"] >= 2 * 3 * 3
    if search == "grid":
        assert LOOKS["extractor fit"] >= LOOKS["judge fit"] * 3
    tested = np.concatenate(found["indices"]["test"])
    assert sorted(tested) == list(range(len(data[1])))


def test_no_patient_is_on_both_sides_of_a_bag(data):
    nested("grid", data, model=pipeline(judge=glass_box()), space={"classifier__max_rounds": [3]})
    assert LOOKS["bags"] == 3 * LOOKS["judge fit"] == 3 * 2 * 3
    assert not LEAKS.total()


@pytest.mark.parametrize("search", list(SEARCHES))
def test_no_patient_is_on_both_sides_of_early_stopping(search, data):
    space = {"predictors__estimator__learning_rate": [1e-2]}
    nested(search, data, model=pipeline(network()), space=space)
    assert LOOKS["early stopping"] == LOOKS["network fit"] == 2 * 3 * 3
    assert not LEAKS.total()


WRAPPERS = {
    "calibration": lambda model, cv: CalibratedClassifierCV(model, cv=cv, ensemble=True),
    "calibration of one": lambda model, cv: CalibratedClassifierCV(model, cv=cv, ensemble=False),
    "threshold": lambda model, cv: TunedThresholdClassifierCV(model, cv=cv, thresholds=4),
}


@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_no_patient_is_on_both_sides_of_calibration_and_thresholds(wrapper, data):
    model = WRAPPERS[wrapper](pipeline(), StratifiedGroupKFold(3))
    nested("grid", data, model=model, space={"estimator__classifier__C": [0.1, 1.0]})
    assert LOOKS["judge asked"] >= 2 * (2 * 2 + 1) * 3
    assert not LEAKS.total()


def forgetful(model, step: int):
    """Return a pipeline, a step of which is not told of patients."""
    model[step].set_fit_request(groups=False)
    return model


BY_RECORD = KFold(2)
MISTAKES = {
    "the outer split": (lambda data: nested("grid", data, outer=BY_RECORD), {"extractor", "judge"}),
    "the search": (lambda data: nested("grid", data, inner=BY_RECORD), {"extractor", "judge"}),
    "out-of-fold probabilities": (
        lambda data: nested("grid", data, model=forgetful(pipeline(), 0)),
        {"extractor"},
    ),
    "early stopping": (
        lambda data: nested(
            "grid",
            data,
            model=forgetful(pipeline(network()), 0),
            space={"predictors__estimator__max_epochs": [1]},
        ),
        {"early stopping", "network"},
    ),
    "bags": (
        lambda data: nested(
            "grid",
            data,
            model=forgetful(pipeline(judge=glass_box()), -1),
            space={"classifier__max_rounds": [3]},
        ),
        {"bags"},
    ),
    **{
        wrapper: (
            lambda data, wrapper=wrapper: nested(
                "grid",
                data,
                model=WRAPPERS[wrapper](pipeline(), KFold(3)),
                space={"estimator__classifier__C": [1.0]},
            ),
            {"extractor", "judge"},
        )
        for wrapper in WRAPPERS
    },
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_split_by_record_would_be_seen(mistake, data):
    make, where = MISTAKES[mistake]
    make(data)
    assert {name for name, count in LEAKS.items() if count} == where


def test_the_search_by_optuna_refuses_a_split_by_record(data):
    with pytest.raises(ValueError, match="OptunaSearchCV splits with cv=KFold.*ignores groups"):
        nested("optuna", data, inner=BY_RECORD)
