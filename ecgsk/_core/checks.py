"""Checks of labels, patients and names."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ecgsk._core.host_arrays import on_host


def check_indicator(values: np.ndarray, name: str) -> None:
    """Raise ValueError unless a matrix of labels contains only 0 and 1.

    scikit-learn calls every matrix of two integers an indicator: likelihoods of 0 and 100, or -1
    and 1, would pass for labels.
    """
    found = np.unique(values)
    if not np.isin(found, (0, 1)).all():
        raise ValueError(
            f"{name} holds the values {found[:5].tolist()}, but the matrix of several labels has "
            f"to hold 0 and 1. Compare it with a threshold, for example ({name} > 0).astype(int)."
        )


def check_groups(groups, n_records: int) -> np.ndarray | None:
    """Return patients as an array of shape (n_records,), or None.

    Raises ValueError also for missing ones: records of unknown patients would count as one patient.
    """
    if groups is None:
        return None
    array = np.asarray(on_host(groups, "groups"))
    if array.shape != (n_records,):
        raise ValueError(
            f"groups has shape {array.shape}; expected ({n_records},), a patient for each record."
        )
    missing = pd.isna(array)
    if missing.any():
        raise ValueError(
            f"groups is missing for {missing.sum()} of {n_records} records, the first is record "
            f"{np.flatnonzero(missing)[0]}. Leave them out or give each a patient of its own."
        )
    # Numbers and strings in one list cannot be sorted; their codes can.
    return pd.factorize(array)[0] if array.dtype == object else array


def check_distinct(names: Iterable, what: str) -> None:
    """Raise ValueError when two names in ``what`` (for the message) are the same as text."""
    counts = Counter(map(str, names))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"{what} has {', '.join(twice[:8])} twice; each needs a name of its own. Rename or "
            "leave out one."
        )
