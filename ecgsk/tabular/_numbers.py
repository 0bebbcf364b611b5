"""Columns of a table as numbers."""

from numbers import Real

import numpy as np
import pandas as pd


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
