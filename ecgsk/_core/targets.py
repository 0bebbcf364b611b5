"""Targets from any container, as plain NumPy arrays."""

import numpy as np
import pandas as pd
from scipy import sparse

from ecgsk._core.checks import check_distinct
from ecgsk._core.host_arrays import on_host

# What pandas finds in arrays of objects, and NumPy's type for it.
_KINDS = {
    "string": str,
    "boolean": bool,
    "integer": np.int64,
    "floating": np.float64,
    "mixed-integer-float": np.float64,
}


def plain_target(y, name: str = "y") -> tuple[object, list[str] | None]:
    """Return labels as an array of NumPy's types, and the names of a table's columns, or None.

    Text, categories, nullable and pyarrow types of pandas become text, bool, int or float. Sparse
    matrices, and what scikit-learn has an error for, stay as they are. Raises ValueError for
    missing labels and for two columns with the same name.
    """
    y = on_host(y, name)
    if y is None or sparse.issparse(y):
        return y, None
    if not hasattr(y, "columns"):
        return _plain(y, name), None
    columns = list(getattr(y, "column_names", y.columns))  # pyarrow has the values in `columns`
    check_distinct(columns, f"{name} (a table)")
    values = [_plain(y[column], f"{name}[{str(column)!r}]") for column in columns]
    return np.column_stack(values) if values else np.empty((len(y), 0)), list(map(str, columns))


def _plain(labels, name: str):
    # NumPy would make the text "nan" of NaN in a list of texts.
    listed = isinstance(labels, (list, tuple))
    array = np.asanyarray(labels, dtype=object if listed else None)
    if array.ndim not in (1, 2):
        return array
    missing = np.asarray(np.ma.getmaskarray(array) | pd.isna(array))
    if missing.any():
        first = np.argwhere(missing)[0]
        column = f" in column {first[1]}" if array.ndim == 2 else ""
        raise ValueError(
            f"{name} contains NaN, None or other missing values: {missing.sum()} of {array.size}, "
            f"the first in record {first[0]}{column}. Leave those records out, or fill them in."
        )
    if array.dtype.kind not in "OT":
        return array
    array = np.asarray(array, dtype=object)
    found = pd.api.types.infer_dtype(array.ravel(), skipna=False)
    if found in ("mixed", "mixed-integer") and any(isinstance(label, str) for label in array.flat):
        raise ValueError(
            f"{name} contains text and values of other types, for example {array.flat[0]!r} and "
            f"{next(v for v in array.flat if type(v) is not type(array.flat[0]))!r}. Make all "
            "labels text, or all numbers."
        )
    return array.astype(_KINDS[found]) if found in _KINDS else array
