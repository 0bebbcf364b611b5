"""Numbers, yes and no, as people write them into the cells of a table."""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ecgsk._core.calling_line import stacklevel_of_user

# Cells without a value, in lower case. "none" is not among them: it may be a grade.
MISSING = frozenset(
    {"", "nan", "na", "n/a", "n.a.", "#n/a", "#nv", "<na>", "null", "nat", "missing", "unknown"}
    | {"?", "-", "--", "."}
)
# Also the truth values of spreadsheets in other languages.
_YES = frozenset(
    {"1", "1.0", "yes", "y", "true", "positive", "pos", "present"}
    | {"ja", "wahr", "oui", "vrai", "si", "sí", "verdadero", "vero", "waar"}
)
_NO = frozenset(
    {"0", "0.0", "no", "n", "false", "negative", "neg", "absent"}
    | {"nein", "falsch", "non", "faux", "falso", "nee", "onwaar"}
)
_NUMBER = r"([+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:e[+-]?\d+)?)\s*(%?)"
_PLAIN = re.compile(_NUMBER)
_RANGE = re.compile(rf"{_NUMBER}\s*(?:-|–|—|\bto\b|\bbis\b)\s*{_NUMBER}")
_BOUND = re.compile(rf"(<=|>=|<|>|≤|≥)\s*{_NUMBER}")
# 1,234 is 1.234 or 1234.
_UNCLEAR_COMMA = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_LOW_CODES = [-1, -8, -9, -88, -99, -888, -999, -9999, -99999]
_SHORT_CODES = [7, 8, 9, 77, 88, 99]
_LEAST_PERCENT = 5
_HIGH_CODES = [888, 999, 8888, 9999, 99999, 999999]
_LISTED = 5


class Interval(NamedTuple):
    """The range of a number in a cell; low and high are equal where the cell is a number."""

    low: float
    high: float

    @property
    def is_number(self) -> bool:
        return self.low == self.high


def is_missing(text: str) -> bool:
    """Return whether a cell has no value."""
    return text.strip().lower() in MISSING


def read_truth(text: str) -> float:
    """Return 1 for yes, 0 for no, NaN for other texts."""
    word = text.strip().lower()
    return 1.0 if word in _YES else 0.0 if word in _NO else np.nan


def read_interval(text: str, decimal_comma: bool = False) -> Interval | None:
    """Return the number, range or bound that a text states; None for other texts.

    "35", "35,5" and "35 %" are numbers, "35-40" is a range, "<20" a bound. "1,234" is a number
    only if ``decimal_comma`` states that a comma does not separate thousands.
    """
    word = text.strip().lower()
    if match := _PLAIN.fullmatch(word):
        low = high = _number(match[1], decimal_comma)
    elif match := _RANGE.fullmatch(word):
        low, high = _number(match[1], decimal_comma), _number(match[3], decimal_comma)
    elif match := _BOUND.fullmatch(word):
        low, high = -np.inf, np.inf
        value = _number(match[2], decimal_comma)
        if match[1] in "<=≤":
            high = value if match[1] != "<" else np.nextafter(value, -np.inf)
        else:
            low = value if match[1] != ">" else np.nextafter(value, np.inf)
        if np.isnan(value):
            return None
    else:
        return None
    # A bound has one infinite end; a number such as 1e400 has two.
    is_known = low <= high and (np.isfinite(low) or np.isfinite(high))
    return Interval(float(low), float(high)) if is_known else None


def read_intervals(texts: Sequence[str], decimal_comma: bool = False) -> list[Interval | None]:
    """Return the interval of each cell of a column, see `read_interval`.

    A comma that can only be decimal, such as "35,5", decides for the whole column. Shares
    such as "0.35" next to percent such as "35 %" are not understood.
    """
    decimal_comma = decimal_comma or any(
        re.fullmatch(r"[+-]?\d+,\d+", text.strip()) and not _UNCLEAR_COMMA.fullmatch(text.strip())
        for text in texts
    )
    percent = any("%" in text for text in texts)
    found = [read_interval(text, decimal_comma) for text in texts]
    return [
        None if percent and item and "%" not in text and 0 < abs(item.high) <= 1 else item
        for item, text in zip(found, texts, strict=True)
    ]


def warn_of_codes(values: np.ndarray, column: str) -> None:
    """Warn of numbers such as -1 and 999 that are far from all others: codes of unknown values.

    Also of fractions, such as 0.6, among percentages.
    """
    known = values[np.isfinite(values)]
    low = np.isin(known, _LOW_CODES)
    high = np.isin(known, _HIGH_CODES)
    short = np.isin(known, _SHORT_CODES)
    if np.isin(known[~(low | high | short)], (0, 1)).all():
        high |= short  # next to yes and no
    _warn_of_fractions(known[~(low | high)], column)
    others = known[~(low | high)]
    if not len(others) or not (low | high).any():
        return
    codes = known[(low & (others.min() >= 0)) | (high & (known > 5 * np.abs(others).max()))]
    if len(codes):
        listed = ", ".join(f"{code:g}" for code in np.unique(codes))
        warnings.warn(
            f"{len(codes)} cells of the column {column!r} have {listed}, the others "
            f"{others.min():g} to {others.max():g}. They are read as numbers. If they mean that "
            "the value is unknown, empty those cells.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def _warn_of_fractions(values: np.ndarray, column: str) -> None:
    fraction = (values > 0) & (values <= 1)
    others = values[~fraction & (values != 0)]
    if fraction.any() and len(others) > fraction.sum() and others.min() >= _LEAST_PERCENT:
        warnings.warn(
            f"{fraction.sum()} cells of the column {column!r} have values such as "
            f"{values[fraction][0]:g}, the others {others.min():g} to {others.max():g}. If these "
            "are percentages and those fractions, write all of them as percentages.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def refuse(
    texts: Sequence[str],
    bad: Iterable[int],
    row_name: Callable[[int], str],
    column: str,
    problem: str,
    remedy: str,
) -> None:
    """Raise ValueError for cells of a column, with the rows and values of the first."""
    places = list(bad)
    if places:
        listed = ", ".join(f"{texts[place]!r} in {row_name(place)}" for place in places[:_LISTED])
        more = ", ..." if len(places) > _LISTED else ""
        raise ValueError(
            f"{len(places)} cells of the column {column!r} {problem}: {listed}{more}. {remedy}"
        )


def _number(text: str, decimal_comma: bool) -> float:
    """Return a number; NaN if its comma may separate thousands."""
    if not decimal_comma and _UNCLEAR_COMMA.fullmatch(text):
        return np.nan
    return float(text.replace(",", "."))
