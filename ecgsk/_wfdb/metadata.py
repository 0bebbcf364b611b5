"""What the comments of a header hold: age, sex and diagnosis codes."""

import os
import re

import numpy as np

from ecgsk._core.covariates import read_age
from ecgsk._wfdb.header import Header

_COMMENT = re.compile(
    r"#\s*(age|sex|dx|(?:patient|subject)[ _-]?(?:id|number|no))\s*:(.*)", re.IGNORECASE
)
_SEX = {"m": "male", "male": "male", "f": "female", "female": "female"}


def record_metadata(header: Header, signal: np.ndarray | None) -> dict:
    """Return the metadata of a record as `ecgsk.datasets.load_wfdb` describes it.

    ``signal`` is None for a record that has not been read.
    """
    comments = [_COMMENT.fullmatch(comment) for comment in header.comments]
    found = {match[1].lower(): match[2].strip() for match in comments if match}
    codes = [code.strip() for code in found.get("dx", "").split(",")]
    return {
        "record": os.path.basename(header.path).removesuffix(".hea"),
        "path": header.path,
        "sampling_rate": header.sampling_rate,
        "n_samples": header.n_samples,
        "age": read_age(found.get("age", "")).years,
        "age_text": found.get("age"),
        "sex_text": found.get("sex"),
        "sex": _SEX.get(found.get("sex", "").lower()),
        "dx": [code for code in codes if code.lower() not in ("", "unknown", "nan")],
        "patient": next((v for k, v in found.items() if k[0] in "ps" and k != "sex"), None),
        "n_missing": None if signal is None else int(np.isnan(signal).sum()),
    }
