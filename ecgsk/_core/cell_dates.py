"""Dates as people and devices write them into the cells of a table."""

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

_TIME = r"(?:[T ]\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([ap]m)?)?"
_YEAR_FIRST = re.compile(rf"(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}}){_TIME}", re.IGNORECASE)
_DIGITS = re.compile(rf"((?:19|20)\d\d)(\d\d)(\d\d){_TIME}", re.IGNORECASE)
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}){_TIME}", re.IGNORECASE)
_SHORT_YEAR = re.compile(rf"\d{{1,2}}([-/.])\d{{1,2}}\1\d{{2}}{_TIME}", re.IGNORECASE)
_WORDS = re.compile(rf"(\d{{1,2}})[- .]+([a-z]{{3}})[a-z]*[- .,]+(\d{{4}}){_TIME}", re.IGNORECASE)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


def read_dates(texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """Return dates as datetime64[s], NaT where not understood, and the places of those.

    "2024-03-01", "20240301", "1.3.2024" (day first) and "1 Mar 2024" are understood, each with or
    without a time. For "03/01/2024" the column decides: a number above 12 shows which is the day.
    If no number does, or if both orders occur, none of these are understood.
    """
    slashed = [match for text in texts if (match := _YEAR_LAST.fullmatch(text.strip()))]
    first = any(int(match[1]) > 12 for match in slashed if match[2] != ".")
    second = any(int(match[3]) > 12 for match in slashed if match[2] != ".")
    day_first = None if first == second else first
    dates = np.array([_date(text.strip(), day_first) for text in texts], dtype="datetime64[s]")
    return dates, np.flatnonzero(np.isnat(dates)).tolist()


def has_short_year(text: str) -> bool:
    """Return whether a text is a date whose year has two digits, which `read_dates` refuses."""
    return bool(_SHORT_YEAR.fullmatch(text.strip()))


def as_text(value) -> str:
    """Return a date of Python, NumPy or pandas as `read_dates` understands it."""
    return pd.Timestamp(value).isoformat(sep=" ")


def without_times(dates: np.ndarray) -> bool:
    """Return whether all dates are at midnight, so that they state days only."""
    known = dates[~np.isnat(dates)]
    return bool((known == known.astype("datetime64[D]")).all())


def _date(text: str, day_first: bool | None) -> datetime | None:
    if match := _YEAR_FIRST.fullmatch(text) or _DIGITS.fullmatch(text):
        year, month, day = match[1], match[2], match[3]
    elif match := _YEAR_LAST.fullmatch(text):
        if match[2] == ".":
            day, month = match[1], match[3]
        elif match[1] == match[3]:
            day = month = match[1]
        elif day_first is None:
            return None
        else:
            day, month = (match[1], match[3]) if day_first else (match[3], match[1])
        year = match[4]
    elif match := _WORDS.fullmatch(text):
        if match[2].lower() not in _MONTHS:
            return None
        day, month, year = match[1], str(_MONTHS.index(match[2].lower()) + 1), match[3]
    else:
        return None
    hour, minute, second, half = match.groups()[-4:]
    hours = int(hour or 0)
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + 12 * (half.lower() == "pm")
    try:
        return datetime(int(year), int(month), int(day), hours, int(minute or 0), int(second or 0))
    except ValueError:
        return None
