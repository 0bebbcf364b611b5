"""The predefined folds of PTB-XL."""

from collections.abc import Iterable, Iterator
from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator

from ecgsk._core.checks import check_groups
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import GroupsConsumerMixin


@public("ecgsk.model_selection")
class PTBXLFolds(GroupsConsumerMixin, BaseCrossValidator):
    """Cross-validator for the ten predefined folds of PTB-XL.

    Each fold in ``test`` is the test set of one split. The training set of the split consists of
    the folds in ``train`` without the test fold. By default there is one split, which trains on
    folds 1 to 8 and tests on fold 9. Published results are measured on fold 10; it is only used
    if ``test`` or ``train`` names it.

    Parameters
    ----------
    fold : array-like of int of shape (n_records,)
        Fold of each record, 1 to 10: ``fold`` of the result of `ecgsk.load_ptbxl`, or the column
        ``strat_fold`` of the PTB-XL table.
    test : int or iterable of int, default=9
        Test folds; there is one split for each.
    train : int or iterable of int, default=(1, 2, 3, 4, 5, 6, 7, 8)
        Training folds. Records of folds that are in neither parameter are not used.

    See Also
    --------
    MultilabelStratifiedGroupKFold : Any number of folds of any data.
    sklearn.model_selection.PredefinedSplit : Trains on all records that are not in the test fold.

    Notes
    -----
    ==================  =====================================================================
    Purpose             Splitter
    ==================  =====================================================================
    development         ``PTBXLFolds(fold)``: trains on folds 1-8, tests on fold 9
    cross-validation    ``PTBXLFolds(fold, test=range(1, 9))``: eight splits of folds 1-8
    with fold 9         ``PTBXLFolds(fold, test=range(1, 10), train=range(1, 10))``: nine splits
    final test          ``PTBXLFolds(fold, test=10)``, once; with ``train=range(1, 10)`` it trains
                        on fold 9 as well
    ==================  =====================================================================

    The splitter has no effect on the refit of a search, which uses all records that the search
    gets. Load them with ``load_ptbxl(path, folds=range(1, 10))`` to keep fold 10 out of the refit.

    Use the splitter in the outermost loop only, because ``fold`` belongs to all records and an
    inner loop gets fewer. In an inner loop, use
    ``LeaveOneGroupOut().set_split_request(groups="fold")`` with metadata routing and
    ``params={"fold": fold}``.

    In PTB-XL, no patient has records in two folds. If `split` gets ``groups``, it checks this, and
    does not use them otherwise.

    References
    ----------
    .. [1] P. Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7, 154, 2020.
    .. [2] N. Strodthoff et al., "Deep learning for ECG analysis: benchmarks and insights from
       PTB-XL", IEEE Journal of Biomedical and Health Informatics 25, 1519-1528, 2021.

    Examples
    --------
    >>> from ecgsk.model_selection import PTBXLFolds
    >>> fold = [1, 9, 2, 10, 8, 9]
    >>> [(train.tolist(), test.tolist()) for train, test in PTBXLFolds(fold).split(fold)]
    [([0, 2, 4], [1, 5])]
    >>> PTBXLFolds(fold, test=range(1, 9)).get_n_splits()
    8
    """

    def __init__(self, fold, *, test=9, train=(1, 2, 3, 4, 5, 6, 7, 8)):
        self.fold = fold
        self.test = test
        self.train = train

    def get_n_splits(self, X=None, y=None, groups=None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : ignored
            For compatibility with scikit-learn.

        Returns
        -------
        int
            Number of folds in ``test``.
        """
        return len(_check_folds(self.test, "test"))

    def split(self, X, y=None, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test records of each split.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            The records to which ``fold`` belongs. Only their number is used.
        y : ignored
            For compatibility with scikit-learn.
        groups : array-like of shape (n_records,), default=None
            Patient of each record. No patient may have records in both sets.

        Yields
        ------
        train, test : ndarray of int
            Indices of records, in ascending order.

        Raises
        ------
        ValueError
            If ``X`` and ``fold`` have different lengths, if a fold is not a number from 1 to 10,
            if a training or test set is empty, or if a patient has records in both.
        """
        fold = _check_fold_of_records(self.fold)
        if len(X) != len(fold):
            raise ValueError(
                f"fold has {len(fold)} records, but X has {len(X)}. Give the folds of the records "
                "in X. Use PTBXLFolds in the outermost loop only: inner loops get fewer records."
            )
        groups = check_groups(groups, len(fold))
        train_folds = _check_folds(self.train, "train")
        for test_fold in _check_folds(self.test, "test"):
            train = np.isin(fold, [k for k in train_folds if k != test_fold])
            test = fold == test_fold
            if not train.any() or not test.any():
                raise ValueError(
                    f"test={test_fold} with train={self.train!r} has {train.sum()} training and "
                    f"{test.sum()} test records. Use the folds of these records: "
                    f"{', '.join(map(str, np.unique(fold)))}."
                )
            if groups is not None:
                both = np.intersect1d(groups[train], groups[test])
                if len(both):
                    raise ValueError(
                        f"{len(both)} patients in groups have records both in fold {test_fold} and "
                        "in training folds, but no patient of PTB-XL has. Check that groups and "
                        "fold have the same order."
                    )
            yield np.flatnonzero(train), np.flatnonzero(test)


def _check_fold_of_records(fold) -> np.ndarray:
    array = np.asarray(fold)
    if array.ndim != 1 or not np.isin(array, range(1, 11)).all():
        raise ValueError(
            f"fold of shape {array.shape} with the values {np.unique(array)[:5].tolist()} is not "
            "allowed; give a number from 1 to 10 for each record, such as load_ptbxl(...).fold."
        )
    return array.astype(int)


def _check_folds(folds: int | Iterable[int], name: str) -> list[int]:
    chosen = list(folds) if isinstance(folds, Iterable) else [folds]
    valid = all(isinstance(k, Integral) and not isinstance(k, bool) for k in chosen)
    if not chosen or not valid or not set(chosen) <= set(range(1, 11)):
        raise ValueError(
            f"{name}={folds!r} is not allowed; give an integer from 1 to 10, or several of them "
            "such as range(1, 9)."
        )
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{name}={folds!r} has a fold twice. Give each fold once.")
    return chosen
