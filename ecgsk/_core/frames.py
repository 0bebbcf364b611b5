"""DataFrames of any library as those of pandas with the types of NumPy."""

import warnings
from importlib import import_module

import numpy as np
import pandas as pd


def frame_of_rows(rows: list[dict]) -> pd.DataFrame:
    """Return a DataFrame of rows, some of whose texts may be names that UTF-8 cannot encode."""
    try:
        return pd.DataFrame(rows)
    except UnicodeEncodeError:  # pandas keeps texts by pyarrow, if that is installed
        return pd.DataFrame(rows, dtype=object)


def as_pandas(X):
    """Return a DataFrame of pandas, with its names, for one of any library; other input as it is.

    Raises ValueError for a table that is not computed yet.
    """
    frame = _to_pandas(X)
    if not isinstance(frame, pd.DataFrame):
        return X
    changed = {
        position: _with_numpy_type(frame.iloc[:, position])
        for position, dtype in enumerate(frame.dtypes)
        if not _is_plain(dtype)
    }
    if changed:
        columns = [changed.get(i, frame.iloc[:, i]) for i in range(frame.shape[1])]
        frame = pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)
    return frame


def _to_pandas(X):
    package = type(X).__module__.partition(".")[0]
    if isinstance(X, pd.DataFrame):
        return X
    if package == "polars" and hasattr(X, "collect"):
        raise ValueError("X is a LazyFrame of polars; give X.collect().")
    if package == "polars" and hasattr(X, "columns"):
        # Its own conversion needs pyarrow.
        return pd.DataFrame({name: _values_of_polars(X[name]) for name in X.columns})
    if hasattr(X, "to_pandas") and hasattr(X, "shape") and len(X.shape) == 2:
        return X.to_pandas()
    if hasattr(X, "__dataframe__"):
        with warnings.catch_warnings():
            # pandas deprecates this older protocol; some libraries have no other.
            warnings.simplefilter("ignore", DeprecationWarning)
            return pd.api.interchange.from_dataframe(X)
    if hasattr(X, "__arrow_c_stream__") and getattr(X, "ndim", 2) == 2:
        if hasattr(pd.DataFrame, "from_arrow"):
            return pd.DataFrame.from_arrow(X)
        return import_module("pyarrow").table(X).to_pandas()
    return X


def _values_of_polars(column) -> np.ndarray:
    if column.dtype.is_numeric():
        return column.to_numpy()
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_list()
    return values.astype(bool) if values.size and _all_bool(values) else values


def _all_bool(values: np.ndarray) -> bool:
    return all(isinstance(value, bool) for value in values)


def _is_plain(dtype) -> bool:
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    return isinstance(dtype, (np.dtype, pd.StringDtype))


def _with_numpy_type(column: pd.Series) -> pd.Series:
    """Return a column of pyarrow's types, or of pandas' with missing values, with NumPy's."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return column.cat.rename_categories(dtype.categories.astype(object))
    unknown = column.isna().to_numpy()
    values: np.ndarray
    if pd.api.types.is_bool_dtype(dtype) and not unknown.any():
        values = column.to_numpy(dtype=bool)
    elif pd.api.types.is_integer_dtype(dtype) and not unknown.any():
        values = column.to_numpy(dtype=np.int64)
    elif pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = column.astype(object).to_numpy(copy=True)
        values[unknown] = None
    return pd.Series(values, index=column.index)
