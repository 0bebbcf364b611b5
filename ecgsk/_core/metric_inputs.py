"""Checks of truth, scores and resampling, with one wording for all metrics."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ecgsk._core.checks import check_indicator
from ecgsk._core.host_arrays import on_host


def check_target(y_true, name: str = "y_true") -> np.ndarray:
    """Return a binary target as booleans of shape (n_records,)."""
    array = _one_dimension(y_true, name)
    if array.dtype == np.bool_:
        return array
    missing = pd.isna(array)
    if missing.any():
        raise ValueError(
            f"{name} is missing for {missing.sum()} of {len(array)} records, the first is record "
            f"{np.flatnonzero(missing)[0]}. Leave out records whose outcome is not known."
        )
    found = pd.unique(pd.Series(array)).tolist()
    if not all(isinstance(value, Real | np.bool_) and value in (0, 1) for value in found):
        raise ValueError(
            f"{name} holds the values {found[:5]}, but a binary target has to hold 0 and 1 "
            f"(or False and True). Compare it, for example ({name} == {found[-1]!r}).astype(int)."
        )
    return array.astype(bool)


def check_scores(scores, n_records: int, name: str = "y_score") -> np.ndarray:
    """Return finite scores of shape (n_records,), floating in their own precision.

    Float32 stays float32: a threshold is then compared as ``scores >= threshold`` compares it.
    """
    array = finite(_one_dimension(scores, name), name)
    check_length(array, n_records, name)
    return array


def check_probabilities(values, n_records: int, name: str = "y_prob") -> np.ndarray:
    """Return probabilities of shape (n_records,) as float64."""
    array = check_scores(values, n_records, name).astype(np.float64)
    outside = (array < 0) | (array > 1)
    if outside.any():
        first = np.flatnonzero(outside)[0]
        raise ValueError(
            f"{name} lies outside [0, 1] for {outside.sum()} of {len(array)} records, the first is "
            f"{array[first]!r} in record {first}. Give probabilities: predict_proba(X)[:, 1] "
            "instead of decision_function(X)."
        )
    return array


def check_length(array, n_records: int, name: str) -> None:
    """Raise unless there is an entry for each record of y_true."""
    if len(array) != n_records:
        raise ValueError(
            f"{name} has {len(array)} records and y_true has {n_records}; both have to hold the "
            "same records in one order."
        )


def finite(array: np.ndarray, name: str) -> np.ndarray:
    """Return scores as floats; raise for text, NaN and infinity."""
    if array.dtype.kind != "f":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} holds {array.dtype}; scores have to be numbers, for example of "
                "predict_proba."
            ) from None
    bad = ~np.isfinite(array)
    if bad.any():
        first = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0]
        raise ValueError(
            f"{name} holds {bad.sum()} values that are NaN or infinite, the first in record "
            f"{first}. Leave these records out or find out why the model gave them."
        )
    return array


def _one_dimension(values, name: str) -> np.ndarray:
    array = np.asarray(on_host(values, name))
    if array.ndim != 1:
        hint = " Take the column of the class, for example predict_proba(X)[:, 1]."
        hint = hint if array.ndim == 2 else ""
        raise ValueError(f"{name} has shape {array.shape}; expected (n_records,).{hint}")
    if not len(array):
        raise ValueError(f"{name} holds no records; at least one is needed.")
    return array


def check_label_tables(y_true, y_score) -> tuple[np.ndarray, np.ndarray, list]:
    """Return the truth and scores of several labels, and the names their columns have, if any."""
    columns = [list(getattr(table, "columns", [])) for table in (y_true, y_score)]
    if all(columns) and columns[0] != columns[1]:
        raise ValueError(
            f"y_true has the columns {columns[0][:5]} and y_score {columns[1][:5]} (the first "
            "five are shown); they have to be the same, in one order."
        )
    y_true = np.asarray(on_host(y_true, "y_true"))
    y_score = np.asarray(on_host(y_score, "y_score"))
    if y_true.ndim != 2 or y_true.shape != y_score.shape:
        raise ValueError(
            f"y_true has shape {y_true.shape} and y_score {y_score.shape}; both have to be "
            "(n_records, n_labels)."
        )
    check_indicator(y_true, "y_true")
    return y_true, finite(y_score, "y_score"), columns[0] or columns[1]


def check_interval(n_resamples: int, level: float, least: int = 0) -> None:
    """Raise for a number of resamples or a level that is not allowed."""
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level={level!r} has to be between 0 and 1, for example 0.95.")
    if not isinstance(n_resamples, Integral) or n_resamples < least:
        hint = "; 0 gives no intervals" if least == 0 else ""
        raise ValueError(
            f"n_resamples={n_resamples!r} has to be an integer of at least {least}{hint}."
        )


def check_threshold(threshold: float | None) -> float | None:
    """Return a threshold as a Python float, which takes the precision of what it is compared to."""
    if threshold is None:
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not np.isfinite(threshold):
        raise ValueError(
            f"threshold={threshold!r} has to be a finite number, for example what choose_threshold "
            "returned on other data, or None for no decisions."
        )
    return float(threshold)


def new_random(random_state) -> np.random.RandomState:
    """Return a generator; never NumPy's global one, whose state belongs to the user."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)
