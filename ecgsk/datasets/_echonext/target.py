"""From ejection fractions and flags of EchoNext to a target."""

import operator
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk.datasets._echonext.files import numbers
from ecgsk.datasets._echonext.layout import ECHONEXT_FLAGS

# At least so severe: normal is above 50, mild 40-50, moderate 30-40, severe below 30.
SEVERITIES = {"mild": "lvef<=50", "moderate": "lvef<=40", "severe": "lvef<=30"}
_CUT_OFF = re.compile(r"lvef\s*(<=|<|≤)\s*(\d+(?:\.\d*)?)")
_FLAG = ECHONEXT_FLAGS[0]
_FLAGGED = 45.0


@dataclass(frozen=True)
class Target:
    """What is asked of each record."""

    names: list[str]
    is_matrix: bool = False
    # Of the ejection fraction; flags have none.
    cut_off: float | None = None
    inclusive: bool = True


def parse_target(target) -> Target:
    """Read the parameter ``target`` of `load_echonext`."""
    if isinstance(target, str):
        text = SEVERITIES.get(target.strip().lower(), target.strip().lower())
        if text == "flags":
            return Target(list(ECHONEXT_FLAGS), is_matrix=True)
        if text in ECHONEXT_FLAGS:
            return Target([text])
        match = _CUT_OFF.fullmatch(text)
        if match and 0 < float(match[2]) < 100:
            inclusive = match[1] != "<"
            name = f"lvef{'<=' if inclusive else '<'}{float(match[2]):g}"
            return Target([name], cut_off=float(match[2]), inclusive=inclusive)
    elif isinstance(target, Sequence) and len(target) and len(set(target)) == len(target):
        if all(flag in ECHONEXT_FLAGS for flag in target):
            return Target(list(target), is_matrix=True)
    raise ValueError(
        f"target={target!r} is not allowed; use 'lvef<=45' or any other cut-off of the ejection "
        "fraction above 0 and below 100 % (with < or <=), "
        f"{', '.join(map(repr, SEVERITIES))}, 'flags' for all flags, or one or a list without "
        f"repeats of {', '.join(ECHONEXT_FLAGS)}."
    )


def make_target(
    table: pd.DataFrame, ef: np.ndarray, wanted: Target, missing_ef: str, file: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets, 0 or 1, (n_records,) or (n_records, n_flags), and which records have one.

    ``ef`` is in percent, NaN where missing. Targets that are not known have no meaning.
    """
    if wanted.cut_off is None:
        flags = np.column_stack([read_flag(table, name, file) for name in wanted.names])
        known = ~np.isnan(flags).any(axis=1)
        target = np.nan_to_num(flags).astype(np.int64)
        return (target if wanted.is_matrix else target[:, 0]), known

    flag, below = read_flag(table, _FLAG, file), operator.le if wanted.inclusive else operator.lt
    measured = ~np.isnan(ef)
    if missing_ef == "error" and not measured.all():
        raise ValueError(
            f"{int((~measured).sum())} of {len(ef)} records have no lvef_value, the first is "
            f"ecg_key {table['ecg_key'].iloc[int(np.flatnonzero(~measured)[0])]}. Use "
            "missing_ef='infer' to take what lvef_lte_45_flag implies, or missing_ef='drop'."
        )
    answer = np.where(measured, below(ef, wanted.cut_off), np.nan).astype(float)
    contradicted = measured & ~np.isnan(flag) & ((ef <= _FLAGGED) != (flag == 1))
    is_flag = wanted.inclusive and wanted.cut_off == _FLAGGED
    if contradicted.any():
        taken = "the flag, which is this very target" if is_flag else "the value"
        warnings.warn(
            f"lvef_value and lvef_lte_45_flag contradict each other in {int(contradicted.sum())} "
            f"of {len(ef)} records, the first is ecg_key "
            f"{table['ecg_key'].iloc[int(np.flatnonzero(contradicted)[0])]}; {taken}, was taken.",
            UserWarning,
            stacklevel=4,
        )
        if is_flag:
            answer[contradicted] = flag[contradicted]
    if missing_ef == "infer":
        # The flag says that the value is at most 45, or above it.
        low, high = ~measured & (flag == 1), ~measured & (flag == 0)
        if below(_FLAGGED, wanted.cut_off):
            answer[low] = 1
        if wanted.cut_off <= _FLAGGED:
            answer[high] = 0
    known = ~np.isnan(answer)
    return np.nan_to_num(answer).astype(np.int64), known


def read_flag(table: pd.DataFrame, name: str, file: Path) -> np.ndarray:
    """Return a flag as 0, 1 or NaN."""
    column = table[name]
    text = column.astype("string").str.strip().str.lower()
    spelled = text.map({"true": 1, "false": 0})
    values = pd.to_numeric(text, errors="coerce").fillna(pd.to_numeric(spelled))
    values = values.to_numpy(dtype=float, na_value=np.nan)
    wrong = column.notna().to_numpy() & ~np.isin(values, (0, 1))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{file} has {int(wrong.sum())} values of {name} that are neither 0 nor 1, the first "
            f"is {column.iloc[first]!r} (ecg_key {table['ecg_key'].iloc[first]}). Use the table as "
            "EchoNext ships it."
        )
    return values


def read_ejection_fraction(table: pd.DataFrame, file: Path) -> np.ndarray:
    """Return ejection fractions in percent, NaN where missing."""
    ef = numbers(table, "lvef_value", file)
    wrong = (ef < 0) | (ef > 100)
    if wrong.any() or 0 < np.nan_to_num(ef).max(initial=0) <= 1:
        raise ValueError(
            f"{file} has values of lvef_value from {np.nanmin(ef):g} to {np.nanmax(ef):g}; "
            "expected percent, 0 to 100. Use the table as EchoNext ships it."
        )
    return ef
