"""The one contract: what an ECG is.

An ECG is an array of shape ``(n_records, n_leads, n_samples)`` in millivolt, leads in the order
of `STANDARD_LEADS`. Everything that reads files brings them to this form, and everything that
takes arrays checks them here.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.utils import check_array

from ecgsk._core.limb_leads import is_one_recording
from ecgsk._core.number_values import check_values
from ecgsk._core.public import public
from ecgsk._core.records import RecordArray, batches, is_lazy
from ecgsk._core.signal_doubts import find_doubts, is_quiet, warn_of_doubts

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

_LEADS_BY_LOWER_NAME = {
    **{lead.lower(): lead for lead in STANDARD_LEADS},
    # In French, Spanish, Italian and Portuguese.
    **dict(zip(("di", "dii", "diii", "d1", "d2", "d3"), STANDARD_LEADS[:3] * 2, strict=True)),
}
# The chest leads by IEC 60601. One of them alone could be an electrode of an EEG.
_IEC_LEADS = tuple(f"C{number}" for number in range(1, 7))
# A hyphen after a blank is a sign: "Lead -aVR" is the negative of aVR.
_LEAD_PREFIX = re.compile(
    r"^(?:(?:mdc_ecg_lead|mdc_ecg|ecg|ekg|lead)(?:-|[\s_:]*))+", re.IGNORECASE
)
_LEAD_SUFFIX = re.compile(
    r"\s*[(\[]\s*(?:einthoven|goldberger|wilson|mv|uv|[µμ]v)\s*[)\]]$", re.IGNORECASE
)
_BLANK_IN_AUGMENTED = re.compile(r"^a[\s_]+(?=v[rlf]$)", re.IGNORECASE)

_MILLIVOLT_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}

# No counts of a converter and no unit of a voltage come near it; fill values of 1e20 do.
_LARGEST = 1e9
_MANY_LEADS = 32
# Of each kind of doubt; records on disk are read in many batches.
_WARNINGS = 3


def lead_name(name: str) -> str:
    """Return a lead of a file, such as "AVR", "ECG lead II" or "DII", as in STANDARD_LEADS.

    Other names are returned unchanged, without blanks around them.
    """
    stripped = str(name).strip()
    core = _LEAD_SUFFIX.sub("", _LEAD_PREFIX.sub("", stripped))
    return _LEADS_BY_LOWER_NAME.get(_BLANK_IN_AUGMENTED.sub("a", core).lower(), stripped)


def lead_indices(names: Sequence[str], leads: Sequence[str] = STANDARD_LEADS) -> list[int]:
    """Return the indices of ``leads``, in that order, among ``names`` in any spelling.

    ``signal[indices]`` has the order of ``leads``. Raises ValueError for a lead that is missing or
    occurs twice.
    """
    present = [lead_name(name) for name in names]
    if all(present.count(name) == 1 for name in _IEC_LEADS):
        present = [name.replace("C", "V") if name in _IEC_LEADS else name for name in present]
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
            f"unit {unit!r} is not allowed; give a voltage: V, mV, uV, µV or nV."
        ) from None


@public("ecgsk")
def check_ecg(
    X,
    *,
    n_leads: int | None = 12,
    n_samples: int | None = None,
    missing: str = "error",
    warn: bool = True,
    leads: Sequence[str] | None = None,
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
        Whether to warn of recordings that look wrong; see Notes.
    leads : sequence of str or None, default=None
        Names of X's leads in their order. None is what a `RecordArray` carries, otherwise the
        standard order for twelve leads, and unknown names for another number.

    Returns
    -------
    ndarray of shape (n_records, n_leads, n_samples), or RecordArray
        float32. The very array that was given where it already fits. Arrays that are read from
        disk a batch at a time come back as a `RecordArray` that checks each batch as it is read.

    Raises
    ------
    ValueError
        For another number of dimensions, leads or samples than allowed, leads and samples
        exchanged, no records or no samples, and NaN or infinite samples (with their count and the
        first record that has one).
    TypeError
        For values that are not numbers: masked arrays, texts, dates and times.

    Warns
    -----
    ECGQualityWarning
        See Notes. A warning names the records, the value and what to do.

    Notes
    -----
    Every recording is examined for what no real recording had among the 4,275 of three databases
    on which the limits were chosen:

    - the limb leads contradict each other (II = I + III and Goldberger's equations): another order
      of the leads, or a lead with the opposite sign;
    - two leads are identical;
    - the amplitude is not that of mV: standard deviations of typically less than 0.025 or more
      than 1 mV (standardized recordings are recognized);
    - values that stand for missing samples, such as -32.768 mV, or saturation;
    - constant leads.

    It cannot be known from the samples alone whether V1 to V6 are in another order, whether
    electrodes were exchanged on the patient, or which recording is off by a small factor.

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
    return checked_ecg(X, n_leads, n_samples, missing=missing, warn=warn, leads=leads)


def checked_ecg(
    X,
    n_leads: int | None,
    n_samples: int | None = None,
    *,
    missing: str = "error",
    warn: bool = True,
    leads: Sequence[str] | None = None,
    standardized: bool = True,
) -> np.ndarray | RecordArray:
    """Do what `check_ecg` does; ``standardized`` is that of `find_doubts`."""
    if missing not in ("error", "zero"):
        raise ValueError(f"missing={missing!r} is not allowed; use 'error' or 'zero'.")
    X = check_values(X)
    lazy = is_lazy(X)
    if lazy:
        X = X if isinstance(X, RecordArray) else RecordArray.wrap(X)
    else:
        X = _as_float32(X)
    _check_shape(X, n_leads, n_samples, lazy)
    if leads is None and isinstance(X, RecordArray):
        leads = X.leads
    if leads is None and X.shape[1] == len(STANDARD_LEADS):
        leads = STANDARD_LEADS
    names = None if leads is None else tuple(lead_name(lead) for lead in leads)
    warn = warn and not is_quiet()
    if lazy:
        return X.read_by(_Checked(X, missing, names, warn, standardized))
    checked = check_finite(X, missing=missing)
    if warn:
        doubts = find_doubts(checked, names, standardized=standardized)
        warn_of_doubts(_without_missing(doubts, X, checked), range(len(X)), stacklevel=3)
    return checked


def _without_missing(doubts, X, checked):
    """Drop doubts about leads whose missing samples were set to 0 mV."""
    if X is checked:
        return doubts
    return [
        doubt
        for doubt in doubts
        if doubt.kind in ("amplitude", "flat_lead") or np.isfinite(X[doubt.record]).all()
    ]


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
    if X.ndim == 2:
        _refuse_one_recording(X)
        return X[:, np.newaxis, :]
    return X


def _refuse_one_recording(X: np.ndarray) -> None:
    """Raise where the rows, or columns, of an array are the twelve leads of one recording."""
    for x, remedy in ((X, "X[np.newaxis]"), (X.T, "X.T[np.newaxis]")):
        if len(x) == len(STANDARD_LEADS) and x.shape[1] > len(x) and is_one_recording(x):
            raise ValueError(
                f"X has shape {X.shape} and looks like a single recording of the twelve leads; "
                f"two dimensions read as {len(X)} recordings of one lead. Pass {remedy}."
            )


def _check_shape(X, n_leads, n_samples, lazy) -> None:
    shape = X.shape
    if shape[0] == 0 or shape[1] == 0 or shape[2] == 0:
        raise ValueError(
            f"X is empty: {shape[0]} records, {shape[1]} leads, {shape[2]} samples. "
            "Give at least one record with one sample."
        )
    # No ECG has so many leads; body surface maps have up to 252.
    exchanged = shape[1] > _MANY_LEADS and (shape[1] > shape[2] or shape[1] > 256)
    wrong_number = n_leads is not None and shape[1] != n_leads
    if exchanged or wrong_number:
        turned = ""
        if exchanged or shape[2] == n_leads:
            turned = " Samples and leads look exchanged: " + (
                "wrap a function that returns batch.transpose(0, 2, 1), see RecordArray."
                if lazy
                else "use X.transpose(0, 2, 1)."
            )
        expected = "at most 256" if n_leads is None else n_leads
        raise ValueError(
            f"X has {shape[1]} leads; expected {expected} leads. Leads are the second axis, in the "
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

    def __init__(self, records: RecordArray, missing: str, leads, warn: bool, standardized: bool):
        self.records = records
        self.missing = missing
        self.leads = leads
        self.standardized = standardized
        # Training reads records again and again.
        self.not_examined = np.full(len(records), warn)
        self.n_warnings: Counter[str] = Counter()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        X = self.records.read(rows)
        checked = check_finite(X, missing=self.missing, numbers=rows)
        new = np.flatnonzero(self.not_examined[rows])
        if len(new):
            self.not_examined[rows] = False
            part = checked if len(new) == len(rows) else checked[new]
            doubts = find_doubts(part, self.leads, standardized=self.standardized)
            doubts = _without_missing(doubts, X if part is checked else X[new], part)
            self._warn(doubts, rows[new])
        return checked

    def _warn(self, doubts, records) -> None:
        doubts = [doubt for doubt in doubts if self.n_warnings[doubt.kind] < _WARNINGS]
        self.n_warnings.update({doubt.kind for doubt in doubts})
        warn_of_doubts(doubts, records, stacklevel=4)
