"""What the comments of a header hold: age, sex and diagnosis codes."""

import os
import re
from contextlib import suppress
from datetime import datetime

import numpy as np

from ecgsk._core.covariates import read_age, sex_name
from ecgsk._wfdb.header import Header

_COMMENT = re.compile(r"#\s*([^:#]{1,100}?)\s*:\s*(.*)")
_PATIENT = re.compile(r"(?:patient|subject)[ _-]?(?:id|number|no)", re.IGNORECASE)


def record_metadata(header: Header, signal: np.ndarray | None) -> dict:
    """Return the metadata of a record as `ecgsk.datasets.load_wfdb` describes it.

    ``signal`` is None for a record that has not been read.
    """
    comments = header_comments(header)
    found = {key.lower(): value for key, value in reversed(comments.items())}
    return {
        "record": os.path.basename(header.path).removesuffix(".hea"),
        "path": header.path,
        "sampling_rate": header.sampling_rate,
        "n_samples": header.n_samples,
        "age": read_age(found.get("age", "")).years,
        "age_text": found.get("age"),
        "sex_text": found.get("sex"),
        "sex": sex_name(found.get("sex")),
        "date": _date(header.start, found.get("date", "")),
        "dx": _codes(found.get("dx", "")),
        "patient": next((v for k, v in comments.items() if _PATIENT.fullmatch(k)), None),
        "comments": comments,
        "n_missing": None if signal is None else int(np.isnan(signal).sum()),
    }


def header_comments(header: Header) -> dict[str, str]:
    """Return the comments of the form "key: value"; the first counts where a key occurs again."""
    comments: dict[str, str] = {}
    for comment in header.comments:
        match = _COMMENT.fullmatch(comment)
        if match:
            comments.setdefault(match[1].strip(), match[2].strip())
    return comments


def _date(start: str, comment: str) -> datetime | None:
    """Return the date from the record line, "10:11:12 14/03/2013", or of an ISO comment."""
    clock, _, day = start.strip().partition(" ")
    # Two numbers are minutes and seconds, one is seconds.
    for layout in ("%H:%M:%S.%f", "%H:%M:%S", "%M:%S.%f", "%M:%S", "%S.%f", "%S"):
        with suppress(ValueError):
            return datetime.strptime(f"{clock} {day.strip()}", f"{layout} %d/%m/%Y")
    with suppress(ValueError):
        return datetime.fromisoformat(comment)
    return None


def _codes(text: str) -> list[str]:
    """Return diagnosis codes that commas, semicolons or, between numbers, blanks separate."""
    parts = [part.strip() for part in re.split("[,;]", text)]
    pieces = (part.split() if re.fullmatch(r"[\d\s]+", part) else [part] for part in parts)
    codes = [code for piece in pieces for code in piece]
    return [code for code in codes if code.lower() not in ("", "unknown", "nan")]


_TRUTH = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}


def comment_target(records: list[dict], key: str) -> tuple[np.ndarray, list[str]]:
    """Return the target that a comment of each header states, and the names of its labels.

    Truth values become 0 and 1, with one name, the key; other texts stay as they are.
    """
    values = [comment_value(record["comments"], key) or "" for record in records]
    if all(value.lower() in _TRUTH for value in values):
        return np.array([_TRUTH[value.lower()] for value in values]), [key]
    return np.array(values, dtype=object), sorted(set(values))


def comment_value(comments: dict[str, str], key: str) -> str | None:
    """Return the value of a comment, whose key may differ in capitals."""
    return next((v for k, v in comments.items() if k.lower() == key.lower() and v), None)
