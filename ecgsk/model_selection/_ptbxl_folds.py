"""The folds that PTB-XL comes with."""

from collections.abc import Iterable, Iterator
from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator

from ecgsk._core.checks import check_groups
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import GroupsConsumerMixin


@public("ecgsk.model_selection")
class PTBXLFolds(GroupsConsumerMixin, BaseCrossValidator):
    """Splits along the ten folds that PTB-XL comes with.

    Each fold of ``test`` is tested on in turn, after training on those of ``train`` that are not
    tested on. By default that is one split: train on folds 1 to 8, look at fold 9. Fold 10, on
    which published figures are measured, is used where it is named and nowhere else.

    Parameters
    ----------
    fold : array-like of int of shape (n_records,)
        Fold of each record, 1 to 10: ``fold`` of what `ecgsk.load_ptbxl` returns, or the column
        ``strat_fold``.
    test : int or iterable of int, default=9
        Folds to test on, a split for each.
    train : int or iterable of int, default=(1, 2, 3, 4, 5, 6, 7, 8)
        Folds to train on. Records of the others are left out.

    See Also
    --------
    MultilabelStratifiedGroupKFold : Folds of any number, of any records.
    sklearn.model_selection.PredefinedSplit : Trains on all that is not tested on.

    Notes
    -----
    ======================  =================================================================
    to develop              ``PTBXLFolds(fold)``: train on 1-8, look at 9
    to cross-validate       ``PTBXLFolds(fold, test=range(1, 9))``: eight splits; 9 and 10 rest
    all but the test fold   ``PTBXLFolds(fold, test=range(1, 10), train=range(1, 10))``: nine
    to report               ``PTBXLFolds(fold, test=10)``, once; with ``train=range(1, 10)`` fold 9
                            is learnt from as well
    ======================  =================================================================

    A splitter does not decide what a search refits its best candidate on: that is all records it is
    given. Load them with ``load_ptbxl(path, folds=range(1, 10))`` to keep fold 10 out of it.

    The folds belong to all records, so this is a splitter for the outermost loop: splits inside
    another one see fewer. There ``LeaveOneGroupOut().set_split_request(groups="fold")`` takes them
    from ``params={"fold": fold}``, with metadata routing.

    PTB-XL has no patient in two folds. Where ``groups`` reach `split` that is checked, and nothing
    else is done with them.

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
            Here for scikit-learn's sake.

        Returns
        -------
        int
            How many folds are tested on.
        """
        return len(_folds(self.test, "test"))

    def split(self, X, y=None, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the records to train on and to test on.

        Parameters
        ----------
        X : array-like of shape (n_records, ...)
            The records that ``fold`` is of; they are not looked at.
        y : ignored
            Here for scikit-learn's sake.
        groups : array-like of shape (n_records,), default=None
            Patients, none of whom may be on both sides.

        Yields
        ------
        train, test : ndarray of int
            Places of records, in ascending order.

        Raises
        ------
        ValueError
            When X has not a record for each of ``fold``, for numbers other than 1 to 10, when a
            split has no record to train or to test on, and for a patient on both sides.
        """
        fold = _numbers(self.fold)
        if len(X) != len(fold):
            raise ValueError(
                f"fold has {len(fold)} records, X {len(X)}. Give the folds of these records: "
                "PTBXLFolds is for the outermost loop, and a split inside it sees fewer."
            )
        groups = check_groups(groups, len(fold))
        for held in _folds(self.test, "test"):
            train = np.isin(fold, [k for k in _folds(self.train, "train") if k != held])
            test = fold == held
            if not train.any() or not test.any():
                raise ValueError(
                    f"test={held} with train={self.train!r} leaves {train.sum()} records to train "
                    f"on and {test.sum()} to test on; fold holds "
                    f"{', '.join(map(str, np.unique(fold)))}. Name folds that are there."
                )
            if groups is not None:
                both = np.intersect1d(groups[train], groups[test])
                if len(both):
                    raise ValueError(
                        f"{len(both)} patients of groups have records in fold {held} and in folds "
                        "trained on, which no patient of PTB-XL has. Compare the order of groups "
                        "with that of fold."
                    )
            yield np.flatnonzero(train), np.flatnonzero(test)


def _numbers(fold) -> np.ndarray:
    array = np.asarray(fold)
    if array.ndim != 1 or not np.isin(array, range(1, 11)).all():
        raise ValueError(
            "fold has to hold a number from 1 to 10 for each record, such as load_ptbxl(...).fold; "
            f"got an array of shape {array.shape} that holds {np.unique(array)[:5].tolist()}."
        )
    return array.astype(int)


def _folds(given: int | Iterable[int], name: str) -> list[int]:
    try:
        chosen = [given] if isinstance(given, Integral) else list(given)
    except TypeError:
        chosen = []
    valid = all(isinstance(k, Integral) and not isinstance(k, bool) for k in chosen)
    if not chosen or not valid or not set(chosen) <= set(range(1, 11)):
        raise ValueError(
            f"{name}={given!r} is not allowed; give an integer from 1 to 10, or several of them "
            "such as range(1, 9)."
        )
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{name}={given!r} names a fold twice. Name each once.")
    return chosen
