"""Tables of a user, from files as spreadsheets save them or from DataFrames, cell by cell."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk._core.cell_dates import as_text
from ecgsk._core.cell_values import refuse
from ecgsk._core.csv_tables import read_csv_as_text
from ecgsk._core.files import expanded
from ecgsk._core.frames import as_pandas
from ecgsk._core.optional import import_optional

_WORKBOOK = b"PK\x03\x04"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
_PARQUET = b"PAR1"
_SAVE_AS_CSV = "Save it as CSV in UTF-8"
# An identifier that a spreadsheet has read as a large number.
_DAMAGED = re.compile(r"\d(?:[.,]\d+)?E\+?\d{1,3}", re.IGNORECASE)
# Exports write identifiers like this to prevent it.
_FORMULA = re.compile(r'="(.*)"', re.DOTALL)
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")
_LARGEST_EXACT = 2**53
_LISTED = 20


@dataclass(frozen=True)
class UserTable:
    """A table whose cells are read as text, so that identifiers stay as they are."""

    frame: pd.DataFrame
    source: str  # for messages
    row_names: Callable[[int], str]  # of a place in the frame, for messages
    decimal_comma: bool = False  # whether numbers may have one

    def __post_init__(self):
        names = [_one_line(str(name)) for name in self.frame.columns]
        object.__setattr__(self, "frame", self.frame.set_axis(names, axis=1))

    def __len__(self) -> int:
        return len(self.frame)

    def find(self, column: str, parameter: str) -> str:
        """Return the name of a column, whose capitals may differ.

        Raises ValueError that names ``parameter``, the columns and the closest one.
        """
        names, wanted = list(self.frame.columns), _one_line(column)
        found = [name for name in names if name == wanted]
        found = found or [name for name in names if name.casefold() == wanted.casefold()]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"{parameter}={column!r}: {self.source} has {len(found)} columns of this name. "
                "Rename all but one."
            )
        close = get_close_matches(wanted.casefold(), [name.casefold() for name in names], n=1)
        closest = next((name for name in names if close and name.casefold() == close[0]), None)
        hint = f" The closest is {closest!r}." if closest else ""
        if "" in names or len(names) == 1:
            hint += " The first row has to be the header."
        listed = ", ".join(map(repr, names[:_LISTED])) + ", ..." * (len(names) > _LISTED)
        raise ValueError(
            f"{parameter}={column!r} is not a column of {self.source}. Its columns are: {listed}."
            f"{hint}"
        )

    def texts(self, column: str) -> list[str]:
        """Return each cell of a column as text, "" where it is empty."""
        return [_as_text(value) for value in self.frame[column].to_numpy(dtype=object)]

    def identifiers(self, column: str, known: Iterable[str] = ()) -> list[str]:
        """Return each cell of a column of names or patients as text, "" where it is empty.

        Raises ValueError for identifiers that a spreadsheet or a DataFrame has made numbers, so
        that digits were lost, unless they are among the ``known`` ones.
        """
        texts = [_FORMULA.sub(r"\1", text.strip()) for text in self.texts(column)]
        filled = [text for text in texts if text]
        if filled and all(re.fullmatch(r"\d+\.0", text) for text in filled):
            texts = [text.removesuffix(".0") for text in texts]  # integers, and empty cells
        values = self.frame[column].to_numpy(dtype=object)
        inexact = [isinstance(v, float) and abs(v) >= _LARGEST_EXACT for v in values]
        damaged = [
            place for place, text in enumerate(texts) if _DAMAGED.fullmatch(text) or inexact[place]
        ]
        if damaged:
            names = {texts[place] for place in damaged}.intersection(known)
            damaged = [place for place in damaged if texts[place] not in names]
        refuse(
            texts,
            damaged,
            self.row_names,
            column,
            "are rounded numbers instead of identifiers, so digits were lost",
            "Export the table again: give the column the format Text in the spreadsheet before "
            "the identifiers get into it, or read it with pandas.read_csv(dtype=str).",
        )
        return texts

    def values(self, rows: np.ndarray) -> pd.DataFrame:
        """Return some rows, text columns of plain numbers as numbers, None where cells are empty.

        A column with leading zeros or more digits than a number holds stays text.
        """
        part = self.frame.iloc[rows].reset_index(drop=True)
        return pd.DataFrame(
            {place: _as_values(part.iloc[:, place]) for place in range(part.shape[1])}
        ).set_axis(part.columns, axis=1)


def open_table(table, columns: Sequence[str], parameter: str = "table=") -> UserTable:
    """Return a table from a csv, tsv, parquet or xlsx file, or from a DataFrame of any library.

    ``columns`` are some that it may have, ``parameter`` is for messages. Raises FileNotFoundError,
    TypeError, ImportError without the package that reads the file, and ValueError for files that
    cannot be read.
    """
    if not isinstance(table, (str, os.PathLike)):
        frame = as_pandas(table)
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(
                f"table is a {type(table).__name__}; give a DataFrame or the path of a csv, "
                "parquet or xlsx file."
            )
        names = any(name is not None for name in frame.index.names)
        if names or not pd.api.types.is_integer_dtype(frame.index.dtype):
            frame = frame.reset_index()  # "index" if it has no name
        if frame.empty:
            raise ValueError(f"{parameter.strip('= ')} has no rows.")
        return UserTable(frame, "table", lambda place: f"row {place} (counted from 0)")
    path = expanded(table)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{parameter}{str(table)!r} {what}; give the path of a csv, parquet or xlsx file."
        )
    with open(path, "rb") as stream:
        start = stream.read(4)
    decimal_comma = False
    if start == _PARQUET:
        frame = _read_parquet(path)
    elif start in (_WORKBOOK, _OLD_WORKBOOK):
        frame = _read_workbook(path)
    else:
        frame, decimal_comma = read_csv_as_text(path, columns)
    if frame.empty:
        raise ValueError(f"{parameter}{str(table)!r} has no rows.")
    numbers = frame.index.to_numpy()
    return UserTable(
        frame, path.name, lambda place: f"row {numbers[place]}", decimal_comma=decimal_comma
    )


def _read_parquet(path: Path) -> pd.DataFrame:
    parquet = import_optional("pyarrow.parquet", extra="parquet", purpose="Reading .parquet")
    try:
        frame = as_pandas(parquet.read_table(path).to_pandas())
    except (OSError, ValueError) as error:  # those of pyarrow are among them
        raise ValueError(f"{path} cannot be read as parquet: {error}. Write it again.") from None
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    return frame.set_axis(pd.RangeIndex(len(frame)), axis=0)


def _read_workbook(path: Path) -> pd.DataFrame:
    """Return the first sheet of a workbook; its row 2 has index 2."""
    try:
        frame = pd.read_excel(path, header=None, dtype=object, na_filter=False)
    except ImportError as error:
        raise ImportError(
            f'Reading {path.name} needs a package ({error}): pip install "ecgsk[excel]". '
            f"{_SAVE_AS_CSV}."
        ) from None
    except Exception as error:  # a damaged archive can fail in any way
        raise ValueError(f"{path} cannot be read as a workbook: {error}. {_SAVE_AS_CSV}.") from None
    if frame.empty:
        raise ValueError(f"The first sheet of {path} is empty. {_SAVE_AS_CSV}.")
    frame = frame.set_axis(pd.RangeIndex(1, len(frame) + 1))
    names = [_as_text(name) for name in frame.iloc[0]]
    frame = frame.iloc[1:].set_axis(names, axis=1)
    return frame[(frame.map(_as_text) != "").any(axis=1)]


def _one_line(text: str) -> str:
    """Return the name of a column without line breaks and repeated blanks."""
    return " ".join(text.split())


def _as_text(value) -> str:
    if isinstance(value, str):
        return value.strip()
    if value is None or value is pd.NaT or value is pd.NA:
        return ""
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.0f}" if value % 1 == 0 else str(float(value))
    if hasattr(value, "isoformat") or isinstance(value, np.datetime64):
        return (
            as_text(value) if hasattr(value, "year") or not hasattr(value, "hour") else str(value)
        )
    return str(value).strip()


def _as_values(column: pd.Series) -> pd.Series:
    if not pd.api.types.is_object_dtype(column) and not pd.api.types.is_string_dtype(column):
        return column
    values = column.to_numpy(dtype=object)
    filled = [value for value in values if isinstance(value, str) and value.strip()]
    texts = [value for value in filled if not _PLAIN_NUMBER.fullmatch(value.strip())]
    if filled and not texts and all(isinstance(v, str) or v is None for v in values):
        return pd.to_numeric(column.where(column != ""))
    return pd.Series(
        [None if isinstance(v, str) and not v.strip() else v for v in values], dtype=object
    )
