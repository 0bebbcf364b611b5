"""Rows of a table for recordings, by the names of their files."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

# What may differ between a name in a table and the name of a file.
IGNORABLE = ("suffix", "folder", "case", "zeros")
# An ending has a letter: the 7 of "1.2.840.7" belongs to the name. A file of several recordings
# has the number of the recording behind its ending.
_NAME = re.compile(
    r"(.+?)(\.[^.\[\]]{0,9}[a-z][^.\[\]]{0,9})?(\[\d+\])?", re.IGNORECASE | re.DOTALL
)


class RowsOfRecords(NamedTuple):
    """Which rows of a table are about which recordings."""

    rows: list[list[int]]  # of each recording; empty where the table has none
    unclear: dict[int, list[int]]  # recordings that a row may be about, where these are several


def match_names(
    names: Sequence[str], records: Sequence[tuple[str, str | None]], ignore: Collection[str]
) -> RowsOfRecords:
    """Find the rows of each recording, given as its name and its path (None if unknown).

    ``names`` are those in the table, "" where missing. A name may have any of the folders of the
    file, but no other folders. With "suffix" in ``ignore``, endings may be absent or differ
    where no row has the very name. "folder" ignores folders, "case" capitals and "zeros" zeros
    before a number. A row that may be about several recordings is about none.
    """
    by_name, by_stem = _index(names, ignore)
    found: list[list[int]] = [[] for _ in records]
    taken: set[int] = set()
    unclear: dict[int, list[int]] = {}
    for level, index in enumerate((by_name, by_stem)):
        if level and "suffix" not in ignore:
            break
        claims: dict[int, list[int]] = defaultdict(list)
        for place, (record, path) in enumerate(records):
            if not found[place]:
                for row in _rows_of(record, path, index, ignore, bool(level)):
                    if row not in taken:
                        claims[row].append(place)
        for row, places in claims.items():
            taken.add(row)
            if len(places) > 1:
                unclear[row] = places
            else:
                found[places[0]].append(row)
    return RowsOfRecords([sorted(rows) for rows in found], unclear)


def plain_key(text: str, ignore: Collection[str]) -> str:
    """Return an identifier in the form in which it is compared."""
    key = unicodedata.normalize("NFC", text.strip())
    if "case" in ignore:
        key = key.casefold()
    return re.sub(r"^0+(?=\d)", "", key) if "zeros" in ignore else key


def _index(names: Sequence[str], ignore: Collection[str]) -> tuple[dict, dict]:
    by_name: dict[str, list] = defaultdict(list)
    by_stem: dict[str, list] = defaultdict(list)
    for row, text in enumerate(names):
        if text.strip():
            folders, name = _split(text, ignore)
            by_name[plain_key(name, ignore)].append((row, folders))
            by_stem[plain_key(_stem(name), ignore)].append((row, folders))
    return by_name, by_stem


def _rows_of(
    record: str, path: str | None, index: dict, ignore: Collection[str], by_stem: bool
) -> list[int]:
    folders, file = ((), record) if path is None else _split(path, ignore)
    # A file of several recordings has no row: each recording has its own.
    names = {record} if record.endswith("]") and not file.endswith("]") else {record, file}
    if by_stem:
        names = {_stem(name) for name in names}
    rows: dict[int, None] = {}
    for name in {plain_key(name, ignore) for name in names}:
        for row, given in index.get(name, ()):
            of_file = folders[len(folders) - len(given) :] if len(given) <= len(folders) else ()
            if "folder" in ignore or path is None or given == of_file:
                rows[row] = None
    return list(rows)


def _split(text: str, ignore: Collection[str]) -> tuple[tuple[str, ...], str]:
    parts = [part for part in re.split(r"[/\\]", text.strip()) if part not in ("", ".")]
    folders = parts[:-1]
    case = {"case"} & set(ignore)
    return tuple(plain_key(part, case) for part in folders), parts[-1] if parts else ""


def _stem(name: str) -> str:
    match = _NAME.fullmatch(name)
    return name if match is None else match[1] + (match[3] or "")
