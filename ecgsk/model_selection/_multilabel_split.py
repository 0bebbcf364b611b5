"""Folds that keep patients together and labels apart evenly."""

import warnings
from collections.abc import Iterator
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import type_of_target

from ecgsk._core.checks import check_groups, check_indicator
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import GroupsConsumerMixin, Interval, validate_params

_NAMED_AT_MOST = 8
# Sums of squares that differ by less, relative to what a patient adds alone, are equal.
_ROUNDING = 1e-9


@public("ecgsk.model_selection")
class MultilabelStratifiedGroupKFold(GroupsConsumerMixin, BaseCrossValidator):
    """K folds that keep a patient's records together and have alike shares of every label.

    scikit-learn's ``StratifiedGroupKFold`` does so for one column of classes. Here ``y`` may be an
    indicator matrix: patients with rare labels are dealt out first, each to the fold that lacks
    most of what she has, as iterative stratification [1]_ does with records; then patients move
    as long as that makes the folds more alike.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, 2 or more.
    shuffle : bool, default=False
        Whether patients who have the same labels as often are dealt out in random order instead of
        that of the records.
    random_state : int, RandomState instance or None, default=None
        Seeds the shuffling. An integer makes each call of `split` give the same folds.

    Raises
    ------
    ValueError
        For parameters that are not allowed, and ``random_state`` without ``shuffle``.

    See Also
    --------
    sklearn.model_selection.StratifiedGroupKFold : For a single column of classes.
    PTBXLFolds : The folds that PTB-XL comes with.

    Notes
    -----
    The folds make the sum of ((records of a fold with a label - their mean over folds) / records
    with the label)² small, over folds and labels, where the number of all records counts as a
    label. For a label that more than half of the records have, those without it are counted.

    No move of one patient makes the sum smaller, which does not say that it is the smallest
    possible. In particular, nothing guarantees that a label of as many patients as folds is in each
    of them: there need not be such folds where patients have several labels, and a patient who has
    a large part of all records may keep a label out.

    The folds do not depend on what patients are called, but on the order of the records.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.model_selection import MultilabelStratifiedGroupKFold
    >>> y = np.array([[1, 0], [1, 0], [0, 1], [0, 0], [1, 1], [0, 1], [0, 1], [0, 0]])
    >>> patients = ["a", "a", "b", "b", "c", "c", "d", "d"]
    >>> for train, test in MultilabelStratifiedGroupKFold(2).split(y, y, patients):
    ...     print(test, y[test].sum(axis=0))
    [0 1 2 3] [2 1]
    [4 5 6 7] [1 3]
    """

    @validate_params(
        {
            "n_splits": [Interval(Integral, 2, None, closed="left")],
            "shuffle": ["boolean"],
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(self, n_splits: int = 5, *, shuffle: bool = False, random_state=None):
        if random_state is not None and not shuffle:
            raise ValueError(
                f"random_state={random_state!r} has no effect while shuffle=False. Leave it at "
                "None or set shuffle=True."
            )
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : ignored
            Here for scikit-learn's sake.

        Returns
        -------
        int
            ``n_splits``.
        """
        return self.n_splits

    def split(self, X, y, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the records to train on and to test on, for each fold.

        Parameters
        ----------
        X : array-like of shape (n_records, ...) or None
            Recordings; they are not looked at.
        y : array-like of shape (n_records,) or (n_records, n_labels)
            Classes of any type, or an indicator matrix of 0 and 1, sparse or a DataFrame as well.
        groups : array-like of shape (n_records,)
            Patients.

        Yields
        ------
        train, test : ndarray of int
            Places of records, in ascending order.

        Raises
        ------
        ValueError
            When there are fewer patients than folds, for labels other than 0 and 1, NaN, and
            where there is not one label and one patient for each record.

        Warns
        -----
        UserWarning
            When a label has fewer patients than there are folds.
        """
        check_consistent_length(X, y)
        labels, names = _labels(y)
        if groups is None:
            raise ValueError(
                "groups is None; give a patient for each record, or np.arange(len(y)) where each "
                "record is of another. Some of scikit-learn's meta-estimators hand groups to no "
                "splitter: give them list(splitter.split(X, y, groups))."
            )
        # Numbered as they come, so that names do not matter.
        patient, patients = pd.factorize(check_groups(groups, len(labels)))
        n_patients = len(patients)
        if n_patients < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds cannot be made of {n_patients} groups. "
                "Use fewer folds."
            )
        counts = _count(labels, patient, n_patients)
        _warn_of_few((counts[:, :-1] > 0).sum(axis=0), names, self.n_splits)
        order = np.arange(n_patients)
        if self.shuffle:
            check_random_state(self.random_state).shuffle(order)
        fold = _assign(counts, order, self.n_splits)[patient]
        for test in range(self.n_splits):
            yield np.flatnonzero(fold != test), np.flatnonzero(fold == test)


def _labels(y) -> tuple[np.ndarray, list[str]]:
    """Return a matrix of 0 and 1, one-hot for a column of classes, and what its columns are."""
    if y is None:
        raise ValueError("y is None; give the labels that the folds are to have alike shares of.")
    values = y.toarray() if sparse.issparse(y) else np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    missing = pd.isna(values).any(axis=tuple(range(1, values.ndim)))
    if missing.any():
        raise ValueError(
            f"y is missing (NaN) for {missing.sum()} of {len(values)} records, the first is record "
            f"{np.flatnonzero(missing)[0]}. Leave them out."
        )
    if values.ndim == 2:
        check_indicator(values, "y")
        names = getattr(y, "columns", range(values.shape[1]))
        return values.astype(np.int64), [str(name) for name in names]
    kind = type_of_target(values, input_name="y")
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"y has shape {values.shape} and is {kind}; give one column of classes, or a matrix of "
            "0 and 1 with a column for each label."
        )
    code, classes = pd.factorize(values)
    return np.eye(len(classes), dtype=np.int64)[code], [str(name) for name in classes]


def _count(labels: np.ndarray, patient: np.ndarray, n_patients: int) -> np.ndarray:
    """Return how many records each patient has of each label, and in the last column in all."""
    of_record = np.column_stack([labels, np.ones(len(labels), dtype=np.int64)])
    counts = np.zeros((n_patients, of_record.shape[1]), dtype=np.int64)
    np.add.at(counts, patient, of_record)
    return counts


def _warn_of_few(patients: np.ndarray, names: list[str], n_splits: int) -> None:
    few = np.flatnonzero(patients < n_splits)
    if len(few):
        few = few[np.argsort(patients[few], kind="stable")]
        said = ", ".join(f"{names[k]} ({patients[k]})" for k in few[:_NAMED_AT_MOST])
        warnings.warn(
            f"{len(few)} of {len(names)} labels are of fewer patients than n_splits={n_splits} and "
            f"lack in some folds: {said}{', ...' * (len(few) > _NAMED_AT_MOST)}.",
            UserWarning,
            stacklevel=3,
        )


def _assign(counts: np.ndarray, order: np.ndarray, n_splits: int) -> np.ndarray:
    """Return a fold for each patient such that ``sum(((held - mean) / total) ** 2)`` is small.

    Parameters
    ----------
    counts : ndarray of int of shape (n_patients, n_labels + 1)
        Records of each label, and in all.
    order : ndarray of int of shape (n_patients,)
        Order of patients who are alike.
    n_splits : int
        Number of folds.
    """
    n_records = counts.sum(axis=0)[-1]
    common = 2 * counts[:, :-1].sum(axis=0) > n_records
    counts = counts.astype(float)
    # Of a label that nearly all records have, those without it are what a fold may lack.
    counts[:, :-1][:, common] = counts[:, -1:] - counts[:, :-1][:, common]
    weighted = counts / np.maximum(counts.sum(axis=0), 1) ** 2
    own = (weighted * counts).sum(axis=1)
    held = np.zeros((n_splits, counts.shape[1]))
    fold = np.full(len(counts), -1)
    for patient in order[np.argsort(-own[order], kind="stable")]:
        fold[patient] = _neediest(held, weighted[patient], own[patient])
        held[fold[patient]] += counts[patient]
    _improve(fold, held, counts, weighted, own)
    return fold


def _neediest(held: np.ndarray, weighted: np.ndarray, own: float) -> int:
    """Return the fold that holds least of what a patient has, the one of fewest records of equals.

    The sum of squares grows by ``own + 2 * held @ weighted`` and what is the same for all folds.
    """
    has = np.flatnonzero(weighted)
    cost = held[:, has] @ weighted[has]
    equal = np.flatnonzero(cost <= cost.min() + _ROUNDING * own)
    return int(equal[held[equal, -1].argmin()])


def _improve(fold, held, counts, weighted, own) -> None:
    """Move patients, in place, while a move makes the sum of squares smaller."""
    patients = np.arange(len(fold))
    while True:
        cost = weighted @ held.T
        gain = cost[patients, fold] - own - cost.min(axis=1)
        wanting = np.flatnonzero(gain > _ROUNDING * own)
        moved = 0
        for patient in wanting[np.argsort(-gain[wanting], kind="stable")]:
            # Those who moved before have changed what the folds hold.
            now = fold[patient]
            cost = held @ weighted[patient]
            to = int(cost.argmin())
            if cost[now] - own[patient] - cost[to] > _ROUNDING * own[patient]:
                held[now] -= counts[patient]
                held[to] += counts[patient]
                fold[patient] = to
                moved += 1
        if not moved:
            return
