"""One row for each recording, where a table repeats or contradicts itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgsk._core.cell_values import is_missing, read_interval, read_truth
from ecgsk._core.user_tables import UserTable
from ecgsk.datasets._labels.rows import UNCLEAR, Candidates

_CONFLICT = "because their rows contradict each other"
_NO_TARGET = "because their rows have no target"
_NO_PATIENT = "because their rows have no patient"
# Kinds that stop `join_labels` with on_error="raise".
STOPPING = (UNCLEAR, _CONFLICT, _NO_PATIENT)


@dataclass(frozen=True)
class UsedColumn:
    """A column in which the rows of a recording have to agree."""

    name: str
    cells: list[str]
    # What each cell answers to a comparison, None where that is unclear. Rows then have to agree
    # in their answers only.
    answers: list[int | None] | None = None

    def value(self, row: int) -> object:
        """Return what is compared between rows; "" where it is missing."""
        answer = None if self.answers is None else self.answers[row]
        return answer if answer is not None else _value(self.cells[row])


def choose_rows(
    found: Candidates,
    table: UserTable,
    used: Sequence[UsedColumn],
    labeled: np.ndarray,
    patients: Sequence[str] | None,
) -> tuple[np.ndarray, list[tuple[int, str, str]]]:
    """Return the row of each recording, -1 where it has none, with kind and text of the reason.

    Rows that agree in the columns ``used`` and in ``patients`` count as one. Without any of these,
    they have to agree in all columns.
    """
    names = list(table.frame.columns)
    if not used and not patients:
        used = [UsedColumn(n, table.texts(n)) for n in names if names.count(n) == 1]
    if patients is not None:
        used = [*used, UsedColumn("patient", list(patients))]
    rows = np.full(len(found.rows), -1)
    reasons = []
    for place, candidates in enumerate(found.rows):
        if not candidates:
            reasons.append((place, *found.reason(place)))
            continue
        row, conflict = _choose_row(candidates, used, table)
        if conflict:
            reasons.append((place, _CONFLICT, conflict))
        elif not labeled[row]:
            reasons.append((place, _NO_TARGET, f"{table.row_names(row)} has no target"))
        elif patients is not None and not patients[row]:
            reasons.append((place, _NO_PATIENT, f"{table.row_names(row)} has no patient"))
        else:
            rows[place] = row
    return rows, reasons


def _choose_row(
    candidates: Sequence[int], used: Sequence[UsedColumn], table: UserTable
) -> tuple[int, str]:
    """Return the row with all values of equal rows, or -1 and why they contradict each other."""
    if len(candidates) == 1:
        return candidates[0], ""
    for column in used:
        cells = column.cells
        values = {row: column.value(row) for row in candidates}
        if len(set(values.values()) - {""}) > 1:
            other = next(r for r in candidates if values[r] not in ("", _first(values)))
            first = next(r for r in candidates if values[r] == _first(values))
            return -1, (
                f"{table.row_names(first)} and {table.row_names(other)} of the table contradict "
                f"each other: {column.name} is {cells[first]!r} and {cells[other]!r}"
            )
    n_known = [sum(not is_missing(column.cells[row]) for column in used) for row in candidates]
    best = candidates[int(np.argmax(n_known))]
    union = sum(any(not is_missing(c.cells[row]) for row in candidates) for c in used)
    if max(n_known) < union:
        return -1, (
            f"{table.row_names(candidates[0])} and {table.row_names(candidates[1])} of the table "
            "have values in different columns: put them into one row"
        )
    return best, ""


def _first(values: dict) -> object:
    return next(value for value in values.values() if value != "")


def _value(text: str) -> object:
    """Return a cell so that equal values of different spelling are equal; "" where missing."""
    if is_missing(text):
        return ""
    number = read_interval(text)
    if number is not None:
        return number
    truth = read_truth(text)
    return text.strip() if np.isnan(truth) else (truth, truth)
