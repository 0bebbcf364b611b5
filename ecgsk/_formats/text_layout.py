"""The layout of a table of samples: separator of columns, first row, and names."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ecgsk._core.signal import STANDARD_LEADS, lead_name
from ecgsk._formats.time_column import is_time

BLANKS = r"\s+"
# A comma may also be a decimal one, so it comes after those that are never in a number.
_SEPARATORS = (";", "\t", "|", ",", BLANKS)
_FIRST_LINES = 8
_MOST_COLUMNS = 100
_LONGEST_NAME = 100
# Texts with as many may be tables of samples in an unknown layout.
_FEWEST_NAMES, _FEWEST_COLUMNS, _FEWEST_ROWS = 3, 8, 4
_UNIT = re.compile(r"[\s_/]*[(\[]\s*([nmuµμ]?v)\s*[)\]]$|[\s_/]+([nmuµμ]v)$", re.IGNORECASE)
# Leads besides the standard ones. Other columns, such as respiration, are not leads.
_OTHER_LEAD = re.compile(r"[Vv][1-9][0-9]?[Rr]?|C[1-6]|V?[XYZ]|ML(?:I|II|III)|M?CL[1-6]")
_OF_PATIENTS = re.compile(
    r"(?:.*[\s_.-])?(?:id|patient|subject|record|study|exam|name|file|filename|path|age|sex|gender|"
    r"label|target|diagnosis|fold)s?(?:[\s_.-].*)?",
    re.IGNORECASE,
)
_INDEX = re.compile(r"|#|n|i|index|sample|samples|unnamed: 0", re.IGNORECASE)
_SEPARATOR_HINT = re.compile(r'"?sep=.?"?[ \t]*(?:\r?\n|$)', re.IGNORECASE)  # for spreadsheets
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|$)")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
MISSING = frozenset(("", "na", "nan", "n/a", "#n/a", "null", "none"))


@dataclass(frozen=True)
class TextLayout:
    """The layout of a table."""

    separator: str  # a character, or BLANKS
    start: int  # of the first row with samples in the text
    n_columns: int
    cells: tuple[str, ...] | None = None  # of the first row, where it names the columns
    by_row: bool = False  # whether each lead is a row that begins with its name

    @property
    def is_of_patients(self) -> bool:
        """Whether the names of columns are those of a table with a row for each patient."""
        return any(_OF_PATIENTS.fullmatch(cell.strip()) for cell in self.cells or ())


def find_layout(text: str, cut: bool = False) -> TextLayout | None:
    """Return how a table of samples is written, or None for other text.

    ``cut`` is whether the text is the beginning of a longer one.
    """
    lines = _first_lines(text, cut)
    layouts = [
        found
        for separator in _SEPARATORS
        for find in (_named_columns, _named_rows)
        if (found := find(lines, separator)) is not None
    ]
    if layouts:
        # The one with the most leads; those of the first separator among equal ones.
        return max(layouts, key=lambda item: item[0])[1]
    return next(filter(None, (_unnamed_columns(lines, s) for s in _SEPARATORS)), None)


def may_contain_samples(text: str) -> bool:
    """Return whether the beginning of a text without a layout may be that of a table of samples.

    It names leads, in a row or in its first column, or has columns of numbers, without names that
    are those of tables of patients.
    """
    lines = [line for _, line in _first_lines(text, cut=True)]
    for separator in _SEPARATORS:
        rows = [split(line, separator)[:_MOST_COLUMNS] for line in lines]
        names = [[lead_and_unit(cell)[0] for cell in row] for row in rows]
        for part in (*names, [row[0] for row in names]):
            if len(set(part) & set(STANDARD_LEADS)) >= _FEWEST_NAMES:
                return True
        last = rows[-_FEWEST_ROWS:]
        if (
            len(last) == _FEWEST_ROWS
            and len(last[0]) >= _FEWEST_COLUMNS
            and all(len(row) == len(last[0]) and _are_numbers(row) for row in last)
            and not any(_OF_PATIENTS.fullmatch(cell) for cell in rows[0])
        ):
            return True
    return False


def split(line: str, separator: str) -> list[str]:
    """Return the cells of a row."""
    if separator == BLANKS:
        return [cell.strip("\"'") for cell in line.split()] or [""]
    try:
        cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # a cell of more than 131072 characters
        return [line]
    return [cell.strip(" \t'") for cell in cells] or [""]


def lead_and_unit(cell: str) -> tuple[str, str | None]:
    """Return the lead that a cell names, and its unit if the cell states one."""
    cell = cell.strip()
    if len(cell) > _LONGEST_NAME:
        return cell, None
    unit = _UNIT.search(cell)
    if unit is None:
        return lead_name(cell), None
    return lead_name(cell[: unit.start()]), unit[1] or unit[2]


def is_lead(name: str) -> bool:
    """Return whether a name is that of a lead, standard or not."""
    return name in STANDARD_LEADS or _OTHER_LEAD.fullmatch(name) is not None


def _first_lines(text: str, cut: bool) -> list[tuple[int, str]]:
    """Return the first lines that are neither empty nor comments, and where they start."""
    hint = _SEPARATOR_HINT.match(text)
    at = hint.end() if hint else 0
    lines: list[tuple[int, str]] = []
    while at < len(text) and len(lines) < _FIRST_LINES:
        line = _LINE.match(text, at)
        assert line is not None  # it matches an empty text as well
        if line[1].strip(" \t,;|") and not line[1].startswith("#"):
            lines.append((at, line[1]))
        at = line.end()
    if cut and lines and lines[-1][0] + len(lines[-1][1]) == len(text):
        start, last = lines.pop()
        if not lines:
            # A long row, without the number in which it is cut.
            lines.append((start, re.sub(r"[^,;|\s]*$", "", last).rstrip(",;| \t")))
    return lines


def _named_columns(
    lines: Sequence[tuple[int, str]], separator: str
) -> tuple[int, TextLayout] | None:
    """Return the number of leads and the layout of a table whose first row names columns."""
    if len(lines) < 2:
        return None
    cells = split(lines[0][1], separator)
    if len(cells) > _MOST_COLUMNS:
        return None
    rows = [split(line, separator) for _, line in lines[1:]]
    n_columns = len(rows[0])
    if n_columns == len(cells) + 1 and not any(row[-1] for row in rows):
        cells.append("")  # each row ends with a separator
    names = [lead_and_unit(cell)[0] for cell in cells]
    places = [place for place, name in enumerate(names) if is_lead(name)]
    start = 1
    if places and len(rows[0]) == len(cells) and all(_is_voltage(rows[0][p]) for p in places):
        # The second row has the units.
        cells = [f"{name} ({unit})" for name, unit in zip(cells, rows.pop(0), strict=True)]
        start = 2
    leads = {names[place] for place in places} & set(STANDARD_LEADS)
    alone = all(
        place in places or is_time(cell) or _INDEX.fullmatch(cell)
        for place, cell in enumerate(cells)
    )
    if not rows or (len(leads) < 2 and not (leads and alone)):
        return None
    if any(len(row) != len(cells) or not _are_numbers([row[p] for p in places]) for row in rows):
        return None
    return len(leads), TextLayout(separator, lines[start][0], len(cells), tuple(cells))


def _named_rows(lines: Sequence[tuple[int, str]], separator: str) -> tuple[int, TextLayout] | None:
    """Return the number of leads and the layout of a table whose first column names leads."""
    for first in (0, 1):
        rows = [split(line, separator) for _, line in lines[first:]]
        names = {lead_and_unit(row[0])[0] for row in rows}
        # Whether all cells are numbers shows when they are read.
        if (
            names
            and all(map(is_lead, names))
            and all(len(row) > 2 and _are_numbers(row[1:_MOST_COLUMNS]) for row in rows)
        ):
            return len(names), TextLayout(separator, lines[first][0], len(rows[0]), by_row=True)
    return None


def _unnamed_columns(lines: Sequence[tuple[int, str]], separator: str) -> TextLayout | None:
    """Return the layout of a table of numbers alone."""
    rows = [split(line, separator) for _, line in lines]
    if len(rows) < 2 or not 2 <= len(rows[0]) <= _MOST_COLUMNS:
        return None
    if any(len(row) != len(rows[0]) or not _are_numbers(row) for row in rows):
        return None
    return TextLayout(separator, lines[0][0], len(rows[0]))


def _is_voltage(cell: str) -> bool:
    return re.fullmatch(r"[nmuµμ]?v", cell, re.IGNORECASE) is not None


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(_NUMBER.fullmatch(cell) or cell.lower() in MISSING for cell in cells)
