"""Probabilities of records by classifiers that have not seen them."""

from collections.abc import Iterator
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import has_fit_parameter

from ecgsk._compat import safe_indexing


def out_of_fold(
    estimator, X, target, *, cv, groups, sample_weight, n_jobs, random_state
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Fit clones on the training folds and yield their probabilities of the test folds.

    scikit-learn's ``cross_val_predict`` refuses recordings that are read from disk and does not
    hand groups to the estimator without metadata routing.

    Yields
    ------
    test : ndarray of int
        Records of a test fold.
    classes : ndarray
        The classes that the fold's clone knows.
    probabilities : ndarray of shape (len(test), n_columns)
        What it says of them.

    Raises
    ------
    ValueError
        When the folds do not hold each record once.
    """
    strata = _strata(target)
    splitter = _splitter(cv, strata, groups, random_state)
    folds = list(splitter.split(np.zeros(len(np.asarray(target))), strata, groups))
    times = np.bincount(np.concatenate([test for _, test in folds]), minlength=len(target))
    if (times != 1).any():
        raise ValueError(
            f"cv={cv!r} puts {(times == 0).sum()} of {len(times)} records in no test fold and "
            f"{(times > 1).sum()} in several; every record needs one out-of-fold probability. "
            "Use a splitter that partitions the records."
        )
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_fold)(clone(estimator), X, target, train, test, groups, sample_weight)
        for train, test in folds
    )
    for (_, test), (classes, probabilities) in zip(folds, parts, strict=True):
        yield test, classes, probabilities


def accepted(estimator, **params) -> dict:
    """Return the fit parameters that are given and that the estimator takes."""
    given = {name: value for name, value in params.items() if value is not None}
    if isinstance(estimator, Pipeline):
        if get_config()["enable_metadata_routing"]:
            consumed = get_routing_for_object(estimator).consumes("fit", given)
            return {name: given[name] for name in consumed}
        last = estimator.steps[-1][0]
        return {f"{last}__{k}": v for k, v in accepted(estimator[-1], **given).items()}
    return {name: value for name, value in given.items() if has_fit_parameter(estimator, name)}


def stack_labels(probabilities, classes) -> np.ndarray:
    """Turn the list of arrays that forests give for multilabel targets into one array."""
    if not isinstance(probabilities, list):
        return np.asarray(probabilities)
    columns = []
    for of_label, values in zip(probabilities, classes, strict=True):
        position = np.flatnonzero(np.asarray(values) == 1)
        columns.append(of_label[:, position[0]] if len(position) else np.zeros(len(of_label)))
    return np.stack(columns, axis=1)


def _strata(target) -> np.ndarray | None:
    return np.asarray(target) if type_of_target(target) in ("binary", "multiclass") else None


def _splitter(cv, strata, groups, random_state):
    if not isinstance(cv, Integral):
        return check_cv(cv)
    enough = strata is not None and np.unique(strata, return_counts=True)[1].min() >= cv
    if groups is not None:
        kind = StratifiedGroupKFold if enough else GroupKFold
    else:
        kind = StratifiedKFold if enough else KFold
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return kind(cv, shuffle=True, random_state=seed)


def _fold(estimator, X, target, train, test, groups, sample_weight):
    weights, patients = (
        None if values is None else safe_indexing(values, train)
        for values in (sample_weight, groups)
    )
    estimator.fit(
        safe_indexing(X, train),
        safe_indexing(target, train),
        **accepted(estimator, groups=patients, sample_weight=weights),
    )
    probabilities = estimator.predict_proba(safe_indexing(X, test))
    return estimator.classes_, stack_labels(probabilities, estimator.classes_)
