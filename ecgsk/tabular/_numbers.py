"""Columns of a table as numbers."""

from numbers import Real

import numpy as np
import pandas as pd

from ecgsk._core.cell_values import is_missing, read_truth


def as_numbers(column: pd.Series) -> np.ndarray | None:
    """Return a column as float64, with NaN for unknown values; None for columns of other types.

    Numbers together with None, a column of objects, count as numbers, and so do texts that mean yes
    (1) and no (0). Dates and other categories do not, although NumPy converts them.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = all(isinstance(value, str) for value in column.cat.categories)
        return _decisions(column) if texts else None
    if pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column):
        if not all(isinstance(value, Real | np.bool_) for value in column.dropna()):
            return _decisions(column)
    elif not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _decisions(column: pd.Series) -> np.ndarray | None:
    """Return 1 for yes, 0 for no and NaN for unknown; None if a text means something else."""
    texts = ["" if missing else str(v) for v, missing in zip(column, column.isna(), strict=True)]
    found = np.array([read_truth(text) for text in texts])
    understood = ~np.isnan(found) | np.array([is_missing(text) for text in texts], dtype=bool)
    return found if understood.all() else None
