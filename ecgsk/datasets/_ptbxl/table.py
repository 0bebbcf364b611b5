"""The table of PTB-XL: which records there are, in which fold, with which statements."""

import ast
import warnings
from collections import Counter
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk._core.csv_tables import read_csv
from ecgsk._core.record_error import RecordError
from ecgsk.datasets._ptbxl.labels import is_statement

_CSV = "ptbxl_database.csv"
# Word processors and spreadsheets curl quotation marks.
_QUOTES = str.maketrans(dict.fromkeys("\u2018\u2019\u201a\u201c\u201d\u201e", "'"))
FILENAME_COLUMN = {100: "filename_lr", 500: "filename_hr"}


def read_table(
    path: Path, folds, sampling_rate: int
) -> tuple[pd.DataFrame, list[tuple[str, ...]], list[RecordError]]:
    """Read the rows of some folds, with ``ecg_id`` as index, and each row's keys of ``scp_codes``.

    ``path`` is the folder or the table in it. Rows that cannot be understood are not in the table
    but among the returned errors.
    """
    folds = _check_folds(folds)
    file = path if path.is_file() else path / _CSV
    if not file.is_file():
        below = sorted(path.glob(f"*/{_CSV}")) if path.is_dir() else []
        hint = (
            f"There is one in {str(below[0].parent)!r}."
            if below
            else "Give the folder of a PTB-XL download, which also holds records100/."
        )
        lacks = "does not exist" if path.suffix.lower() == ".csv" else f"holds no {_CSV}"
        raise FileNotFoundError(f"path={str(path)!r} {lacks}. {hint}")
    needed = ["ecg_id", "patient_id", "scp_codes", "strat_fold", FILENAME_COLUMN[sampling_rate]]
    table = read_csv(file, needed)
    absent = [column for column in needed if column not in table]
    if absent:
        found = ", ".join(map(str, table.columns[:6]))
        raise ValueError(
            f"{file} has no column {', '.join(absent)}; it starts with the columns {found}. It is "
            "not the table that PTB-XL comes with, or not all of it."
        )
    for column in ("ecg_id", "strat_fold", "patient_id"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        table[column] = numbers.where(numbers % 1 == 0)
    if folds is not None:
        fold = table["strat_fold"]
        if not fold.isin(folds).any():
            there = sorted(int(value) for value in fold.dropna().unique())
            raise ValueError(f"folds={folds} select no row of {file}, which has folds {there}.")
        table = table[fold.isin(folds) | fold.isna()]

    keys = {text: _keys(text) for text in table["scp_codes"].unique()}
    statements = [keys[text] for text in table["scp_codes"]]
    reasons = _why_unusable(table, statements)
    failures = [RecordError(str(file), reason) for reason in reasons if reason]
    whole = np.array([not reason for reason in reasons], dtype=bool)
    integers = dict.fromkeys(("ecg_id", "patient_id", "strat_fold"), "int64")
    table = table[whole].astype(integers).set_index("ecg_id")
    of_rows = zip(statements, whole, strict=True)
    kept = [codes for codes, keep in of_rows if keep and codes is not None]
    _warn_of_unknown(kept)
    return table, kept, failures


def _why_unusable(table: pd.DataFrame, statements: list) -> list[str]:
    """Return for each row why it cannot be used; empty text where it can."""
    ids = table["ecg_id"]
    usable = table[["ecg_id", "patient_id", "strat_fold"]].notna()
    usable["scp_codes"] = [codes is not None for codes in statements]
    again = ids.duplicated().to_numpy()
    # Of rows that contradict each other, none is known to be right.
    different = ids[~table.duplicated()]
    contradicted = ids.isin(different[different.duplicated()]).to_numpy()
    reasons = []
    for place, columns in enumerate(usable.to_numpy()):
        ecg_id = ids.iloc[place]
        row = f"row {table.index[place]}" if pd.isna(ecg_id) else f"row ecg_id {ecg_id:.0f}"
        reason = ""
        if not columns.all():
            codes = "" if columns[-1] else f": {str(table['scp_codes'].iloc[place])[:60]!r}"
            reason = f"{row} has no usable {', '.join(usable.columns[~columns])}{codes}"
        elif contradicted[place]:
            reason = f"{row} is there more than once, with different values"
        elif again[place]:
            reason = f"{row} is there more than once"
        reasons.append(reason)
    return reasons


def _check_folds(folds) -> list[int] | None:
    if folds is None:
        return None
    chosen = [folds] if isinstance(folds, Integral) else folds
    try:
        chosen = [] if isinstance(chosen, (str, bytes)) else list(chosen)
    except TypeError:
        chosen = []
    valid = all(
        isinstance(fold, Integral) and not isinstance(fold, bool) and 1 <= int(fold) <= 10
        for fold in chosen
    )
    if not chosen or not valid:
        raise ValueError(
            f"folds={folds!r} is not allowed; give an integer from 1 to 10, several of them such "
            "as range(1, 9), or None for all."
        )
    return [int(fold) for fold in chosen]


def _keys(text) -> tuple[str, ...] | None:
    """Return the keys of a dictionary written as Python, or None if it is not one."""
    try:
        codes = ast.literal_eval(str(text).translate(_QUOTES))
        return tuple(str(key).strip() for key in codes.keys())
    except (AttributeError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return None


def _warn_of_unknown(statements: list[tuple[str, ...]]) -> None:
    unknown = Counter(code for codes in statements for code in codes if not is_statement(code))
    if unknown:
        listed = ", ".join(f"{code} ({count})" for code, count in unknown.most_common(5))
        warnings.warn(
            f"{unknown.total()} statements in scp_codes are not among PTB-XL's 71 and count for no "
            f"label: {listed}{', ...' if len(unknown) > 5 else ''}.",
            UserWarning,
            stacklevel=5,
        )
