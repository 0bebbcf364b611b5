"""Columns of a table as numbers, and probabilities as log-odds."""

from numbers import Real

import numpy as np
import pandas as pd

# Below this, and above 1 minus this, a float32 probability cannot be told from 0 or 1.
_SATURATION = float(np.finfo(np.float32).eps)


def log_odds(probability) -> np.ndarray:
    """Return log(p / (1 - p)), with p held away from 0 and 1 by what float32 can tell."""
    p = np.clip(np.asarray(probability, dtype=np.float64), _SATURATION, 1 - _SATURATION)
    return np.log(p) - np.log1p(-p)


def as_numbers(column: pd.Series) -> np.ndarray | None:
    """Return a column as float64, NaN where unknown, or None where it does not hold numbers.

    Numbers beside None make a column of objects, which are numbers nevertheless; dates and
    categories can be converted to numbers by NumPy and are none.
    """
    if pd.api.types.is_object_dtype(column):
        if not all(isinstance(value, Real | np.bool_) for value in column.dropna()):
            return None
    elif not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def named_twice(names) -> list[str]:
    """Return the names that stand there more than once."""
    names = list(names)
    return sorted({str(name) for name in names if names.count(name) > 1})
