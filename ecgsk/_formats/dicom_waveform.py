"""Multiplex groups of DICOM waveforms: leads that were sampled together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgsk._core.signal import STANDARD_LEADS, lead_name, millivolt_factor
from ecgsk._formats.dicom_dataset import DICOMFile, number, text
from ecgsk._formats.limits import check_signal
from ecgsk._formats.scaling import scale_counts

# Numbers of leads in the codes of MDC ("2:1", or 2 * 65536 + 1) and SCP-ECG ("5.6.3-9-1").
_LEADS = dict(enumerate("I II V1 V2 V3 V4 V5 V6 V7 V2R V3R V4R V5R V6R V7R X Y Z".split(), 1))
_LEADS |= dict(enumerate("III aVR aVL aVF -aVR V8 V9 V8R V9R".split(), 61))
_LEAD_CODE = re.compile(r"(?:2:|5\.6\.3-9-)(\d{1,3})")
_MDC_LEADS = 2 << 16
# IEC 60601 calls the chest leads C1 to C6.
_IEC_LEADS = {f"C{number}": f"V{number}" for number in range(1, 7)}
_VOLTS = {"volt": "V", "millivolt": "mV", "microvolt": "uV", "nanovolt": "nV"}
_TYPES = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}
_TYPES_BY_BITS = {8: "SB", 16: "SS", 32: "SL"}
_MOST_CHANNELS = 512
_UNDEFINED_LENGTH = 0xFFFF_FFFF
_BEAT = re.compile(r"median|representative|average|template|beat", re.IGNORECASE)
# Seconds. Average heartbeats are shorter; recordings are not.
_LONGEST_BEAT = 2.0
# What the first channel may state for all.
_SCALE = ("ChannelSensitivity", "ChannelSensitivityUnitsSequence")
# Values of Channel Status.
_MISSING = ("DISCONNECTED", "INVALID")
_NO_AMPLITUDE = "UNCALIBRATED"
_DOUBTFUL = ("TEST DATA", "QUESTIONABLE")
# Seconds. Padding takes longer where its value is one that leads have as well, such as 0.
_SHORTEST_PADDING = 0.1
_LEAD_WORDS = re.compile(r"(?:\s*[(\[]\s*(?:precordial|chest)\s*[)\]]|[\s-]lead)$", re.IGNORECASE)


@dataclass(frozen=True)
class MultiplexGroup:
    """The channels of a group that are leads with a known amplitude."""

    place: int  # 1 for the first
    is_derived: bool  # whether computed from other waveforms
    is_short: bool  # whether an average heartbeat may be so short
    leads: tuple[str, ...]
    problems: dict[str, str]  # why leads cannot be used
    signal: np.ndarray  # float32, mV, (n_leads, n_samples)
    resolutions: tuple[float, ...]  # mV of one count, for each lead
    sampling_rate: float
    start: float | None  # ms
    doubts: tuple[str, ...]  # see StoredECG

    def __str__(self) -> str:
        return (
            f"{', '.join(self.leads)} ({self.sampling_rate:g} Hz, {self.signal.shape[1]} samples, "
            f"from {self.start or 0.0:g} ms)"
        )


@dataclass(frozen=True)
class _Channel:
    index: int
    lead: str
    gain: float = np.nan  # mV for a count
    baseline: float = 0.0  # mV
    skew: float = 0.0  # samples
    bits_stored: int = 0
    status: str = ""  # of the recording
    problem: str = ""  # why it cannot be used


def is_average_heartbeat(item) -> bool:
    """Return whether a multiplex group is an average heartbeat instead of a recording."""
    label = text(item, "MultiplexGroupLabel")
    if "rhythm" in label.lower():
        return False
    computed = text(item, "WaveformOriginality") == "DERIVED" or "TriggerSamplePosition" in item
    return _BEAT.search(label) is not None or (computed and _is_short(item))


def _is_short(item) -> bool:
    n_samples = number(item, "NumberOfWaveformSamples", 0.0)
    return n_samples <= _LONGEST_BEAT * number(item, "SamplingFrequency", 0.0)


def read_group(file: DICOMFile, item, place: int) -> MultiplexGroup:
    """Return a multiplex group. Raises ValueError where it contradicts itself."""
    n_channels = int(number(item, "NumberOfWaveformChannels", 0.0))
    n_samples = int(number(item, "NumberOfWaveformSamples", 0.0))
    rate = number(item, "SamplingFrequency", 0.0)
    definitions = file.items(item, "ChannelDefinitionSequence")
    if n_channels != len(definitions):
        raise ValueError(f"it states {n_channels} channels and describes {len(definitions)}")
    if n_channels > _MOST_CHANNELS:
        raise ValueError(f"it has {n_channels} channels; at most {_MOST_CHANNELS} are read")
    shared = [keyword for keyword in _SCALE if _is_stated_once(definitions, keyword)]
    channels = [
        _channel(
            file, each, i, rate, *(definitions[0] if key in shared else each for key in _SCALE)
        )
        for i, each in enumerate(definitions)
    ]
    used = [channel for channel in channels if not channel.problem]
    if used:
        check_signal(n_channels, n_samples, rate)
    signal = np.empty((len(used), n_samples), dtype=np.float32)
    if used:
        skews = [channel.skew for channel in used]
        if max(skews) - min(skews) >= 1:
            raise ValueError(
                f"its leads were sampled {max(skews) - min(skews):g} samples after one another "
                "(channel skew)"
            )
        _decode(item, used, n_channels, signal)
    doubts = _set_missing(used, signal)
    if shared:
        doubts += (f"only its first channel states {' and '.join(shared)}, used for all",)
    kept = [i for i in range(len(used)) if not _is_copy(i, used, signal)]
    return MultiplexGroup(
        place=place,
        is_derived=text(item, "WaveformOriginality") == "DERIVED",
        is_short=_is_short(item),
        leads=tuple(used[i].lead for i in kept),
        problems={channel.lead: channel.problem for channel in channels if channel.problem},
        signal=signal if len(kept) == len(used) else signal[kept],
        resolutions=tuple(abs(used[i].gain) for i in kept),
        sampling_rate=rate,
        start=number(item, "MultiplexGroupTimeOffset"),
        doubts=doubts,
    )


def _is_stated_once(definitions: Sequence, keyword: str) -> bool:
    """Return whether the first channel alone states what all have in common."""
    stated = [keyword in definition for definition in definitions]
    return len(stated) > 1 and stated[0] and not any(stated[1:])


def _channel(file: DICOMFile, definition, index: int, rate: float, scale, units) -> _Channel:
    lead = _lead(file, definition) or f"channel {index + 1}"
    status = text(definition, "ChannelStatus").upper()
    unit = file.code(units, "ChannelSensitivityUnitsSequence")
    factors = {factor for part in unit if (factor := _millivolt(part))}
    sensitivity = number(scale, "ChannelSensitivity")
    correction = number(scale, "ChannelSensitivityCorrectionFactor", 1.0)
    if "," in lead:
        problem = f"lead {lead} has several names"
    elif _NO_AMPLITUDE in status:
        problem = f"lead {lead} is marked as {status}"
    elif len(factors) != 1:
        stated = " ".join(filter(None, unit)) or "no unit"
        problem = f"lead {lead} is in {stated}: its amplitude is unknown"
    elif sensitivity is None:
        problem = f"lead {lead} has no sensitivity: its amplitude is unknown"
    elif not (gain := sensitivity * correction):
        problem = f"lead {lead} has a sensitivity of {gain:g}: its amplitude is unknown"
    else:
        (factor,) = factors
        return _Channel(
            index=index,
            lead=lead,
            gain=gain * factor,
            baseline=number(scale, "ChannelBaseline", 0.0) * factor,
            skew=number(
                definition, "ChannelSampleSkew", number(definition, "ChannelTimeSkew", 0.0) * rate
            ),
            bits_stored=int(number(definition, "WaveformBitsStored", 0.0)),
            status=status,
        )
    return _Channel(index=index, lead=lead, problem=problem)


def _lead(file: DICOMFile, definition) -> str:
    """Return a channel's lead by code, meaning or label; all names where they disagree."""
    value, meaning = file.code(definition, "ChannelSourceSequence")
    label = text(definition, "ChannelLabel")
    texts = (value, meaning.split(",")[0], label)
    names = [lead_name(_LEAD_WORDS.sub("", name.strip())) for name in texts]
    names = [_IEC_LEADS.get(name, name) for name in names]
    match = _LEAD_CODE.fullmatch(value)
    place = int(match[1]) if match else int(value) - _MDC_LEADS if value.isdecimal() else 0
    known = {name for name in names if name in STANDARD_LEADS}
    if place in _LEADS:
        known.add(_LEADS[place])
    elif not known:
        return names[1] or names[2]
    return ", ".join(sorted(known))


def _millivolt(unit: str) -> float | None:
    word = re.sub(r"[\s-]|s$", "", unit.lower())
    try:
        return millivolt_factor(_VOLTS.get(word, unit))
    except ValueError:
        return None


def _decode(item, channels: Sequence[_Channel], n_channels: int, out: np.ndarray) -> None:
    """Write the samples of channels in mV."""
    element = item.get_item("WaveformData")
    if element is None or not element.value:
        raise ValueError("it contains a waveform without samples")
    if element.length == _UNDEFINED_LENGTH:
        raise ValueError("its samples are compressed: export it without compression")
    bits = int(number(item, "WaveformBitsAllocated", 0.0))
    interpretation = text(item, "WaveformSampleInterpretation").upper() or _TYPES_BY_BITS.get(
        bits, ""
    )
    dtype = np.dtype(_TYPES.get(interpretation, "V1"))
    if dtype.kind == "V" or 8 * dtype.itemsize != bits:
        raise ValueError(
            f"its samples are {interpretation!r} of {bits} bits; linear ones of 8, 16 or 32 bits "
            "are read (SB, UB, SS, US, SL, UL)"
        )
    dtype = dtype.newbyteorder("<" if element.is_little_endian else ">")
    needed = n_channels * out.shape[1] * dtype.itemsize
    # Lengths are even; some programs fill up to a multiple of more bytes.
    excess = len(element.value) - needed
    if not 0 <= excess < n_channels * dtype.itemsize + needed % 2 or any(element.value[needed:]):
        raise ValueError(
            f"it has {len(element.value)} bytes of samples; {n_channels} channels of "
            f"{out.shape[1]} samples are {needed} bytes"
        )
    counts = np.frombuffer(element.value, dtype, needed // dtype.itemsize).reshape(-1, n_channels)
    largest_bits = max(channel.bits_stored for channel in channels)
    if dtype.kind == "i" and 0 < largest_bits < bits and counts.min() >= 0:
        if counts.max() >= 1 << (largest_bits - 1):
            raise ValueError(
                f"its samples of {largest_bits} bits have no sign, but are called {interpretation}"
            )
    padding = _padding(item, dtype)
    rate = number(item, "SamplingFrequency", 0.0)
    for row, channel in zip(out, channels, strict=True):
        of_lead = counts[:, channel.index]
        scale_counts(of_lead, channel.gain, channel.baseline, row)
        if padding is not None:
            row[_is_padding(of_lead, padding, _SHORTEST_PADDING * rate)] = np.nan


def _is_padding(counts: np.ndarray, padding: int, shortest: float) -> np.ndarray:
    """Return which samples are padding: all of its value, or long runs where leads reach it."""
    found = counts == padding
    limits = np.iinfo(counts.dtype)
    if padding in (limits.min, limits.max) or not found.any():
        return found
    changes = np.diff(found.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(changes > 0), np.flatnonzero(changes < 0)
    is_short = stops - starts < shortest
    changes[starts[is_short]] = changes[stops[is_short]] = 0
    return np.cumsum(changes[:-1], dtype=np.int8) > 0


def _set_missing(channels: Sequence[_Channel], signal: np.ndarray) -> tuple[str, ...]:
    """Set leads that were not recorded to NaN, and return doubts about the others."""
    missing = [_is_marked(channel, _MISSING) for channel in channels]
    words: tuple[str, ...] = _DOUBTFUL
    if all(missing):  # which no device would have stored
        words += _MISSING
    else:
        signal[missing] = np.nan
    marked = [channel for channel in channels if _is_marked(channel, words)]
    if len(marked) == len(channels) > 1:
        return (f"all its leads are marked as {marked[0].status}",)
    return tuple(f"lead {channel.lead} is marked as {channel.status}" for channel in marked)


def _is_marked(channel: _Channel, words: Sequence[str]) -> bool:
    return any(word in channel.status for word in words)


def _padding(item, dtype: np.dtype):
    if "WaveformPaddingValue" not in item:
        return None
    value = item["WaveformPaddingValue"].value
    if isinstance(value, int):
        return value
    if value and len(value) < dtype.itemsize:
        raise ValueError(f"its padding value has {len(value)} bytes; {dtype.itemsize} are needed")
    return np.frombuffer(value, dtype, 1)[0] if value else None


def _is_copy(place: int, channels: Sequence[_Channel], signal: np.ndarray) -> bool:
    """Return whether a lead is a copy of one before, such as a rhythm strip at a page's foot."""
    return any(
        channels[before].lead == channels[place].lead
        and np.array_equal(signal[before], signal[place], equal_nan=True)
        for before in range(place)
    )
