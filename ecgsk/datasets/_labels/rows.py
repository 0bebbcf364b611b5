"""The rows of a table that belong to each recording."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ecgsk._core.cell_dates import as_text, has_short_year, read_dates, without_times
from ecgsk._core.cell_values import is_missing, refuse
from ecgsk._core.record_names import match_names, plain_key
from ecgsk._core.user_tables import UserTable

# Kinds of reasons for which a recording is left out; each completes "were left out ".
NO_ROW = "because the table has no row for them"
UNCLEAR = "because a row fits several"
NO_KEY = "because their metadata has no"
TOO_FAR = "because their rows are too far away in time"
_REASON = "the table has no row for it"
NAMES = ("record", "path")
_DATES = "Write dates as 2024-03-01, without a time zone"
_FOUR_DIGITS = "Write the year with four digits, such as 2024-03-01."


@dataclass
class Candidates:
    """The best rows for each recording: several where the table repeats itself."""

    rows: list[list[int]]
    keys: list[str]  # the name or key in each row of the table, "" where missing
    # Kind and text of why a recording has none, where it is not just that the table has none.
    reasons: dict[int, tuple[str, str]]
    n_ties: int = 0  # recordings with two rows that are equally near in time

    def reason(self, place: int) -> tuple[str, str]:
        """Return kind and text of why a recording has no row."""
        return self.reasons.get(place, (NO_ROW, _REASON))


def keys_of(bunch: Bunch, on: str | Mapping[str, str], table: UserTable) -> dict[str, str]:
    """Return which column of the table each column of the metadata is compared with."""
    metadata = metadata_of(bunch)
    if isinstance(on, str):
        if not set(NAMES) & set(metadata.columns):
            raise ValueError(
                f"on={on!r} compares names of files, but metadata has neither 'record' nor 'path'. "
                f"Give the column that is to be compared: on={{{str(metadata.columns[0])!r}: "
                f"{on!r}}}. Its columns are {', '.join(map(repr, map(str, metadata.columns)))}."
            )
        return {"record": table.find(on, "on")}
    if not on or not all(isinstance(item, str) for pair in on.items() for item in pair):
        raise ValueError(f"on={on!r} is not allowed; give names as in on={{'patient': 'mrn'}}.")
    absent = [name for name in on if name not in metadata.columns]
    if absent:
        raise ValueError(
            f"on={dict(on)!r}: metadata has no column {absent[0]!r}; keys are columns of metadata, "
            f"values those of the table. It has {', '.join(map(repr, map(str, metadata.columns)))}."
        )
    return {name: table.find(column, "on") for name, column in on.items()}


def metadata_of(bunch: Bunch) -> pd.DataFrame:
    """Return the metadata of a Bunch, with its index as a column if that has a name."""
    metadata = bunch.get("metadata")
    if not isinstance(metadata, pd.DataFrame):
        raise ValueError("bunch has no metadata, so its recordings have no names. Use a loader.")
    named = any(name is not None for name in metadata.index.names)
    return metadata.reset_index() if named else metadata


def find_by_name(
    bunch: Bunch, column: str, table: UserTable, ignore: Collection[str]
) -> Candidates:
    """Find rows by the names of recordings, see `match_names`."""
    records = names_of(bunch)
    known = [name for name, _ in records]
    keys = table.identifiers(column, known)
    found, unclear = match_names(keys, records, ignore)
    rows = [found.get(place, []) for place in range(len(records))]
    reasons: dict[int, tuple[str, str]] = {}
    for place, (row, places) in unclear.items():
        one, other = (records[place][1] or records[place][0] for place in places[:2])
        reason = (
            f"{table.row_names(row)} of the table, {keys[row]!r}, fits {len(places)} recordings, "
            f"among them {one!r} and {other!r}: write their folders or endings into the table"
        )
        reasons[place] = (UNCLEAR, reason)
    return Candidates(rows, keys, reasons)


def names_of(bunch: Bunch) -> list[tuple[str, str | None]]:
    """Return name and path of each recording; the path is None where unknown."""
    metadata = metadata_of(bunch)
    named = metadata.get("record", metadata.get("path"))
    if named is None:
        named = metadata.iloc[:, 0]
    paths = metadata.get("path", pd.Series([None] * len(metadata), dtype=object))
    return [
        (str(name), None if pd.isna(path) else str(path))
        for name, path in zip(named, paths, strict=True)
    ]


def find_by_keys(
    bunch: Bunch,
    keys: Mapping[str, str],
    table: UserTable,
    ignore: Collection[str],
    within: pd.Timedelta | None,
    direction: str,
    usable: np.ndarray,
) -> Candidates:
    """Find rows by other columns of the metadata, the nearest ones of those that are ``usable``."""
    metadata = metadata_of(bunch)
    dated = [name for name in keys if _is_date(metadata[name], name)]
    if len(dated) > 1 or (within is not None and not dated):
        raise ValueError(
            f"on={dict(keys)!r} has {len(dated)} columns of dates, but within= and direction= need "
            "one. Those are columns of metadata with dates, or with 'date' in their names."
        )
    same = [name for name in keys if name not in dated]
    of_rows = list(zip(*(table.identifiers(keys[name]) for name in same), strict=True))
    of_rows = of_rows or [()] * len(table)
    of_records = list(zip(*(_texts(metadata[name]) for name in same), strict=True))
    of_records = of_records or [()] * len(metadata)
    shown = [" ".join(parts) for parts in of_rows]
    groups: dict[tuple, list[int]] = defaultdict(list)
    for row, parts in enumerate(of_rows):
        if all(parts) and usable[row]:
            groups[tuple(plain_key(part, ignore) for part in parts)].append(row)

    absent: dict[int, list[str]] = {}
    for place, parts in enumerate(of_records):
        if not all(parts):
            absent[place] = [name for name, part in zip(same, parts, strict=True) if not part]
    rows = [
        [] if place in absent else groups.get(tuple(plain_key(p, ignore) for p in parts), [])
        for place, parts in enumerate(of_records)
    ]
    if not dated:
        return Candidates(rows, shown, _reasons_of_absent(absent))

    name = dated[0]
    times, of_table, texts = _dates_of(metadata[name], name, table, keys[name])
    shown = [f"{key} {text}".strip() for key, text in zip(shown, texts, strict=True)]
    if without_times(times) or without_times(of_table):
        days = [dates.astype("datetime64[D]") for dates in (times, of_table)]
        times, of_table = (dates.astype("datetime64[s]") for dates in days)
    zero = np.timedelta64(0, "s")
    limit = np.timedelta64(0 if within is None else int(within.total_seconds()), "s")
    for place in np.flatnonzero(np.isnat(times)).tolist():
        absent.setdefault(place, []).append(name)
        rows[place] = []
    reasons = _reasons_of_absent(absent)
    n_ties = 0
    for place, candidates in enumerate(rows):
        if place in absent:
            continue
        apart = of_table[candidates] - times[place]
        wrong_side = apart > zero if direction == "before" else apart < zero
        near = (np.abs(apart) <= limit) & ~(wrong_side & (direction != "nearest"))  # NaT: False
        if not near.any():
            if candidates:
                when = "of its day or time"
                if within is not None:
                    when = f"within {_in_words(within)} {_SIDES[direction]} it"
                who = f" of {' '.join(of_records[place])!r}" if same else ""
                reasons[place] = (TOO_FAR, f"none of the rows{who} is {when}")
            rows[place] = []
            continue
        nearest = np.abs(apart) == np.abs(apart[near]).min()
        nearest &= near
        if len(set(apart[nearest].tolist())) > 1:
            n_ties += 1
            nearest &= apart < zero
        rows[place] = [row for row, keep in zip(candidates, nearest, strict=True) if keep]
    return Candidates(rows, shown, reasons, n_ties)


def _reasons_of_absent(absent: Mapping[int, Sequence[str]]) -> dict[int, tuple[str, str]]:
    """Return kind and text of the reason for recordings without some of the values compared."""
    listed = {place: " and no ".join(names) for place, names in absent.items()}
    return {
        place: (f"{NO_KEY} {names}", f"its metadata has no {names}")
        for place, names in listed.items()
    }


_SIDES = {"nearest": "of", "before": "before", "after": "after"}


def _in_words(window: pd.Timedelta) -> str:
    return (
        f"{window.days} days"
        if window == pd.Timedelta(days=window.days)
        else str(window.to_pytimedelta())
    )


def _is_date(values: pd.Series, name: str) -> bool:
    known = values.dropna()
    dates = len(known) and hasattr(known.iloc[0], "isoformat")
    return (
        bool(dates) or "date" in str(name).lower() or pd.api.types.is_datetime64_any_dtype(values)
    )


def _texts(values: pd.Series) -> list[str]:
    """Return identifiers in metadata as text, "" where missing."""
    frame = pd.DataFrame({"": values.to_numpy()})
    return UserTable(frame, "metadata", lambda place: f"recording {place}").identifiers("")


def _dates_of(
    values: pd.Series, name: str, table: UserTable, column: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the dates of recordings and of rows, and the texts of the latter."""
    of_records = ["" if pd.isna(v) else v if isinstance(v, str) else as_text(v) for v in values]
    texts = table.texts(column)
    found = []
    for cells, what, row_name in (
        (of_records, name, lambda place: f"metadata of recording {place}"),
        (texts, column, table.row_names),
    ):
        dates, unread = read_dates(cells)
        bad = [place for place in unread if not is_missing(cells[place])]
        short = [place for place in bad if has_short_year(cells[place])]
        refuse(cells, short, row_name, what, "are dates whose year has two digits", _FOUR_DIGITS)
        refuse(cells, bad, row_name, what, "are not dates with a clear order", f"{_DATES}.")
        found.append(dates)
    return found[0], found[1], texts
