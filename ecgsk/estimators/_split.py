"""The records that early stopping sets aside."""

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit


def validation_split(
    n_records: int,
    *,
    fraction: float,
    strata: np.ndarray | None,
    groups: np.ndarray | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted positions of the records to learn from, and of those set aside.

    What is split are patients where there are groups, else records. One of each class stays on the
    training side, so that a rare class costs no fit; the others keep the classes' shares as far as
    their number allows. ``strata`` are classes from 0; a patient with several counts for the
    highest.
    """
    names, unit = np.unique(np.arange(n_records) if groups is None else groups, return_inverse=True)
    random = np.random.RandomState(seed)
    order = random.permutation(len(names))
    pinned = np.empty(0, dtype=int)
    classes = None
    if strata is not None:
        classes = np.zeros(len(names), dtype=int)
        np.maximum.at(classes, unit, strata)
        # A class may be the highest of no patient: pin one that has it all the same.
        firsts = [order[np.isin(order, unit[strata == c])][0] for c in np.unique(strata)]
        pinned = np.unique(firsts)
    free = np.setdiff1d(np.arange(len(names)), pinned)
    n_valid = int(np.ceil(fraction * len(names)))
    if not 0 < n_valid < len(free) + bool(len(pinned)):
        raise ValueError(
            f"validation_fraction={fraction} of {len(names)} "
            f"{'records' if groups is None else 'groups'} leaves too few to learn from besides "
            "one of each class. Use more of them, a smaller fraction, or early_stopping=False."
        )
    held = np.isin(unit, free[_choose(free, n_valid, classes, seed)])
    return np.flatnonzero(~held), np.flatnonzero(held)


def _choose(free, n_valid, classes, seed) -> np.ndarray:
    """Return which of the free units are set aside."""
    if n_valid == len(free):
        return np.arange(len(free))
    shares = np.unique(classes[free], return_counts=True)[1] if classes is not None else [0]
    stratified = min(shares) >= 2 and len(shares) <= min(n_valid, len(free) - n_valid)
    splitter = (StratifiedShuffleSplit if stratified else ShuffleSplit)(
        1, test_size=n_valid, random_state=seed
    )
    return next(splitter.split(free, None if classes is None else classes[free]))[1]
