"""Refusal of arrays whose values are not numbers, although NumPy would convert them."""

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse

from ecgsk._core.host_arrays import on_host

_KINDS = {
    "M": "dates",
    "m": "time spans",
    "U": "texts",
    "S": "bytes",
    "T": "texts",
    "V": "structures",
    "b": "truth values",
}
_NOT_NUMBERS = (
    str,
    bytes,
    complex,
    datetime.date,
    datetime.timedelta,
    np.complexfloating,
    np.datetime64,
    np.timedelta64,
)


def check_values(X, name: str = "X") -> Any:
    """Return X on the host; TypeError for masked arrays, texts, dates, times and truth values."""
    X = on_host(X, name)
    _check(X, name)
    return X


def _check(X, name: str) -> None:
    if isinstance(X, (list, tuple)):
        if any(isinstance(item, np.ma.MaskedArray) for item in X):
            _refuse_mask(np.ma.asarray(X), name)
        try:
            X = np.asarray(X)
        except ValueError:  # recordings of different lengths: another message
            return
    if isinstance(X, np.ma.MaskedArray):
        _refuse_mask(X, name)
    if sparse.issparse(X) or not hasattr(X, "shape"):
        return
    dtype = getattr(X, "dtype", None)
    if dtype is None and hasattr(X, "__array__"):  # a data frame
        X = np.asarray(X)
        dtype = X.dtype
    kind = getattr(dtype, "kind", "f")
    if kind in _KINDS:
        _refuse(_KINDS[kind], dtype, name)
    if kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {dtype}; expected mV.")
    if kind == "O" and isinstance(X, np.ndarray):
        values: Iterable = X.flat
        wrong = next((value for value in values if isinstance(value, _NOT_NUMBERS)), None)
        if wrong is not None:
            _refuse("objects that are not numbers", f"object, with {wrong!r:.40}", name)


def _refuse(what: str, dtype, name: str) -> None:
    raise TypeError(
        f"{name} holds {what} (dtype {dtype}); expected numbers, in mV. Where they are meant as "
        f"numbers, convert them: {name}.astype('float32')."
    )


def _refuse_mask(X: np.ma.MaskedArray, name: str) -> None:
    n_masked = int(np.ma.count_masked(X))
    if n_masked:
        raise TypeError(
            f"{name} is a masked array with {n_masked} masked samples, and a mask would be "
            f"ignored. Pass {name}.filled(np.nan), which is refused or, with missing='zero', read "
            "as 0 mV."
        )
