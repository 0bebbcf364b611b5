"""Columns of a table as numbers."""

from numbers import Real

import numpy as np
import pandas as pd


def as_numbers(column: pd.Series) -> np.ndarray | None:
    """Return a column as float64, with NaN for unknown values; None for columns of other types.

    Numbers together with None, a column of objects, count as numbers. Dates and categories do not,
    although NumPy converts them.
    """
    if pd.api.types.is_object_dtype(column):
        if not all(isinstance(value, Real | np.bool_) for value in column.dropna()):
            return None
    elif not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
