"""Finding the files of EchoNext and making sure that they are whole and fit together."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk._core import csv_tables
from ecgsk._core.file_formats import NpyHeader, read_npy_header
from ecgsk.datasets._echonext.layout import (
    CSV,
    DATA_NAMES,
    ECHONEXT_FLAGS,
    N_SAMPLES,
    SPLITS,
    TABULAR_ORDERS,
)

_FOLDERS_NAMED = 3
_NAMES_SHOWN = 8
_COPY_AGAIN = "Copy it again and compare it with SHA256SUMS.txt."


def find_file(path: Path, name: str) -> Path:
    """Return a file of the folder by its name in any case, or say where it may be instead."""
    if path.is_file():
        raise FileNotFoundError(
            f"path={str(path)!r} is a file; give the folder that holds it: {str(path.parent)!r}."
        )
    if not path.is_dir():
        raise FileNotFoundError(
            f"path={str(path)!r} is not a folder. Give the one that holds {CSV} and "
            f"EchoNext_{{{','.join(SPLITS)}}}_waveforms.npy."
        )
    there = sorted(entry.name for entry in path.iterdir())
    by_lower_name = {other.lower(): other for other in there}
    if name in there or name.lower() in by_lower_name:
        return path / (name if name in there else by_lower_name[name.lower()])
    shown = ", ".join(there[:_NAMES_SHOWN]) or "nothing"
    held = f"it holds {shown}{', ...' if len(there) > _NAMES_SHOWN else ''}"
    if {data.lower() for data in DATA_NAMES} & set(by_lower_name):
        hint = f"{_COPY_AGAIN[:-1]}, or load another split."
    else:
        hint = _hint_below(path)
    raise FileNotFoundError(f"path={str(path)!r} holds no {name}; {held}. {hint}")


def _hint_below(path: Path) -> str:
    wanted = {CSV.lower()}
    below = [
        str(file.parent)
        for depth in ("*/*.csv", "*/*/*.csv", "*/*/*/*.csv")
        for file in sorted(path.glob(depth))
        if file.name.lower() in wanted
    ]
    if len(below) == 1:
        return f"{below[0]!r} holds the files: give that folder."
    if below:
        named = ", ".join(map(repr, below[:_FOLDERS_NAMED]))
        more = ", ..." if len(below) > _FOLDERS_NAMED else ""
        return f"Give one of the folders that hold one: {named}{more}."
    return (
        "Give the folder of an EchoNext download (PhysioNet, restricted access), or make one like "
        "it with ecgsk.datasets.make_echonext."
    )


@dataclass(frozen=True)
class NpyFile:
    """An array in a file that was checked to be whole."""

    path: str
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    size: int


def check_waveforms(file: Path) -> NpyFile:
    """Check that a file holds recordings of the documented shape, reading its header alone."""
    return _check_npy(file, (1, N_SAMPLES, 12))


def read_tabular(file: Path) -> np.ndarray:
    """Read standardized features, (n_records, 7)."""
    _check_npy(file, (len(TABULAR_ORDERS["readme"]),))
    return np.load(file, allow_pickle=False)


def _check_npy(file: Path, of_record: tuple[int, ...]) -> NpyFile:
    header = _read_header(file)
    shape, fortran, dtype, offset = header
    expected = f"(N, {', '.join(map(str, of_record))})"
    if shape[1:] != of_record or not shape or shape[0] == 0:
        axes = [sorted(size for size in sizes if size != 1) for sizes in (shape[1:], of_record)]
        turned = " Its axes look turned or joined." if axes[0] == axes[1] else ""
        raise ValueError(
            f"{file} has shape {shape}; expected {expected}.{turned} Use the file as EchoNext "
            "ships it."
        )
    if dtype.kind != "f":
        raise ValueError(
            f"{file} holds {dtype}; expected float64. Use the file as EchoNext ships it; pickled "
            "objects are never read."
        )
    if fortran:
        raise ValueError(
            f"{file} is in Fortran order, where a record is spread over the whole file; expected C "
            "order. Save it again: numpy.save(file, numpy.ascontiguousarray(array))."
        )
    size, needed = file.stat().st_size, header.file_size
    if size < needed:
        raise ValueError(
            f"{file} has {size} bytes; its header of shape {shape} needs {needed}: {needed - size} "
            f"are missing, as in a copy that was cut short. {_COPY_AGAIN}"
        )
    if size > needed:
        raise ValueError(
            f"{file} has {size} bytes; its header of shape {shape} needs {needed}: there are "
            f"{size - needed} too many. {_COPY_AGAIN}"
        )
    return NpyFile(str(file.resolve()), dtype, shape, offset, size)


def _read_header(file: Path) -> NpyHeader:
    with open(file, "rb") as stream:
        try:
            return read_npy_header(stream)
        except ValueError as error:
            stream.seek(0)
            start = stream.read(1)
            if not start:
                reason = "it is empty"
            elif start == b"<":
                reason = "it looks like a web page, as a download without a login gives"
            else:
                reason = str(error)
            raise ValueError(
                f"{file} has no readable NumPy header: {reason}. {_COPY_AGAIN}"
            ) from None


def read_csv(file: Path) -> pd.DataFrame:
    """Read the table of all splits and check it."""
    needed = ("ecg_key", "patient_key", "split", *TABULAR_ORDERS["readme"], "lvef_value")
    table = csv_tables.read_csv(file, needed)
    if len(table.columns) and str(table.columns[0]).startswith("Unnamed"):
        table = table.iloc[:, 1:]
    absent = [column for column in (*needed, *ECHONEXT_FLAGS) if column not in table]
    if absent:
        found = ", ".join(map(str, table.columns[:6]))
        raise ValueError(
            f"{file} has no column {', '.join(absent)}; it starts with the columns {found}. It is "
            "not the table that EchoNext comes with."
        )
    unknown = table["split"][~table["split"].isin(SPLITS)]
    if len(unknown):
        raise ValueError(
            f"{file} has {len(unknown)} rows whose split is not one of {', '.join(SPLITS)}: "
            f"{', '.join(map(repr, unknown.unique()[:5]))}. {_COPY_AGAIN}"
        )
    doubled = table["ecg_key"].duplicated()
    if doubled.any():
        raise ValueError(
            f"{file} has {int(doubled.sum())} rows whose ecg_key stands there before, the first "
            f"is {table['ecg_key'][doubled].iloc[0]}. {_COPY_AGAIN}"
        )
    for column in ("patient_key", "ecg_key"):
        if table[column].isna().any():
            raise ValueError(
                f"{file} has {int(table[column].isna().sum())} rows without {column}, the first "
                f"is row {int(np.flatnonzero(table[column].isna())[0])} (counted from 0). "
                f"{_COPY_AGAIN}"
            )
    return table


def check_rows(file: Path, n_rows: int, csv: Path, split: pd.Series, wanted: str) -> None:
    """Raise unless an array has as many rows as the table has of the split."""
    counts = {name: int((split == name).sum()) for name in SPLITS}
    if n_rows != counts[wanted]:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ValueError(
            f"{file} has {n_rows} rows, but {csv} has {counts[wanted]} of split {wanted!r} (it "
            f"lists {listed}). The files are not of one version of EchoNext, or one was cut. Copy "
            "both again and compare them with SHA256SUMS.txt."
        )


def numbers(table: pd.DataFrame, column: str, file: Path) -> np.ndarray:
    """Return a column as floats, NaN where it is empty."""
    values = pd.to_numeric(table[column], errors="coerce")
    wrong = values.isna() & table[column].notna()
    if wrong.any():
        raise ValueError(
            f"{file} has {int(wrong.sum())} values of {column} that are not numbers, the first is "
            f"{table[column][wrong].iloc[0]!r} (ecg_key {table['ecg_key'][wrong].iloc[0]}). Mend "
            "the table or empty those cells."
        )
    return values.to_numpy(dtype=float, na_value=np.nan)
