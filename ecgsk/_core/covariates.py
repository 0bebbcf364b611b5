"""Ages and sexes as files state them, as numbers with one meaning."""

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

# Data sets hide higher ages, because so few people reach them.
OVER_89 = 90.0
# PTB-XL writes this for all ages over 89.
_PTBXL_OVER_89 = 300.0
_OLDEST = 120.0

_PER_YEAR = {"d": 365.25, "w": 365.25 / 7, "m": 12.0, "y": 1.0}
_MISSING = {"", "nan", "na", "n/a", "none", "null", "unknown", "unk", "u", "?", "-", "--", "<na>"}
_NUMBER = r"(\d+(?:[.,]\d*)?)"
_UNIT = r"(y|m|w|d|(?:year|yr|month|mo|week|wk|day)s?)?(?:[ -]*old|/?o)?\.?"
_AGE = re.compile(rf"{_NUMBER}\s*-?\s*{_UNIT}")
# A lower bound, such as ">89", "90+" and "89 or older".
_BOUND = re.compile(
    rf"(?:>=?|≥|over|above|more than|older than|at least)\s*(\d+)\s*{_UNIT}"
    rf"|(\d+)\s*{_UNIT}\s*(?:\+|(?:or|and|&)\s*(?:older|over|above|more))"
)
# In English, German, French, Spanish, Portuguese and Italian.
_MALE = {"male", "m", "man", "männlich", "maennlich", "mann", "masculin", "homme", "masculino",
         "hombre", "maschile", "maschio"}  # fmt: skip
_FEMALE = {"female", "f", "woman", "w", "weiblich", "frau", "féminin", "feminin", "femme",
           "femenino", "femenina", "mujer", "feminino", "femminile", "femmina"}  # fmt: skip
_EXAMPLES = 5


class Age(NamedTuple):
    """The age of a person, as a file states it."""

    years: float = np.nan  # NaN where unknown
    over_89: bool = False  # whether it is hidden, and known only to be above 89
    doubt: str = ""  # the stated value, where it cannot be an age


def read_age(value) -> Age:
    """Return an age from a number of years or text such as "63", "063Y", "18 months" or ">89".

    Ages hidden as "over 89", among them the 300 of PTB-XL, are 90 years. Values that cannot be an
    age, negative or above 120 years, are unknown and named in ``doubt``.
    """
    text = " ".join(str(value).strip().lower().split())
    if text in _MISSING:
        return Age()
    bound = _BOUND.fullmatch(text)
    if bound is not None:
        # "89 or older" hides 89 as well; data sets write it for the same group.
        lowest = int(bound[1] or bound[3])
        hidden = 89 <= lowest <= _OLDEST
        return Age(OVER_89, True) if hidden else Age(doubt=str(value).strip())
    years = _years(text)
    if years == _PTBXL_OVER_89:
        return Age(OVER_89, True)
    return Age(years) if 0 <= years <= _OLDEST else Age(doubt=str(value).strip())


def _years(text: str) -> float:
    match = _AGE.fullmatch(text)
    if match is None:
        try:
            return float(text)  # also "-1", "inf" and "6.3e1"
        except ValueError:
            return np.nan
    return float(match[1].replace(",", ".")) / _PER_YEAR[(match[2] or "y")[0]]


def read_ages(
    values: Iterable, names: Sequence, *, source: str, stacklevel: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return ages in years, NaN where unknown, and which are known only to be above 89.

    Warns of values that cannot be ages, with their number and the ``names`` of the first records.
    """
    ages = [read_age(value) for value in values]
    which = f"an age that is not from 0 to {_OLDEST:g} years"
    _warn(which, [age.doubt for age in ages], names, source, stacklevel)
    years = np.array([age.years for age in ages], dtype=float)
    return years, np.array([age.over_89 for age in ages], dtype=bool)


def read_sexes(
    values: Iterable,
    names: Sequence,
    *,
    source: str,
    stacklevel: int,
    one_is: str | None,
) -> np.ndarray:
    """Return 0 for male, 1 for female and NaN for unknown.

    ``one_is`` is "male" or "female", what 1 means in the file and 0 does not; None where numbers
    have no documented meaning. Warns of values that are not understood.
    """
    codes, doubts = [], []
    for value in values:
        text = str(value).strip().lower()
        code = 0.0 if text in _MALE else 1.0 if text in _FEMALE else np.nan
        if np.isnan(code):
            number = _years(text) if text not in _MISSING else np.nan
            documented = one_is is not None and number in (0, 1)
            code = abs(number - (one_is == "male")) if documented else np.nan
        known = not np.isnan(code) or text in _MISSING | {"other", "o"}
        codes.append(code)
        doubts.append("" if known else str(value).strip())
    which = f"a sex that is neither male nor female{' nor 0 nor 1' if one_is else ''}"
    _warn(which, doubts, names, source, stacklevel)
    return np.array(codes, dtype=float)


def read_covariates(
    ages: Iterable,
    sexes: Iterable,
    names: Sequence,
    *,
    one_is: str | None,
    source: str,
    stacklevel: int,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table of covariates that every loader gives, and who is only known to be over 89.

    See `read_ages` and `read_sexes`.
    """
    years, over_89 = read_ages(ages, names, source=source, stacklevel=stacklevel + 1)
    codes = read_sexes(sexes, names, one_is=one_is, source=source, stacklevel=stacklevel + 1)
    return pd.DataFrame({"age": years, "sex": codes}, dtype=float), over_89


def sex_name(text: str | None) -> str | None:
    """Return "male" or "female", or None for other texts."""
    text = str(text).strip().lower()
    return "male" if text in _MALE else "female" if text in _FEMALE else None


def _warn(which: str, doubts: list[str], names, source: str, stacklevel: int) -> None:
    wrong = [place for place, doubt in enumerate(doubts) if doubt]
    if wrong:
        first = list(names)
        named = ", ".join(f"{doubts[place]!r} ({first[place]})" for place in wrong[:_EXAMPLES])
        warnings.warn(
            f"{len(wrong)} records have {which}, and count as unknown: {named}"
            f"{', ...' if len(wrong) > _EXAMPLES else ''} in {source}. Correct the file, or leave "
            "those records out, if a model reads this covariate.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
