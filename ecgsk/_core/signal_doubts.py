"""Doubts about recordings: what is possible but unlikely in a 12-lead ECG.

One pass over the recordings finds them all. The limits were chosen on PTB-XL and Chapman-Shaoxing
recordings; `benchmarks/signal_checks.py` counts alarms on real ones.
"""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

from ecgsk._core.limb_leads import contradiction
from ecgsk._core.public import public

# Median standard deviation over a record's leads, mV: 0.040 to 0.671 in 3,835 PTB-XL recordings.
_DEVIATIONS = (0.025, 1.0)
# Median distance of the samples from a lead's median, mV; beyond it the lead is large everywhere.
_LARGEST_USUAL = 0.25
# Largest standard deviation of a single lead, mV; a loose electrode stays below it.
_LARGEST_OF_LEAD = 10.0
# The median over so many records is nearer to 0.15 mV than that of a single one.
_ENOUGH_RECORDS = 10
_TYPICAL_DEVIATIONS = (0.05, 0.6)
_TYPICAL = 0.153

# mV, and how often a lead's extreme may occur. The largest sample of the same recordings has 28.6
# mV. No extreme beyond 10 mV occurs three times, and none beyond 4.5 mV more than six times.
_EXTREMES = ((30.0, 1), (10.0, 3), (4.5, 20))

# Largest mean, and largest difference of the variance from 1, of standardized recordings.
_STANDARDIZED = 0.01
# How much more those of a few records differ whose set was standardized as a whole. The variance of
# recordings in mV is 0.02 to 0.4.
_PART_OF_SET = 30
_STANDARDIZED_TEXT = "its samples look standardized, where the weights were trained on mV"

_BLOCK_BYTES = 8 << 20
# Relations between leads show in fewer samples than recordings at 500 Hz have.
_ENOUGH_SAMPLES = 1250

# A recording's length, s; what lies outside is compared with 10 s at other rates.
_LENGTHS = (7.0, 31.0)
_COMMON_RATES = (100, 120, 125, 128, 200, 240, 250, 256, 257, 360, 400, 500, 512, 1000)
_TEN_SECONDS_TOLERANCE = 0.025

_IS_QUIET: ContextVar[bool] = ContextVar("is_quiet", default=False)


@public("ecgsk")
class ECGQualityWarning(UserWarning):
    """A recording is usable but looks wrong: its leads, its amplitude or its rate."""


class Doubt(NamedTuple):
    """What looks wrong in one recording."""

    kind: str
    record: int
    message: str


# What to do, by kind of doubt.
_REMEDIES = {
    "lead_order": "Bring the leads into the order that is expected: "
    "ecgsk.preprocessing.SelectLeads(leads=STANDARD_LEADS, input_leads=[...]).",
    "copied_lead": "Two leads of a person are never identical: check how the array was made.",
    "amplitude": "ecgsk expects millivolt.",
    "fill_value": "Set samples that were not recorded to NaN and use missing='zero', or leave "
    "those records out.",
    "flat_lead": "An electrode may have been off.",
    "standardized": "Pass the recordings in mV, as they were before.",
}


def find_doubts(
    X: np.ndarray, leads: Sequence[str] | None = None, *, standardized: bool = True
) -> list[Doubt]:
    """Return the doubts about recordings of shape (n_records, n_leads, n_samples), finite, mV.

    ``leads`` are the names of the leads in their order, as in STANDARD_LEADS; without names no
    order is checked. ``standardized`` tells whether recordings with mean 0 and standard deviation 1
    are as good as those in mV. The doubts are in the order of the records; a doubt about all
    records together has the record -1.
    """
    if X.shape[2] < 2:
        return []
    size = max(1, _BLOCK_BYTES // (4 * X.shape[1] * X.shape[2]))
    doubts, typical, moments = [], [], []
    for start in range(0, len(X), size):
        block = _doubts_of_block(X[start : start + size], leads, standardized)
        doubts += [doubt._replace(record=doubt.record + start) for doubt in block.doubts]
        typical.append(block.typical_deviations)
        moments.append(block.moments)
    mean, power = np.concatenate(moments).mean(axis=0)
    if len(X) >= _ENOUGH_RECORDS:
        mean, power = mean / _PART_OF_SET, (power - 1) / _PART_OF_SET + 1
    of_records = np.concatenate(typical)
    if len(of_records) and abs(mean) < _STANDARDIZED and abs(power - 1) < _STANDARDIZED:
        # All records together, or a set that they are part of, were standardized.
        doubts = [doubt for doubt in doubts if doubt.kind not in ("amplitude", "lead_order")]
        if not standardized:
            doubts.append(Doubt("standardized", -1, _STANDARDIZED_TEXT.replace("its", "the")))
    elif not any(doubt.kind == "amplitude" for doubt in doubts):
        doubts += _amplitude_of_all(of_records)
    return sorted(doubts, key=lambda doubt: doubt.record)


class _Block(NamedTuple):
    doubts: list[Doubt]
    typical_deviations: np.ndarray  # of records that are not standardized
    moments: np.ndarray  # mean and mean square of each record


def _doubts_of_block(X, leads, standardized) -> _Block:
    """Return doubts about few records."""
    sampled = X[:, :, :: max(1, X.shape[2] // _ENOUGH_SAMPLES)]
    mean = sampled.mean(axis=2, keepdims=True)
    centered = sampled - mean
    # All that is known of the leads' sizes and of their relations is in this small matrix.
    gram = (centered @ centered.transpose(0, 2, 1)).astype(np.float64) / sampled.shape[2]
    deviation = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    low, high = X.min(axis=2), X.max(axis=2)
    flat = low == high
    deviation[flat] = 0.0

    live = np.where(flat, np.nan, deviation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a record of flat leads only
        typical = np.nanmedian(live, axis=1)
    scaled = _leads_are_scaled(mean[:, :, 0], deviation, low, high, flat)
    unit = scaled | _is_standardized(mean[:, :, 0], deviation)
    doubts = [_flat_lead(i, flat[i], leads) for i in np.flatnonzero(flat.any(axis=1)).tolist()]
    if X.shape[1] == 1:
        doubts = []
    if not standardized:
        doubts += [Doubt("standardized", int(i), _STANDARDIZED_TEXT) for i in np.flatnonzero(unit)]
    filled = _fill_values(X, low, high, unit)
    doubts += filled
    spoiled = {doubt.record for doubt in filled}
    largest = deviation.max(axis=1)
    for i in np.flatnonzero(~unit).tolist():
        if i in spoiled:
            continue
        if typical[i] < _DEVIATIONS[0] or typical[i] > _DEVIATIONS[1]:
            doubts.append(Doubt("amplitude", i, _amplitude(typical[i])))
        elif largest[i] > _LARGEST_OF_LEAD:
            lead = _name(int(deviation[i].argmax()), leads)
            text = _amplitude(largest[i]).replace("its", f"the lead {lead} alone: its", 1)
            doubts.append(Doubt("amplitude", i, text))
    for i in range(len(X)):
        copied = _copied_leads(X[i], gram[i], flat[i], leads)
        if copied:
            doubts.append(Doubt("copied_lead", i, copied))
        elif leads is not None and not scaled[i] and i not in spoiled:
            order = contradiction(gram[i], flat[i], tuple(leads))
            doubts += [Doubt("lead_order", i, order)] if order else []
    typical[unit | np.isin(np.arange(len(X)), list(spoiled))] = np.nan
    power = deviation**2 + mean[:, :, 0] ** 2
    moments = np.stack([mean.mean(axis=(1, 2)), power.mean(axis=1)], axis=1)
    return _Block(doubts, typical[~np.isnan(typical)], moments)


def _leads_are_scaled(mean, deviation, low, high, flat) -> np.ndarray:
    """Return in which records each lead has standard deviation 1, range 1, or largest value 1."""
    scales = (
        (np.abs(mean) < 0.05) & (np.abs(deviation - 1) < 0.05),
        np.abs(high - low - 1) < 1e-3,
        np.abs(np.maximum(np.abs(high), np.abs(low)) - 1) < 1e-3,
    )
    live = ~flat.all(axis=1)
    return live & np.any([(scale | flat).all(axis=1) for scale in scales], axis=0)


def _is_standardized(mean, deviation) -> np.ndarray:
    """Return which records have mean 0 and standard deviation 1 as a whole."""
    whole = np.mean(deviation**2 + mean**2, axis=1)
    return (np.abs(mean.mean(axis=1)) < _STANDARDIZED) & (np.abs(whole - 1) < _STANDARDIZED)


def _flat_lead(record: int, flat: np.ndarray, leads) -> Doubt:
    names = [_name(i, leads) for i in np.flatnonzero(flat).tolist()]
    plural = "lead is" if len(names) == 1 else "leads are"
    return Doubt("flat_lead", int(record), f"constant {plural} {', '.join(names)}")


def _name(index: int, leads) -> str:
    return f"number {index}, counted from 0" if leads is None else str(leads[index])


def _fill_values(X, low, high, unit) -> list[Doubt]:
    """Return doubts about values that stand for missing samples, or for a recorder's range."""
    doubts = []
    largest = np.maximum(np.abs(low), np.abs(high)).max(axis=1)
    for i in np.flatnonzero((largest > _EXTREMES[-1][0]) & ~unit):
        usual = np.median(np.abs(X[i] - np.median(X[i], axis=1, keepdims=True)), axis=1)
        found: dict[float, int] = {}
        for lead in range(X.shape[1]):
            # Samples in another unit are large everywhere.
            is_small = min(usual[lead], np.median(usual)) < _LARGEST_USUAL
            for value in (low[i, lead], high[i, lead]) if is_small else ():
                count = int((X[i, lead] == value).sum())
                # An offset of a flat lead is another doubt.
                if count < X.shape[2] and any(
                    abs(value) > limit and count >= n for limit, n in _EXTREMES
                ):
                    found[float(value)] = found.get(float(value), 0) + count
        if found:
            value = max(found, key=lambda key: found[key])
            times = f"{found[value]} samples are" if found[value] > 1 else "a sample is"
            doubts.append(
                Doubt("fill_value", int(i), f"{times} exactly {value:.6g} mV: a value for missing "
                      "samples, or the end of the recorder's range")
            )  # fmt: skip
    return doubts


def _amplitude(deviation: float) -> str:
    shown = f"its standard deviation, typically {_TYPICAL} mV, is {deviation:.3g}"
    factor = 10.0 ** np.round(np.log10(max(deviation, 1e-30) / _TYPICAL))
    units = {1e3: "microvolt", 1e-3: "volt", 1e4: "counts of 0.1 microvolt", 1e6: "nanovolt"}
    if factor == 1:
        return shown
    guess = f", as in {units[factor]}" if factor in units else ""
    change = f"divide by {factor:g}" if factor > 1 else f"multiply by {1 / factor:g}"
    return f"{shown}: perhaps {change}{guess}"


def _amplitude_of_all(deviations: np.ndarray) -> list[Doubt]:
    if len(deviations) < _ENOUGH_RECORDS:
        return []
    middle = float(np.median(deviations))
    low, high = _TYPICAL_DEVIATIONS
    if low <= middle <= high:
        return []
    message = _amplitude(middle).replace("its standard", "the records' median standard")
    return [Doubt("amplitude", -1, message)]


def _copied_leads(record, gram, flat, leads) -> str:
    size = np.diagonal(gram)
    distance = size[:, None] + size[None, :] - 2 * gram
    alike = np.triu(distance <= 1e-4 * size[:, None], 1) & ~flat[:, None] & ~flat[None, :]
    pairs = [(i, j) for i, j in np.argwhere(alike) if np.array_equal(record[i], record[j])]
    if not pairs:
        return ""
    shown = ", ".join(f"{_name(i, leads)} and {_name(j, leads)}" for i, j in pairs[:3])
    return f"identical leads: {shown}{', ...' if len(pairs) > 3 else ''}"


def doubt_of_length(n_samples: int, sampling_rate: float) -> str:
    """Return what is unlikely about recordings of so many samples at a rate, Hz, or no text."""
    seconds = n_samples / sampling_rate
    if _LENGTHS[0] <= seconds <= _LENGTHS[1]:
        return ""
    for rate in _COMMON_RATES:
        if abs(n_samples / rate / 10 - 1) <= _TEN_SECONDS_TOLERANCE and rate != sampling_rate:
            return (
                f"recordings of {n_samples} samples last {seconds:.3g} s at sampling_rate="
                f"{sampling_rate:g}, and {n_samples / rate:.3g} s at {rate} Hz. If {rate} Hz is "
                f"their rate, set sampling_rate={rate}"
            )
    return ""


def warn_of_length(n_samples: int, sampling_rate: float | None, stacklevel: int = 3) -> None:
    """Warn where the number of samples makes a usual recording at another rate only."""
    doubt = "" if sampling_rate is None else doubt_of_length(n_samples, sampling_rate)
    if doubt and not is_quiet():
        text = f"{doubt[0].upper()}{doubt[1:]}. A RecordArray can carry the rate."
        warnings.warn(text, ECGQualityWarning, stacklevel=stacklevel + 1)


@contextmanager
def without_doubts() -> Iterator[None]:
    """Let what runs inside examine no recording: its results are not a user's recordings."""
    token = _IS_QUIET.set(True)
    try:
        yield
    finally:
        _IS_QUIET.reset(token)


def is_quiet() -> bool:
    """Return whether the code runs inside `without_doubts`."""
    return _IS_QUIET.get()


def warn_of_doubts(doubts: Sequence[Doubt], records: Sequence[int], stacklevel: int = 3) -> None:
    """Warn once of each kind of doubt; ``records`` are the numbers that the user counts them by."""
    if is_quiet():
        return
    for kind, group in itertools.groupby(sorted(doubts, key=lambda d: d.kind), lambda d: d.kind):
        found = list(group)
        first = [int(records[doubt.record]) for doubt in found[:5]]
        if found[0].record < 0 or len(records) == 1 and first == [0]:
            where = found[0].message[0].upper() + found[0].message[1:]
        else:
            others = f" (also {', '.join(map(str, first[1:]))})" if len(first) > 1 else ""
            others = others.replace(")", ", ...)") if len(found) > 5 else others
            count = f"{len(found)} of {len(records)} records" if len(records) > 1 else "Record"
            where = f"{count}: record {first[0]}{others}: {found[0].message}"
        warnings.warn(f"{where}. {_REMEDIES[kind]}", ECGQualityWarning, stacklevel=stacklevel + 1)
