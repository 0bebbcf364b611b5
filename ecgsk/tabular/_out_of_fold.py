"""Out-of-fold probabilities."""

from collections.abc import Callable, Iterator
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from ecgsk._core.columns import Columns
from ecgsk._core.metadata import check_folds, fit_arguments
from ecgsk._core.sklearn_compat import safe_indexing


def out_of_fold(
    estimator, X, target, *, cv, groups, sample_weight, n_jobs, random_state, columns: Callable
) -> Iterator[tuple[np.ndarray, Columns, np.ndarray]]:
    """Fit clones on training folds and yield records, columns and probabilities of each test fold.

    ``columns`` returns what the columns of a fitted clone mean.

    scikit-learn's ``cross_val_predict`` refuses recordings that are read from disk, and passes
    groups only with metadata routing. Raises ValueError unless each record is in one test fold.
    """
    strata = _strata(target)
    splitter = _splitter(cv, strata, groups, random_state)
    labels = target if strata is None else strata
    folds = list(splitter.split(np.zeros(len(target)), labels, groups))
    if not folds:
        raise ValueError(f"cv={cv!r} has no folds left: an iterator works only once. Give a list.")
    check_folds(folds, groups, cv)
    times = np.bincount(np.concatenate([test for _, test in folds]), minlength=len(target))
    if (times != 1).any():
        raise ValueError(
            f"cv={cv!r} puts {(times == 0).sum()} of {len(times)} records in no test fold and "
            f"{(times > 1).sum()} in several; each record needs one out-of-fold probability. "
            "Use a splitter that partitions the records."
        )
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_fold)(clone(estimator), X, target, train, test, groups, sample_weight, columns)
        for train, test in folds
    )
    for (_, test), (of_fold, probabilities) in zip(folds, parts, strict=True):
        yield test, of_fold, probabilities


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


def _fold(estimator, X, target, train, test, groups, sample_weight, columns):
    weights, patients = (
        None if values is None else safe_indexing(values, train)
        for values in (sample_weight, groups)
    )
    estimator.fit(
        safe_indexing(X, train),
        safe_indexing(target, train),
        **fit_arguments(estimator, groups=patients, sample_weight=weights),
    )
    known = columns(estimator)
    return known, known.table(estimator.predict_proba(safe_indexing(X, test)))
