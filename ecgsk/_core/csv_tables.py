"""Tables in text files, also those that a spreadsheet has saved in its own way."""

import codecs
import csv
import io
import os
import re
import warnings
from collections.abc import Sequence

import pandas as pd

_SEPARATORS = (",", ";", "\t", "|")
# UTF-32 begins like UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SAVE_AGAIN = "Save it as CSV with commas, in UTF-8"
_DECIMAL_COMMA = r"[+-]?\d+(?:,\d+)?"


def read_csv(file: str | os.PathLike, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table whose header has some of the ``columns``.

    They decide which of comma, semicolon, tab and bar separates. Encodings are UTF-8, UTF-16 and
    UTF-32, and cp1252 or Latin-1 for all else; in tables without commas between columns, numbers
    may have a decimal comma. ValueError names the file and the remedy.
    """
    table, separator = _parse(file, columns, index_col=False)
    table.columns = table.columns.str.strip()
    if table.isna().all(axis=1).any():  # a spreadsheet saves empty rows as well
        table = table.dropna(how="all").reset_index(drop=True)
    return table if separator == "," else _with_decimal_points(table)


def read_csv_as_text(file: str | os.PathLike, columns: Sequence[str]) -> tuple[pd.DataFrame, bool]:
    """Read a table with each cell as the text in the file, so that "007" and "NA" stay.

    Return it, and whether numbers may have a decimal comma. Row 2 of the file, below the header,
    has index 2; empty rows are left out. ``columns`` are as in `read_csv`, but a table without
    them is read, too: the caller checks which ones it needs.
    """
    table, separator = _parse(
        file,
        columns,
        need_one=False,
        header=None,
        dtype=str,
        na_filter=False,
        skip_blank_lines=False,
    )
    table = table.set_axis(pd.RangeIndex(1, len(table) + 1)).fillna("")
    names = table.iloc[0].str.strip()
    table = table.iloc[1:].set_axis(names.to_list(), axis=1)
    return table[(table != "").any(axis=1)], separator != ","


def _parse(
    file: str | os.PathLike, columns: Sequence[str], *, need_one: bool = True, **options
) -> tuple[pd.DataFrame, str]:
    """Return a table as pandas parses it with ``options``, and what separates its columns."""
    with open(file, "rb") as stream:
        content = stream.read()
    if content.startswith(_WORKBOOKS):
        raise ValueError(f"{file} is a workbook of a spreadsheet, not text. {_SAVE_AGAIN}.")
    try:
        text = decode_text(content)
        separator, start = _layout(text, columns, need_one)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            source = io.StringIO(text[start:])
            return pd.read_csv(source, sep=separator, low_memory=False, **options), separator
    except (ValueError, csv.Error, pd.errors.ParserWarning) as error:  # ParserError is a ValueError
        reason = " ".join(str(error).split()) or "it holds no table"
        raise ValueError(
            f"{file} cannot be read as CSV: {reason}. {_SAVE_AGAIN}, or copy it again."
        ) from None


def decode_text(content: bytes) -> str:
    """Return text in UTF-8, UTF-16 or UTF-32, and as cp1252 or Latin-1 for all else."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:1000]:
        # ASCII in UTF-16 without a mark has its zeros at odd places, or at even ones.
        encoding = "utf-16-le" if b"\0" in content[1:1000:2] else "utf-16-be"
    for name in (encoding,) if encoding else ("utf-8", "cp1252"):
        try:
            return content.decode(name)
        except UnicodeDecodeError:
            if encoding:
                raise
    return content.decode("latin-1")


def _layout(text: str, columns: Sequence[str], need_one: bool) -> tuple[str, int]:
    """Return what separates the columns, and where the header begins."""
    hint = re.match(r'"?sep=.?"?[ \t]*\r?\n', text, re.IGNORECASE)  # for spreadsheets
    start = hint.end() if hint else 0
    header = re.split(r"[\r\n]", text[start:], maxsplit=1)[0]

    def n_known(separator: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=separator), [])
        return len({name.strip() for name in names} & set(columns)), len(names)

    separator = max(_SEPARATORS, key=n_known)
    if need_one and not n_known(separator)[0]:
        raise ValueError(
            f"its header has none of the columns {', '.join(columns)}; it begins {header[:60]!r}"
        )
    return separator, start


def _with_decimal_points(table: pd.DataFrame) -> pd.DataFrame:
    for name in table.columns:
        values = table[name].dropna()
        if pd.api.types.is_numeric_dtype(values) or not len(values):
            continue
        text = values.astype(str).str.strip()
        if text.str.fullmatch(_DECIMAL_COMMA).all():
            table[name] = pd.to_numeric(text.str.replace(",", ".")).reindex(table.index)
    return table
