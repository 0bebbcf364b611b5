"""What a `RecordArray` is given, and what its function returns, checked."""

from collections.abc import Callable
from numbers import Real

import numpy as np
import pandas as pd

from ecgsk._core.host_arrays import on_host
from ecgsk._core.number_values import check_values


def as_records(returned, expected: tuple[int, ...], read: Callable) -> np.ndarray:
    """Return what ``read`` returned as float32, or raise if its shape or type is another."""
    function = _name_of(read)
    try:
        records = np.asanyarray(on_host(returned, f"What {function} returned"))
    except ValueError as error:
        raise ValueError(
            f"{function} returned records that are no array: {error}. It has to return one "
            f"of shape {expected}."
        ) from None
    if records.shape != expected:
        swapped = ""
        if records.shape == (expected[0], expected[2], expected[1]):
            swapped = " Its axes look swapped: return records.transpose(0, 2, 1)."
        raise ValueError(
            f"{function} returned shape {records.shape} for {expected[0]} records; "
            f"expected {expected}: a record for each index, leads before samples.{swapped}"
        )
    check_numbers(records, f"{function} returned", "Convert them in the function.")
    with np.errstate(over="ignore"):  # infinite samples are refused where they are used
        return unmasked(records) if np.ma.isMA(records) else np.asarray(records, np.float32)


def unmasked(records) -> np.ndarray:
    """Return records as float32 that is not a view, with NaN where a mask hides samples."""
    records = on_host(records)
    if isinstance(records, np.ma.MaskedArray):
        return np.ma.filled(records.astype(np.float32), np.nan)
    return np.array(records, dtype=np.float32)


def _name_of(read: Callable) -> str:
    """Return the name of the user's function that reads records, for messages."""
    read = getattr(read, "function", read)  # of `RecordArray.map`
    read = getattr(read, "func", read)  # of functools.partial
    return f"The function {getattr(read, '__qualname__', type(read).__qualname__)}"


def check_numbers(array, what: str, remedy: str) -> None:
    """Raise TypeError for dates, text, complex numbers and records with fields."""
    dtype = getattr(array, "dtype", None)
    if getattr(dtype, "kind", "f") not in "fiubO":
        raise TypeError(f"{what} {dtype}; expected numbers, float32 in mV. {remedy}")
    if isinstance(array, np.ndarray) and array.dtype.kind == "O":
        check_values(array, what)


def checked_rate(sampling_rate) -> float | None:
    """Return a rate in Hz as a number, or None."""
    if sampling_rate is None:
        return None
    is_number = isinstance(sampling_rate, Real) and not isinstance(sampling_rate, bool)
    if not is_number or not 0 < sampling_rate < np.inf:
        raise ValueError(
            f"sampling_rate={sampling_rate!r} is not allowed; give a positive number in Hz, or "
            "None where it is unknown."
        )
    return float(sampling_rate)


def checked_leads(leads, n_leads: int) -> tuple[str, ...] | None:
    """Return the names of leads, or None."""
    if leads is None:
        return None
    names = () if isinstance(leads, str) else tuple(leads)
    if len(names) != n_leads or len(set(names)) < n_leads or not all(map(_is_text, names)):
        raise ValueError(
            f"leads={leads!r} is not allowed; give a different name for each of the {n_leads} "
            "leads, in their order, or None where they are unknown."
        )
    return tuple(map(str, names))


def _is_text(value) -> bool:
    return isinstance(value, str)


def own_table(table, n_records: int) -> pd.DataFrame | None:
    """Return a copy of a table: one that its owner sorts would leave its records."""
    if table is None:
        return None
    if not isinstance(table, pd.DataFrame):
        raise ValueError(
            f"table is a {type(table).__name__}; give a DataFrame with a row for each record, for "
            'example pandas.DataFrame({"age": age, "sex": sex}).'
        )
    if len(table) != n_records:
        raise ValueError(
            f"table has {len(table)} rows for {n_records} records; give one for each, in their "
            "order."
        )
    return table.copy()
