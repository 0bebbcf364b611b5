"""The records on which early stopping looks."""

import numpy as np
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)


def validation_split(
    n_records: int,
    *,
    fraction: float,
    strata: np.ndarray | None,
    groups: np.ndarray | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Split records into some to learn from and some to stop early by.

    No group is on both sides. Classes keep their shares where every class has enough records (or
    groups) for it.

    Parameters
    ----------
    n_records : int
        Number of records.
    fraction : float
        Share of the records (of the groups, where there are groups) set aside.
    strata : ndarray of shape (n_records,) or None
        Classes.
    groups : ndarray of shape (n_records,) or None
        Patients.
    seed : int
        Chooses the split.

    Returns
    -------
    train, valid : ndarray of int
        Sorted positions.

    Raises
    ------
    ValueError
        When one side would be empty or would lack a class that the other has to know.
    """
    dummy = np.zeros(n_records)
    smallest = np.bincount(strata).min() if strata is not None else 0
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                f"early_stopping=True needs records of at least 2 groups; groups holds {n_groups}."
            )
        n_folds = min(max(2, round(1 / fraction)), n_groups)
        if smallest >= n_folds:
            splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        else:
            splitter = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
    else:
        n_valid = int(np.ceil(fraction * n_records))
        n_classes = len(np.unique(strata)) if strata is not None else 0
        stratified = smallest >= 2 and min(n_valid, n_records - n_valid) >= n_classes
        splitter = (StratifiedShuffleSplit if stratified else ShuffleSplit)(
            1, test_size=fraction, random_state=seed
        )
    train, valid = next(splitter.split(dummy, strata, groups))
    if len(valid) == 0 or (strata is not None and len(set(strata[train])) < len(set(strata))):
        raise ValueError(
            f"validation_fraction={fraction} of {n_records} records leaves a side without records "
            "or the training side without a class. Give more records or early_stopping=False."
        )
    return np.sort(train), np.sort(valid)
