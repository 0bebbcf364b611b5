"""The summary of a join: counts, and what was left over, as text."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
from sklearn.utils import Bunch

from ecgsk._core.record_names import plain_key
from ecgsk._core.user_tables import UserTable
from ecgsk.datasets._labels.rows import NO_KEY, NO_ROW, TOO_FAR, Candidates, metadata_of

_LISTED = 5


def summarize(
    names: Sequence[str],
    found: Candidates,
    reasons: Sequence[tuple[int, str, str]],
    rows: np.ndarray,
    notes: Sequence[str],
    hints: Sequence[str],
    table: UserTable,
) -> Bunch:
    """Return the numbers of a join, and all of them as text.

    ``names`` are those of all recordings, ``rows`` those of the ones that are kept.
    """
    left = {place for place, _, _ in reasons}
    candidates = {row for several in found.rows for row in several}
    of_kept = {r for place, several in enumerate(found.rows) if place not in left for r in several}
    chosen = Counter(rows.tolist())
    matches = Bunch(
        n_recordings=len(names),
        n_rows=len(table),
        n_matched=len(rows),
        rows=rows,
        rows_left=[
            key or table.row_names(row)
            for row, key in enumerate(found.keys)
            if row not in candidates
        ],
        n_repeated_rows=len(of_kept - set(chosen)),
        n_shared_rows=sum(count > 1 for count in chosen.values()),
        n_ties=found.n_ties,
    )
    lines = [
        f"{matches.n_matched} of {matches.n_recordings} recordings were joined to rows of "
        f"{table.source}, which has {matches.n_rows}."
    ]
    for kind, count in Counter(kind for _, kind, _ in reasons).most_common():
        those = [(names[place], text) for place, other, text in reasons if other == kind]
        line = f"Recordings left out {kind}: {count} ({_first([name for name, _ in those])})."
        lines.append(
            line
            if kind == NO_ROW or kind.startswith(NO_KEY)
            else f"{line} The first: {those[0][1]}."
        )
    if matches.rows_left:
        lines.append(
            f"Rows without a recording: {len(matches.rows_left)} ({_first(matches.rows_left)})."
        )
    if matches.n_repeated_rows:
        lines.append(f"Rows that repeat another one: {matches.n_repeated_rows}.")
    if matches.n_shared_rows:
        lines.append(f"Rows of more than one recording: {matches.n_shared_rows}.")
    if matches.n_ties:
        lines.append(
            f"Recordings with rows before and after them that are equally near: {matches.n_ties}. "
            "The earlier row was taken."
        )
    matches.summary = "\n".join([*lines, *(f"{note}." for note in notes), *hints])
    return matches


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_LISTED])) + ", ..." * (len(names) > _LISTED)


def find_hints(
    find: Callable[[set[str]], Candidates],
    found: Candidates,
    ignored: set[str],
    ignorable: Sequence[str],
) -> list[str]:
    """Return what else of ``ignorable`` to ignore so that more recordings have a row.

    ``find`` returns the rows with some differences ignored.
    """
    n_found = sum(map(bool, found.rows))
    hints = []
    for extra in ignorable if n_found < len(found.rows) else ():
        if extra not in ignored:
            more = sum(map(bool, find({*ignored, extra}).rows)) - n_found
            if more > 0:
                hints.append(
                    f"Recordings that would also match with ignore={[*sorted(ignored), extra]!r}, "
                    f"if that is right: {more}."
                )
    return hints


def explain_no_match(
    bunch: Bunch,
    on,
    keys: dict[str, str],
    candidates: Candidates,
    table: UserTable,
    within: timedelta | None,
    hints: Sequence[str],
) -> str:
    """Return the error for a join without any match, with names of both sides."""
    metadata = metadata_of(bunch)
    known = np.flatnonzero(metadata[list(keys)].notna().all(axis=1))
    recordings = [" ".join(str(metadata[name].iloc[place]) for name in keys) for place in known[:2]]
    rows = [key for key in candidates.keys if key][:2]
    text = (
        f"on={on!r}: no recording has a row in {table.source}. The recordings have "
        f"{_both(recordings)}, the rows {_both(rows)}."
    )
    kinds = Counter(kind for kind, _ in candidates.reasons.values())
    text += "".join(
        f" Recordings without a value: {count}, {kind}."
        for kind, count in kinds.most_common()
        if kind.startswith(NO_KEY)
    )
    hints = list(hints) or _other_columns(bunch, keys, table)
    reasons = [pair for pair in candidates.reasons.values() if not pair[0].startswith(NO_KEY)]
    far = [reason for kind, reason in reasons if kind == TOO_FAR]
    if far:
        wider = "a wider within=" if within is not None else "within=, such as within='14 days'"
        text += (
            f" For {len(far)} recordings the table has rows with other dates. The first: {far[0]}. "
            f"If rows of other days may count, give {wider}."
        )
    elif reasons:
        text += f" The first: {reasons[0][1]}."
    return " ".join([text, *hints])


def _both(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names)) or "no values to compare"


def _other_columns(bunch: Bunch, keys: dict[str, str], table: UserTable) -> list[str]:
    """Return which column of metadata and which of the table have equal values."""
    metadata = metadata_of(bunch)
    if "path" in metadata and "folder" not in metadata:
        folders = [os.path.basename(os.path.dirname(str(path))) for path in metadata["path"]]
        metadata = metadata.assign(folder=folders)
    for name in metadata.columns:
        values = metadata[name].dropna()
        if not len(values) or not isinstance(values.iloc[0], (str, int, np.integer)):
            continue
        known = {plain_key(str(value), ()) for value in values}
        if len(known) < len(values) / 5:
            continue  # a sex or a format identifies no recording
        for column in dict.fromkeys([*keys.values(), *table.frame.columns]):
            if list(table.frame.columns).count(column) != 1 or keys.get(str(name)) == column:
                continue
            texts = {plain_key(text, ()) for text in table.texts(column)} - {""}
            if len(texts & known) > len(texts | known) / 4:
                where = f"metadata[{name!r}]"
                if name not in metadata_of(bunch):
                    where = f"the files' folders, which can be a new column {name!r} of metadata"
                return [
                    f"The column {column!r} has values of {where}: give on={{{str(name)!r}: "
                    f"{column!r}}}."
                ]
    return []
