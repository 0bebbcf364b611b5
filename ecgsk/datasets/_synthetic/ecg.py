"""Synthetic 12-lead ECGs whose physiology is known."""

from collections.abc import Sequence
from numbers import Real

import numpy as np
from sklearn.utils import Bunch

from ecgsk._core.public import public
from ecgsk.datasets._synthetic.ecg_model import ST_TERRITORIES, draw_bodies
from ecgsk.datasets._synthetic.rhythm import render

_QTC = 0.41
_NARROW_QRS = 0.09
_QRS_WITH_BLOCK = {"left": 0.15, "right": 0.14}
_LEAST_QRS_WITH_BLOCK = 0.11
_LEAST_JT = 0.10

# Name, allowed lowest and highest value, unit.
_NUMBERS = {
    "heart_rate": (20, 300, " beats per minute"),
    "heart_rate_variability": (0, 0.4, ""),
    "pr_interval": (0.08, 0.5, " s"),
    "qrs_duration": (0.05, 0.25, " s"),
    "qt_interval": (0.15, 0.8, " s"),
    "axis": (-180, 180, " degrees"),
    "hypertrophy": (0, 2, ""),
    "voltage": (0, 5, ""),
    "t_wave": (-5, 5, ""),
    "st_level": (-2, 2, " mV"),
    "pvc_rate": (0, 0.5, ""),
    "body_variation": (0, 0.5, ""),
    "noise": (0, 5, " mV"),
    "baseline_wander": (0, 5, " mV"),
    "powerline": (0, 5, " mV"),
    "powerline_frequency": (40, 70, " Hz"),
}
_CHOICES = {
    "bundle_branch_block": (None, "left", "right"),
    "infarct": (None, "anterior", "inferior", "both"),
    "st_territory": tuple(ST_TERRITORIES),
    "atrial_fibrillation": (False, True),
}


@public("ecgsk")
def make_ecg(
    n_records: int = 1,
    *,
    sampling_rate: float = 500.0,
    duration: float = 10.0,
    heart_rate: float | Sequence[float] = 70.0,
    heart_rate_variability: float | Sequence[float] = 0.03,
    pr_interval: float | Sequence[float] = 0.16,
    qrs_duration: float | Sequence[float] | None = None,
    qt_interval: float | Sequence[float] | None = None,
    axis: float | Sequence[float] = 45.0,
    bundle_branch_block: str | None | Sequence[str | None] = None,
    infarct: str | None | Sequence[str | None] = None,
    hypertrophy: float | Sequence[float] = 0.0,
    voltage: float | Sequence[float] = 1.0,
    t_wave: float | Sequence[float] = 1.0,
    st_level: float | Sequence[float] = 0.0,
    st_territory: str | Sequence[str] = "lateral",
    atrial_fibrillation: bool | Sequence[bool] = False,
    pvc_rate: float | Sequence[float] = 0.0,
    body_variation: float | Sequence[float] = 0.0,
    noise: float | Sequence[float] = 0.02,
    baseline_wander: float | Sequence[float] = 0.05,
    powerline: float | Sequence[float] = 0.0,
    powerline_frequency: float | Sequence[float] = 50.0,
    random_state=None,
    return_annotations: bool = False,
) -> np.ndarray | tuple[np.ndarray, Bunch]:
    """Make synthetic 12-lead ECGs of known physiology.

    The heart is a dipole whose vector is a sum of bells in time: P (right and left atrium), QRS
    (septum, apex, free wall, base; the late vectors of a bundle branch block; the missing ones of
    an infarct), ST and T. The leads are its projections: Einthoven's triangle for I and II,
    Dower's vectors [1]_ for V1 to V6. Noise and wander are added to those eight, and the other
    limb leads are derived, so that III = II - I, aVR = -(I + II)/2, aVL = I - II/2 and
    aVF = II - I/2 hold to the last bit of float32.

    Every parameter from ``heart_rate`` to ``powerline_frequency`` is one value, or a sequence of
    ``n_records`` values, one for each record.

    Parameters
    ----------
    n_records : int, default=1
        Number of recordings.
    sampling_rate : float, default=500.0
        Hz; at least 50.
    duration : float, default=10.0
        Seconds.
    heart_rate : float, default=70.0
        Ventricular rate, beats per minute.
    heart_rate_variability : float, default=0.03
        Standard deviation of the RR intervals over their mean, by respiration (0.2 to 0.3 Hz), the
        slower wave at 0.1 Hz and chance.
    pr_interval : float, default=0.16
        Onset of P to onset of QRS, s.
    qrs_duration : float, default=None
        Seconds. None: 0.09, or 0.15 with left and 0.14 with right bundle branch block.
    qt_interval : float, default=None
        Onset of QRS to end of T, s. None: 0.41 s corrected for the heart rate by Fridericia's
        formula [2]_, longer by what the QRS exceeds 0.09 s.
    axis : float, default=45.0
        Frontal axis of the QRS in degrees: 0 towards lead I, 90 towards aVF. It is that of the
        QRS before an infarct or the late part of a right bundle branch block is added.
    bundle_branch_block : {None, "left", "right"}, default=None
        "left": QS or rS in V1, broad notched R in I and V6, T against the QRS. "right": rSR' in
        V1, broad S in I and V6, T inverted in V1 and V2.
    infarct : {None, "anterior", "inferior", "both"}, default=None
        An old one. "anterior": QS in V1 to V3, T inverted there. "inferior": Q in II, III, aVF.
    hypertrophy : float, default=0.0
        Hypertrophy of the left ventricle, with its strain: 0 none, 1 marked (voltages up by 0.9,
        T inverted and ST depressed in I, aVL, V5 and V6).
    voltage : float, default=1.0
        Factor of QRS and T. 0.4 is low voltage.
    t_wave : float, default=1.0
        Factor of the T wave, before the changes that block, infarct and hypertrophy make to it:
        0 flattens, a negative value inverts.
    st_level : float, default=0.0
        mV, from the J point on, on top of what block, infarct and hypertrophy make of it: in V5,
        aVF or V3 according to ``st_territory``, and in the other leads as their angles to it have
        it.
    st_territory : {"lateral", "inferior", "anterior"}, default="lateral"
        Where ``st_level`` is meant.
    atrial_fibrillation : bool, default=False
        No P waves, a fibrillating baseline, RR intervals that vary by at least 0.2 of their mean.
    pvc_rate : float, default=0.0
        Share of beats that are premature ventricular complexes; at most 0.5, which is bigeminy.
    body_variation : float, default=0.0
        How much records differ in the size and direction of their waves and in the gain of their
        chest leads, as a relative standard deviation. 0.15 is like people; 0 repeats one body.
    noise : float, default=0.02
        Standard deviation of white noise in I, II, V1 to V6, mV.
    baseline_wander : float, default=0.05
        Standard deviation of the wander below 0.5 Hz in those leads, mV.
    powerline : float, default=0.0
        Highest amplitude of the mains hum in those leads, mV. None above half the sampling rate.
    powerline_frequency : float, default=50.0
        Hz.
    random_state : int, numpy Generator, RandomState or None, default=None
        Makes the result repeat. NumPy's global generator is neither read nor changed.
    return_annotations : bool, default=False
        Whether to return the truth as well.

    Returns
    -------
    ecg : ndarray of shape (n_records, 12, n_samples)
        float32, mV, leads I II III aVR aVL aVF V1-V6; ``round(duration * sampling_rate)`` samples.
    annotations : Bunch
        With ``return_annotations=True``. Lists with one array per record: ``r_peaks`` (s, where
        the heart's vector is longest in the QRS), ``qrs_onsets`` (s) and ``pvc`` (bool, for each
        of those beats). Arrays of length n_records: ``qrs_duration`` and ``qt_interval`` (s).

    Raises
    ------
    ValueError
        For values outside what hearts do, and intervals that contradict each other (a QRS that
        outlasts its QT interval, a QT interval longer than the beat).
    TypeError
        For values that are not numbers.

    References
    ----------
    .. [1] Dower GE, Machado HB, Osborne JA. On deriving the electrocardiogram from
       vectorcardiographic leads. Clin Cardiol 1980;3:87-95.
    .. [2] Fridericia LS. Die Systolendauer im Elektrokardiogramm bei normalen Menschen und bei
       Herzkranken. Acta Med Scand 1920;53:469-486.

    Examples
    --------
    >>> from ecgsk.datasets import make_ecg
    >>> X = make_ecg(2, heart_rate=[60, 120], bundle_branch_block=[None, "left"], random_state=0)
    >>> X.shape, X.dtype
    ((2, 12, 5000), dtype('float32'))
    >>> X, truth = make_ecg(duration=5, random_state=0, return_annotations=True)
    >>> len(truth.r_peaks[0]), truth.qt_interval.round(2)
    (6, array([0.39]))
    """
    given = {name: value for name, value in locals().items() if name in _NUMBERS | _CHOICES}
    n_samples = check_size(n_records, sampling_rate, duration)
    p = resolve_physiology(n_records, given)
    rng = as_generator(random_state)
    body = draw_bodies(n_records, p["body_variation"], rng)
    ecg, beats = render(p, body, sampling_rate, n_samples, rng)
    if not return_annotations:
        return ecg
    return ecg, Bunch(
        r_peaks=[record["r"] for record in beats],
        qrs_onsets=[record["qrs"] for record in beats],
        pvc=[record["pvc"] for record in beats],
        qrs_duration=p["qrs_duration"],
        qt_interval=p["qt_interval"],
    )


def as_generator(random_state) -> np.random.Generator:
    """Return a Generator for an int, a Generator, a RandomState or None."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31, size=4)
    return np.random.default_rng(random_state)


def resolve_physiology(n_records: int, given: dict) -> dict:
    """Check the record-wise parameters of `make_ecg` and return arrays of length n_records."""
    p = {name: _choice(name, given[name], n_records) for name in _CHOICES}
    p["atrial_fibrillation"] = p["atrial_fibrillation"].astype(bool)
    for name in _NUMBERS:
        if given[name] is not None or name not in ("qrs_duration", "qt_interval"):
            p[name] = _number(name, given[name], n_records)
    block = p["bundle_branch_block"]
    if "qrs_duration" not in p:
        p["qrs_duration"] = np.array([_QRS_WITH_BLOCK.get(side, _NARROW_QRS) for side in block])
    if "qt_interval" not in p:
        widened = np.maximum(p["qrs_duration"] - _NARROW_QRS, 0)
        p["qt_interval"] = _QTC * np.cbrt(60 / p["heart_rate"]) + widened
    qrs, qt, rr = p["qrs_duration"], p["qt_interval"], 60 / p["heart_rate"]
    _refuse(
        np.isin(block, ("left", "right")) & (qrs < _LEAST_QRS_WITH_BLOCK),
        lambda i: f"qrs_duration={qrs[i]:g} s with bundle_branch_block={block[i]!r}",
        f"a bundle branch block takes at least {_LEAST_QRS_WITH_BLOCK:g} s. Widen the QRS",
    )
    _refuse(
        qrs + _LEAST_JT > qt,
        lambda i: f"qrs_duration={qrs[i]:g} s with qt_interval={qt[i]:.3g} s",
        f"T needs at least {_LEAST_JT:g} s after the QRS. Shorten the QRS or lengthen the QT",
    )
    if given["qt_interval"] is not None:
        _refuse(
            qt >= rr,
            lambda i: f"qt_interval={qt[i]:g} s at heart_rate={p['heart_rate'][i]:g}",
            "the QT interval has to end before the next beat. Use None to fit it to the rate",
        )
    return p


def check_size(n_records: int, sampling_rate: float, duration: float) -> int:
    """Check the shape asked for and return the samples of a record."""
    for name, value in (("sampling_rate", sampling_rate), ("duration", duration)):
        if not isinstance(value, Real):
            raise TypeError(f"{name}={value!r} is not allowed; use a number.")
    if not isinstance(n_records, (int, np.integer)) or isinstance(n_records, bool) or n_records < 1:
        raise ValueError(f"n_records={n_records!r} is not allowed; use an integer of at least 1.")
    if not 50 <= sampling_rate < np.inf:
        raise ValueError(
            f"sampling_rate={sampling_rate!r} is not allowed; a QRS complex needs at least 50 Hz."
        )
    if not 0 < duration < np.inf or round(duration * sampling_rate) < 1:
        raise ValueError(f"duration={duration!r} is not allowed; use seconds above 0.")
    return round(duration * sampling_rate)


def _record_wise(name: str, value, n_records: int) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != n_records):
        raise ValueError(
            f"{name} has shape {array.shape}; give one value, or n_records={n_records} of them."
        )
    return np.broadcast_to(array, (n_records,))


def _number(name: str, value, n_records: int) -> np.ndarray:
    low, high, unit = _NUMBERS[name]
    array = _record_wise(name, value, n_records)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}={value!r} is not a number; use {low:g} to {high:g}{unit}.")
    array = array.astype(float)
    _refuse(
        ~((array >= low) & (array <= high)),
        lambda i: f"{name}={array[i]:g}",
        f"use {low:g} to {high:g}{unit}",
    )
    return array


def _choice(name: str, value, n_records: int) -> np.ndarray:
    array = _record_wise(name, np.asarray(value, dtype=object), n_records)
    _refuse(
        np.array([item not in _CHOICES[name] for item in array]),
        lambda i: f"{name}={array[i]!r}",
        f"use one of {', '.join(map(repr, _CHOICES[name]))}",
    )
    return array


def _refuse(bad: np.ndarray, say, allowed: str) -> None:
    """Raise for the first record that is bad."""
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        where = f" (record {i})" if len(bad) > 1 else ""
        raise ValueError(f"{say(i)}{where} is not allowed; {allowed}.")
