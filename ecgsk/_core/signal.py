"""The one contract: what an ECG is.

An ECG is an array of shape ``(n_records, n_leads, n_samples)`` in millivolt, leads in the order
of `STANDARD_LEADS`. Everything that reads files brings them to this form, and everything that
takes arrays checks them here.
"""

import re
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.utils import check_array

from ecgsk._core.public import public
from ecgsk._core.records import RecordArray, batches, is_lazy

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

_LEADS_BY_LOWER_NAME = {lead.lower(): lead for lead in STANDARD_LEADS}
_LEAD_PREFIX = re.compile(r"^(mdc_ecg_lead_|mdc_ecg_|lead|ecg)[\s_:-]*", re.IGNORECASE)

_MILLIVOLT_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}

# A record's standard deviation is 0.1 to 0.6 mV in clinical ECGs and 1 after standardization.
_DEVIATION_TOO_LARGE = 20.0
_DEVIATION_TOO_SMALL = 2e-3
_RECORDS_LOOKED_AT = 256
# No counts of a converter and no unit of a voltage come near it; fill values of 1e20 do.
_LARGEST = 1e9


@public("ecgsk")
class ECGQualityWarning(UserWarning):
    """A recording is usable but looks wrong: flat leads, or not in millivolt."""


def lead_name(name: str) -> str:
    """Return a lead of a file, such as "AVR", "Lead II" or "MDC_ECG_LEAD_V1", as in STANDARD_LEADS.

    Other names are returned unchanged, without blanks around them.
    """
    stripped = str(name).strip()
    return _LEADS_BY_LOWER_NAME.get(_LEAD_PREFIX.sub("", stripped).lower(), stripped)


def lead_indices(names: Sequence[str], leads: Sequence[str] = STANDARD_LEADS) -> list[int]:
    """Return the indices of ``leads``, in that order, among ``names`` in any spelling.

    ``signal[indices]`` has the order of ``leads``. Raises ValueError for a lead that is missing or
    occurs twice.
    """
    present = [lead_name(name) for name in names]
    wanted = [lead_name(name) for name in leads]
    missing = [lead for lead in wanted if lead not in present]
    if missing:
        raise ValueError(
            f"leads {', '.join(missing)} are missing; the recording has {', '.join(present)}. "
            "Choose leads that it has."
        )
    doubled = sorted({lead for lead in wanted if present.count(lead) > 1})
    if doubled:
        raise ValueError(
            f"leads {', '.join(doubled)} stand more than once among {', '.join(present)}: "
            "which one is meant cannot be told."
        )
    return [present.index(lead) for lead in wanted]


def millivolt_factor(unit: str) -> float:
    """Return the factor from ``unit`` (V, mV, uV, µV or nV, in any case) to mV; else ValueError."""
    try:
        return _MILLIVOLT_PER_UNIT[str(unit).strip().lower()]
    except KeyError:
        raise ValueError(
            f"unit {unit!r} is not a voltage that ecgsk knows; allowed are V, mV, uV, µV and nV."
        ) from None


@public("ecgsk")
def check_ecg(
    X,
    *,
    n_leads: int | None = 12,
    n_samples: int | None = None,
    missing: str = "error",
    warn: bool = True,
) -> np.ndarray | RecordArray:
    """Validate ECG recordings.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Millivolt. Two dimensions read as one lead. Any real dtype and memory order; memory maps,
        h5py and zarr arrays and `RecordArray` as well.
    n_leads : int or None, default=12
        Leads that X must have; None allows any number.
    n_samples : int or None, default=None
        Samples that X must have; None allows any number.
    missing : {"error", "zero"}, default="error"
        What to do with samples that are NaN, infinite or beyond 1e9: refuse them, or set them to
        0 mV.
    warn : bool, default=True
        Whether to warn of flat leads and of amplitudes that do not look like millivolt.

    Returns
    -------
    ndarray of shape (n_records, n_leads, n_samples), or RecordArray
        float32. The very array that was given where it already fits. Arrays that are read from
        disk a batch at a time come back as a `RecordArray` that repeats the check for NaN on each
        batch it reads.

    Raises
    ------
    ValueError
        For another number of dimensions, leads or samples than allowed, no records or no samples,
        and NaN or infinite samples (with their count and the first record that has one).
    TypeError
        For values that are not numbers.

    Examples
    --------
    >>> from ecgsk import check_ecg
    >>> import numpy as np
    >>> check_ecg(np.zeros((2, 12, 1000), dtype="int16"), warn=False).dtype
    dtype('float32')
    >>> check_ecg(np.zeros((2, 8, 1000)))
    Traceback (most recent call last):
        ...
    ValueError: X has 8 leads; expected 12 leads. ...
    """
    if missing not in ("error", "zero"):
        raise ValueError(f"missing={missing!r} is not allowed; use 'error' or 'zero'.")
    lazy = is_lazy(X)
    if lazy:
        X = X if isinstance(X, RecordArray) else RecordArray.wrap(X)
    else:
        X = _as_float32(X)
    _check_shape(X.shape, n_leads, n_samples)
    if lazy:
        X = X.read_by(_Checked(X, missing))
        if warn:
            warn_of_quality(X.read(np.arange(min(len(X), _RECORDS_LOOKED_AT))))
        return X
    X = check_finite(X, missing=missing)
    if warn:
        warn_of_quality(X[:_RECORDS_LOOKED_AT])
    return X


def _as_float32(X) -> np.ndarray:
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) not in (2, 3):
        raise ValueError(
            f"X has {len(shape)} dimension(s) and shape {tuple(shape)}; expected "
            "(n_records, n_leads, n_samples), or (n_records, n_samples) for one lead. "
            "Give a single recording as X[np.newaxis]."
        )
    if isinstance(X, list) and len({np.shape(record) for record in X}) > 1:
        raise ValueError(
            "X is a list of recordings of different shapes; they have to be alike. Load them "
            "with load_wfdb(..., sampling_rate=, n_samples=), or bring each to one length."
        )
    with np.errstate(over="ignore"):
        # What float32 cannot hold becomes infinite and is refused as such.
        X = check_array(
            X,
            dtype=np.float32,
            allow_nd=True,
            ensure_2d=False,
            ensure_all_finite=False,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name="X",
        )
    if X.ndim not in (2, 3):
        return _as_float32(X)
    return X[:, np.newaxis, :] if X.ndim == 2 else X


def _check_shape(shape, n_leads, n_samples) -> None:
    if shape[0] == 0 or shape[1] == 0 or shape[2] == 0:
        raise ValueError(
            f"X is empty: {shape[0]} records, {shape[1]} leads, {shape[2]} samples. "
            "Give at least one record with one sample."
        )
    if n_leads is not None and shape[1] != n_leads:
        turned = " The array looks turned: use X.transpose(0, 2, 1)." if shape[2] == n_leads else ""
        raise ValueError(
            f"X has {shape[1]} leads; expected {n_leads} leads. Leads are the second axis, in the "
            f"order {' '.join(STANDARD_LEADS)}; choose some with "
            f"ecgsk.preprocessing.SelectLeads.{turned}"
        )
    if n_samples is not None and shape[2] != n_samples:
        raise ValueError(
            f"X has {shape[2]} samples a record; expected {n_samples}. Mend the rate with "
            "ecgsk.preprocessing.Resample or the length with ecgsk.preprocessing.CropPad."
        )


def check_finite(X: np.ndarray, *, missing: str, numbers=None) -> np.ndarray:
    """Refuse samples that are NaN, infinite or beyond 1e9, or set them to zero in a copy.

    ``numbers`` are those of the records in the array they were read from, for the message.
    """
    bad_records, n_bad = [], 0
    for rows in batches(len(X), X.shape[1:]):
        part = X[rows]
        # NaN fails both comparisons; most batches need no second look.
        if part.min() >= -_LARGEST and part.max() <= _LARGEST:
            continue
        bad = ~(np.abs(part) <= _LARGEST)
        n_bad += int(bad.sum())
        bad_records.extend(np.flatnonzero(bad.any(axis=(1, 2))) + rows.start)
    if not n_bad:
        return X
    if missing == "zero":
        return np.where(np.abs(X) <= _LARGEST, X, X.dtype.type(0))
    first = bad_records[0] if numbers is None else numbers[bad_records[0]]
    among = f"{len(X)} records" if numbers is None else f"the {len(X)} records read together"
    raise ValueError(
        f"X contains {n_bad} NaN or infinite samples (or beyond 1e9) in {len(bad_records)} of "
        f"{among}, the first in record {first}. Leave those records out, or have such samples "
        "read as 0 mV: ecgsk.check_ecg(X, missing='zero')."
    )


class _Checked:
    """Reads records and checks them under the numbers that the user knows them by."""

    def __init__(self, records: RecordArray, missing: str):
        self.records = records
        self.missing = missing

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return check_finite(self.records.read(rows), missing=self.missing, numbers=rows)


def warn_of_quality(X: np.ndarray) -> None:
    """Warn of flat leads and of amplitudes that do not look like millivolt."""
    if X.shape[2] < 2:
        return
    deviation = X.std(axis=2)
    flat = deviation == 0
    if X.shape[1] > 1 and flat.any():
        records = np.flatnonzero(flat.any(axis=1))
        lead = f"lead number {np.flatnonzero(flat[records[0]])[0]}, counted from 0"
        where = (
            f"{len(records)} of the first {len(X)} records have a constant lead, the first is "
            f"record {records[0]} ({lead})"
        )
        if len(X) == 1:
            where = f"The record has a constant lead ({lead})"
        warnings.warn(f"{where}. An electrode may have been off.", ECGQualityWarning, stacklevel=3)
    live = deviation[~flat]
    typical = float(np.median(live)) if live.size else 1.0
    if typical > _DEVIATION_TOO_LARGE:
        hint = "divide by 1000 if they are microvolt, or multiply by the file's mV per count"
    elif typical < _DEVIATION_TOO_SMALL:
        hint = "multiply by 1000 if they are volt"
    else:
        return
    warnings.warn(
        f"X has a typical standard deviation of {typical:.3g} a lead, where ecgsk expects "
        f"millivolt (0.1 to 0.6) or standardized values (1): {hint}.",
        ECGQualityWarning,
        stacklevel=3,
    )
