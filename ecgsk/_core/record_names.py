"""Rows of a table for recordings, by the names of their files."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

# What may differ between a name in a table and the name of a file.
IGNORABLE = ("suffix", "folder", "case", "zeros")
# An ending has a letter: the 7 of "1.2.840.7" belongs to the name. A file of several recordings
# has the number of the recording behind its ending.
_NAME = re.compile(r"(.+?)(\.\d{0,3}[a-z][a-z0-9]{0,9})?(\[\d+\])?", re.IGNORECASE | re.DOTALL)


class RowsOfRecords(NamedTuple):
    """Which rows of a table are about which recordings, by their places."""

    rows: dict[int, list[int]]  # of each recording that has some
    unclear: dict[int, list[int]]  # recordings that a row may be about, where these are several


def match_names(
    names: Sequence[str], records: Iterable[tuple[str, str | None]], ignore: Collection[str]
) -> RowsOfRecords:
    """Find the rows of each recording, given as its name and its path (None if unknown).

    ``names`` are those in the table, "" where missing. A name may have any of the folders of the
    file, but no other folders. With "suffix" in ``ignore``, endings may be absent or differ
    where no row has the very name. "folder" ignores folders, "case" capitals and "zeros" zeros
    before a number. A row that may be about several recordings is about none.
    """
    by_name, by_stem = _index(names, ignore)
    # The recordings of each row, by whole names and by names without endings.
    whole: dict[int, list[int]] = defaultdict(list)
    of_stems: dict[int, list[int]] = defaultdict(list)
    for place, (record, path) in enumerate(records):
        folders, keys = _keys(record, path, ignore)
        for row in _rows_of(keys, folders, by_name):
            whole[row].append(place)
        if "suffix" in ignore:
            for row in _rows_of([without_ending(key) for key in keys], folders, by_stem):
                of_stems[row].append(place)
    rows: dict[int, list[int]] = {}
    unclear = {}
    for claims in (whole, of_stems):
        # A row or a recording that has found the very name does not look further.
        found: dict[int, list[int]] = defaultdict(list)
        for row, places in claims.items():
            if claims is of_stems and (row in whole or rows.keys() >= set(places)):
                continue
            if len(places) > 1:
                unclear[row] = places
            else:
                found[places[0]].append(row)
        rows |= {place: sorted(several) for place, several in found.items()}
    return RowsOfRecords(rows, unclear)


def plain_key(text: str, ignore: Collection[str]) -> str:
    """Return an identifier in the form in which it is compared."""
    key = unicodedata.normalize("NFC", text.strip())
    if "case" in ignore:
        key = key.casefold()
    return re.sub(r"^0+(?=\d)", "", key) if "zeros" in ignore else key


def without_ending(name: str) -> str:
    """Return the name of a file, or of a recording in a file of several, without the ending."""
    match = _NAME.fullmatch(name)
    return name if match is None else match[1] + (match[3] or "")


def _index(names: Sequence[str], ignore: Collection[str]) -> tuple[dict, dict]:
    by_name: dict[str, list] = defaultdict(list)
    by_stem: dict[str, list] = defaultdict(list)
    for row, text in enumerate(names):
        if text.strip():
            folders, name = _split(text, ignore)
            by_name[plain_key(name, ignore)].append((row, folders))
            by_stem[plain_key(without_ending(name), ignore)].append((row, folders))
    return by_name, by_stem


def _keys(
    record: str, path: str | None, ignore: Collection[str]
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the folders of a recording, None if unknown, and the names that it may have."""
    folders, file = (None, record) if path is None else _split(path, ignore)
    # A file of several recordings has no row: each recording has its own.
    numbered = record.endswith("]") and not file.endswith("]")
    names = [record] if numbered else [record, file]
    return folders, [plain_key(name, ignore) for name in dict.fromkeys(names)]


def _rows_of(keys: Iterable[str], folders: tuple[str, ...] | None, index: dict) -> list[int]:
    rows: dict[int, None] = {}
    for key in keys:
        for row, given in index.get(key, ()):
            if folders is None or not given or given == folders[-len(given) :]:
                rows[row] = None
    return list(rows)


def _split(text: str, ignore: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Return folders, none with "folder" in ``ignore``, and the last part of a path."""
    if "/" not in text and "\\" not in text:
        return (), text.strip()
    parts = [part for part in re.split(r"[/\\]", text.strip()) if part not in ("", ".")]
    while parts[:1] == [".."]:
        del parts[0]
    folders = [] if "folder" in ignore else parts[:-1]
    case = {"case"} & set(ignore)
    return tuple(plain_key(part, case) for part in folders), parts[-1] if parts else ""
