"""Folds that keep each patient's records together and spread every label evenly."""

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
from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import GroupsConsumerMixin, Interval, validate_params

_MAX_NAMES_IN_WARNING = 8
# Sums of squares count as equal if they differ by less than this part of a patient's own share.
_ROUNDING = 1e-9


@public("ecgsk.model_selection")
class MultilabelStratifiedGroupKFold(GroupsConsumerMixin, BaseCrossValidator):
    """K-fold cross-validator for multilabel targets with non-overlapping groups of patients.

    All records of a patient are in the same fold, and each label has similar numbers of records in
    all folds. scikit-learn's ``StratifiedGroupKFold`` does this for one column of classes; here
    ``y`` may also be an indicator matrix. Patients with rare labels are assigned first, each to
    the fold with fewest records of the patient's labels. This is iterative stratification [1]_,
    applied to patients instead of records. Then patients move between folds as long as that makes
    the folds more similar.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether patients with the same numbers of each label are assigned in random order. By
        default they are assigned in the order of their records.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling. With an integer, each call of `split` returns the same folds.

    Raises
    ------
    ValueError
        If a parameter is not allowed, or if ``random_state`` is set without ``shuffle``.

    See Also
    --------
    sklearn.model_selection.StratifiedGroupKFold : For a single column of classes.
    PTBXLFolds : The predefined folds of PTB-XL.

    Notes
    -----
    The method minimizes the sum of ((records of a fold with a label - mean over folds) / all
    records with the label)² over folds and labels. The number of records counts as one more
    label. For a label that more than half of the records have, the records without it count.

    No move of one patient makes the sum smaller, but a smaller sum may exist. In particular, a
    label need not occur in every fold, even if it has as many patients as there are folds. There
    may be no such folds if patients have several labels, or if one patient has a large part of
    all records.

    The folds depend on the order of the records, but not on the names of the patients.

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
            For compatibility with scikit-learn.

        Returns
        -------
        int
            ``n_splits``.
        """
        return self.n_splits

    def split(self, X, y, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test records of each fold.

        Parameters
        ----------
        X : array-like of shape (n_records, ...) or None
            Recordings. Only their number is used.
        y : array-like of shape (n_records,) or (n_records, n_labels)
            Classes of any type, or an indicator matrix of 0 and 1: dense, sparse or a DataFrame.
        groups : array-like of shape (n_records,)
            Patient of each record.

        Yields
        ------
        train, test : ndarray of int
            Indices of records, in ascending order.

        Raises
        ------
        ValueError
            If there are fewer patients than folds, if ``y`` has NaN or an indicator other than 0
            and 1, or if ``X``, ``y`` and ``groups`` have different lengths.

        Warns
        -----
        UserWarning
            If a label has fewer patients than there are folds.
        """
        check_consistent_length(X, y)
        labels, names = _labels(y)
        if groups is None:
            raise ValueError(
                "groups=None is not allowed; give the patient of each record, or np.arange(len(y)) "
                "if each record has its own patient. For meta-estimators of scikit-learn that do "
                "not pass groups to a splitter, use cv=list(splitter.split(X, y, groups))."
            )
        # Numbers in the order of the records, so that the names have no effect.
        patient, patients = pd.factorize(check_groups(groups, len(labels)))
        n_patients = len(patients)
        if n_patients < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} is more than the {n_patients} groups. Use fewer folds, "
                "or records of more groups."
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
    """Return the indicator matrix of the labels or classes, and the names of its columns."""
    if y is None:
        raise ValueError("y=None is not allowed; give the labels to stratify by.")
    values = y.toarray() if sparse.issparse(y) else np.asarray(on_host(y, "y"))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    missing = pd.isna(values).any(axis=tuple(range(1, values.ndim)))
    if missing.any():
        raise ValueError(
            f"y is NaN for {missing.sum()} of {len(values)} records, first for record "
            f"{np.flatnonzero(missing)[0]}. Remove these records."
        )
    if values.ndim == 2:
        check_indicator(values, "y")
        names = getattr(y, "columns", range(values.shape[1]))
        return values.astype(np.int64), [str(name) for name in names]
    kind = type_of_target(values, input_name="y")
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"y of shape {values.shape} and type {kind!r} is not allowed; give one column of "
            "classes, or an indicator matrix of 0 and 1 with a column for each label."
        )
    code, classes = pd.factorize(values)
    return np.eye(len(classes), dtype=np.int64)[code], [str(name) for name in classes]


def _count(labels: np.ndarray, patient: np.ndarray, n_patients: int) -> np.ndarray:
    """Return the numbers of records per patient: one column for each label, then all records."""
    indicators = np.column_stack([labels, np.ones(len(labels), dtype=np.int64)])
    counts = np.zeros((n_patients, indicators.shape[1]), dtype=np.int64)
    np.add.at(counts, patient, indicators)
    return counts


def _warn_of_few(patients: np.ndarray, names: list[str], n_splits: int) -> None:
    few = np.flatnonzero(patients < n_splits)
    if len(few):
        few = few[np.argsort(patients[few], kind="stable")]
        named = ", ".join(f"{names[k]} ({patients[k]})" for k in few[:_MAX_NAMES_IN_WARNING])
        warnings.warn(
            f"{len(few)} of {len(names)} labels have fewer patients than n_splits={n_splits} and "
            f"are missing in some folds: {named}{', ...' * (len(few) > _MAX_NAMES_IN_WARNING)}.",
            UserWarning,
            stacklevel=3,
        )


def _assign(counts: np.ndarray, order: np.ndarray, n_splits: int) -> np.ndarray:
    """Return a fold for each patient that makes ``sum(((held - mean) / total) ** 2)`` small.

    ``counts`` (n_patients, n_labels + 1) are numbers of records: with each label, and all.
    ``order`` is that in which patients with equal shares are assigned.
    """
    n_records = counts.sum(axis=0)[-1]
    common = 2 * counts[:, :-1].sum(axis=0) > n_records
    counts = counts.astype(float)
    # For labels that most records have, balance the records without the label instead.
    counts[:, :-1][:, common] = counts[:, -1:] - counts[:, :-1][:, common]
    weighted = counts / np.maximum(counts.sum(axis=0), 1) ** 2
    own = (weighted * counts).sum(axis=1)
    held = np.zeros((n_splits, counts.shape[1]))
    fold = np.full(len(counts), -1)
    for patient in order[np.argsort(-own[order], kind="stable")]:
        fold[patient] = _fold_with_least(held, weighted[patient], own[patient])
        held[fold[patient]] += counts[patient]
    _improve(fold, held, counts, weighted, own)
    return fold


def _fold_with_least(held: np.ndarray, weighted: np.ndarray, own: float) -> int:
    """Return the fold with least of a patient's labels; if several are equal, the smallest one.

    Adding the patient increases the sum of squares by ``own + 2 * held @ weighted`` and a term that
    is the same for all folds.
    """
    has = np.flatnonzero(weighted)
    cost = held[:, has] @ weighted[has]
    equal = np.flatnonzero(cost <= cost.min() + _ROUNDING * own)
    return int(equal[held[equal, -1].argmin()])


def _improve(fold, held, counts, weighted, own) -> None:
    """Move patients between folds, in place, while that makes the sum of squares smaller."""
    patients = np.arange(len(fold))
    while True:
        cost = weighted @ held.T
        gain = cost[patients, fold] - own - cost.min(axis=1)
        candidates = np.flatnonzero(gain > _ROUNDING * own)
        moved = 0
        for patient in candidates[np.argsort(-gain[candidates], kind="stable")]:
            # Earlier moves have changed the folds.
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
