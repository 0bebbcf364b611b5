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

_Key = tuple[tuple[str, ...], str]  # folders and name


class RowsOfRecords(NamedTuple):
    """Which rows of a table are about which recordings, by their places."""

    rows: dict[int, list[int]]  # of each recording that has some
    # Of each recording that a row may be about, but also others: that row, and all of them.
    unclear: dict[int, tuple[int, list[int]]]


def match_names(
    names: Sequence[str], records: Iterable[tuple[str, str | None]], ignore: Collection[str]
) -> RowsOfRecords:
    """Find the rows of each recording, given as its name and its path (None if unknown).

    ``names`` are those in the table, "" where missing. A name may have any of the folders of the
    file, but no other folders. With "suffix" in ``ignore``, endings may be absent or differ
    where no row has the exact name. "folder" ignores folders, "case" capitals and "zeros" zeros
    before a number. A row that may be about several recordings is about none.
    """
    whole, stems = _Index(names, ignore), _Index(names, ignore, ending=False)
    for place, (record, path) in enumerate(records):
        folders, keys = _keys(record, path, ignore)
        whole.add(place, folders, keys)
        if "suffix" in ignore:
            stems.add(place, folders, [without_ending(key) for key in keys])
    rows: dict[int, list[int]] = {}
    unclear: dict[int, tuple[int, list[int]]] = {}
    taken: set[int] = set()
    for index in (whole, stems):
        # A row or a recording with an exact match takes no part in the second round.
        found: dict[int, list[int]] = defaultdict(list)
        for key, places in index.places.items():
            free = [row for row in index.rows[key] if row not in taken]
            if not free or rows.keys() >= set(places):
                continue
            if len(places) == 1:
                found[places[0]] += free
            else:
                unclear |= dict.fromkeys(places, (free[0], places))
        rows |= {place: sorted(several) for place, several in found.items()}
        taken.update(row for key in index.places for row in index.rows[key])
    return RowsOfRecords(rows, {k: v for k, v in unclear.items() if k not in rows})


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


class _Index:
    """Names in a table, and the places of the recordings that may have them.

    Both are by folders and name, so that 40,000 files of one name in as many folders are found
    quickly.
    """

    def __init__(self, names: Sequence[str], ignore: Collection[str], *, ending: bool = True):
        self.rows: dict[_Key, list[int]] = defaultdict(list)
        self.places: dict[_Key, list[int]] = defaultdict(list)
        for row, text in enumerate(names):
            if text.strip():
                folders, name = _split(text, ignore)
                name = name if ending else without_ending(name)
                self.rows[folders, plain_key(name, ignore)].append(row)
        self._depths = sorted({len(folders) for folders, _ in self.rows})
        self._by_name: dict[str, list[_Key]] = defaultdict(list)
        for key in self.rows:
            self._by_name[key[1]].append(key)

    def add(self, place: int, folders: tuple[str, ...] | None, names: Sequence[str]) -> None:
        """Add a recording with one of some names; its folders are None if unknown."""
        for name in dict.fromkeys(names):
            if folders is None:
                keys = self._by_name.get(name, [])
            else:
                depths = [depth for depth in self._depths if depth <= len(folders)]
                keys = [(folders[len(folders) - depth :], name) for depth in depths]
            for key in keys:
                if key in self.rows:
                    self.places[key].append(place)


def _keys(
    record: str, path: str | None, ignore: Collection[str]
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the folders of a recording, None if unknown, and the names that it may have."""
    folders, file = (None, record) if path is None else _split(path, ignore)
    # A file of several recordings has no row: each recording has its own.
    numbered = record.endswith("]") and not file.endswith("]")
    names = [record] if numbered else [record, file]
    return folders, [plain_key(name, ignore) for name in names]


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
