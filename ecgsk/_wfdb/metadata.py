"""What the comments of a header hold: age, sex and diagnosis codes."""

import os
import re

import numpy as np
import pandas as pd

from ecgsk._wfdb.header import Header

_COMMENT = re.compile(r"#\s*(age|sex|dx)\s*:(.*)", re.IGNORECASE)
_SEX = {"m": "male", "male": "male", "f": "female", "female": "female"}


def record_metadata(header: Header, signal: np.ndarray) -> dict:
    """Return the metadata of a record as `ecgsk.datasets.load_wfdb` describes it."""
    comments = [_COMMENT.fullmatch(comment) for comment in header.comments]
    found = {match[1].lower(): match[2].strip() for match in comments if match}
    codes = [code.strip() for code in found.get("dx", "").split(",")]
    return {
        "record": os.path.basename(header.path).removesuffix(".hea"),
        "path": header.path,
        "sampling_rate": header.sampling_rate,
        "n_samples": header.n_samples,
        "age": pd.to_numeric(found.get("age", ""), errors="coerce"),
        "sex": _SEX.get(found.get("sex", "").lower()),
        "dx": [code for code in codes if code.lower() not in ("", "unknown", "nan")],
        "n_missing": int(np.isnan(signal).sum()),
    }
