"""The folds that all candidates of a search share."""

import numpy as np


def split_once(cv, X, y, params: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the training and test rows of each fold, as indices.

    Masks are converted, because steps that are fitted once rearrange the records of a fold.
    ValueError without a fold, or if the splitter announces another number of folds.
    """
    expected = cv.get_n_splits(X, y, **params)
    folds = [(_indices(train), _indices(test)) for train, test in cv.split(X, y, **params)]
    if not folds:
        raise ValueError(
            "No fits were performed. Was the CV iterator empty? Were there no candidates? An "
            "iterator can be used only once: give cv a splitter, or a list of folds."
        )
    if len(folds) != expected:
        raise ValueError(
            "cv.split and cv.get_n_splits return inconsistent results. Expected "
            f"{expected} splits, got {len(folds)}. Correct the splitter {cv!r}."
        )
    return folds


def _indices(rows) -> np.ndarray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows
