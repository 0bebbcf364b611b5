"""Samples of WFDB records: a quick path for plain 16-bit files, and wfdb for all others."""

import os
import stat
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import lead_indices, lead_name, millivolt_factor
from ecgsk._wfdb.header import Header, Signals, read_header

# Format 16 keeps this count for samples that were not recorded.
_MISSING_SAMPLE = -32768

_MATLAB_INT16 = 30

# Bytes of a sample in the formats of WFDB; FLAC's are at least a small part of one.
_BYTES = {"8": 1.0, "16": 2.0, "24": 3.0, "32": 4.0, "61": 2.0, "80": 1.0, "160": 2.0, "212": 1.5,
          "310": 4 / 3, "311": 4 / 3}  # fmt: skip
_LEAST_BYTES = 1 / 64
# FLAC stores constant signals in next to nothing; so many samples fit into memory in any case.
_SMALL = 10_000_000
_CHANGES = "the text mode of FTP or git"
# Bytes of a signal file beyond its samples that do not make it another file.
_PADDING = 16


class _RefusedError(ValueError):
    """A record is refused for a reason that needs no explanation of the decoder."""


@dataclass(frozen=True, slots=True)
class _Conversion:
    """How counts become millivolt; ``rows`` is None for all signals in their own order."""

    rows: np.ndarray | None
    counts_per_millivolt: np.ndarray
    baselines: np.ndarray | None


@lru_cache(maxsize=1024)
def _conversion(signals: Signals, leads: tuple[str, ...]) -> _Conversion:
    rows = lead_indices(signals.names, leads)
    gains = np.array([signals.gains[row] for row in rows])
    unusable = [lead for lead, gain in zip(leads, gains, strict=True) if not 0 < abs(gain) < np.inf]
    if unusable:
        raise ValueError(f"it has no gain for {', '.join(unusable)}, so their amplitude is unknown")
    gains = gains / [millivolt_factor(signals.units[row]) for row in rows]
    baselines = np.array([signals.baselines[row] for row in rows], dtype=np.float64)
    # The usual values are exact in single precision, where the arithmetic is twice as quick.
    exact = np.array_equal(np.float32(gains), gains) and np.all(np.abs(baselines) < 2**23)
    dtype = np.float32 if exact else np.float64
    return _Conversion(
        rows=None if rows == list(range(len(signals.names))) else np.array(rows),
        counts_per_millivolt=gains[:, np.newaxis].astype(dtype),
        baselines=baselines[:, np.newaxis].astype(dtype) if baselines.any() else None,
    )


def scan_record(path: str, leads: tuple[str, ...], *, verify: bool = True) -> Header:
    """Read a header and check what can be checked without samples; fill in ``n_samples``.

    Raises RecordError for missing leads, gains or units, and for a signal file that is missing or
    of another size than its header describes. Records that are not plain 16-bit files are read
    once to find that out. With ``verify``, `read_signal` compares the checksums.
    """
    return check_record(replace(read_header(path), verify=verify), leads)


def check_record(header: Header, leads: tuple[str, ...]) -> Header:
    """Check a header that has been read, as `scan_record` does."""
    path = header.path
    if header.data_file is None:
        n_samples = _read_with_wfdb(header, leads).shape[1]
        return replace(header, n_samples=n_samples, n_stored=n_samples)
    try:
        _conversion(header.signals, leads)
        n_samples = _check_size(header, header.data_file)
        return replace(header, n_samples=n_samples, n_stored=n_samples)
    except FileNotFoundError:
        name = os.path.basename(header.data_file)
        raise RecordError(path, f"its signal file {name} is missing", missing=True) from None
    except (OSError, ValueError) as error:
        raise RecordError(path, str(error)) from None


def _check_size(header: Header, data_file: str) -> int:
    """Return the number of samples after comparing it with the size of the signal file."""
    name = os.path.basename(data_file)
    n_signals = len(header.signals.names)
    n_bytes = _size_of(data_file) - header.offset
    if name.endswith(".mat"):
        with open(data_file, "rb") as stream:
            kind = np.frombuffer(stream.read(8), "<i4")
        if kind.tolist() != [_MATLAB_INT16, n_signals]:
            raise ValueError(f"{name} is not a MATLAB version 4 file of 16-bit samples")
    if header.n_samples is None:
        if n_bytes <= 0 or n_bytes % (2 * n_signals):
            raise ValueError(
                f"the header gives no length, and the {n_bytes} bytes of samples in {name} "
                f"are not a whole number of samples of {n_signals} signals"
            )
        return n_bytes // (2 * n_signals)
    if n_bytes < 2 * n_signals * header.n_samples:
        raise ValueError(
            f"{name} is truncated: {max(n_bytes, 0) // (2 * n_signals)} of {header.n_samples} "
            "samples are there"
        )
    _check_excess(header, name, n_bytes - 2 * n_signals * header.n_samples)
    return header.n_samples


def _check_excess(header: Header, name: str, n_excess: float) -> None:
    """Raise for a signal file that is too long, unless its checksums will prove it right."""
    if header.verify and not header.checksums and n_excess > _PADDING:
        raise ValueError(
            f"{name} has {int(n_excess)} bytes more than its header describes, and the header has "
            f"no checksums: the file may have been changed on its way, as by {_CHANGES}"
        )


def _check_counts(header: Header, counts) -> None:
    """Raise where the counts (n_signals, n_samples) of a record have other sums than its header."""
    wrong = [
        name or str(i)
        for i, (name, checksum) in enumerate(
            zip(header.signals.names, header.checksums, strict=True)
        )
        # Unsigned 16-bit sums overflow as the format's checksums do.
        if int(np.asarray(counts[i]).astype(np.uint16).sum(dtype=np.uint16)) != checksum
    ]
    if wrong:
        raise _RefusedError(
            f"its samples of {', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''} have "
            "another checksum than its header: a file was changed on its way, as by "
            f"{_CHANGES}, or belongs to another record. Fetch it again, or use verify=False of the "
            "loader, which reads it as it is"
        )


def _check_plain_file(header: Header, n_samples: int | None) -> None:
    """Compare the checksums of a whole plain signal file."""
    if header.verify and header.checksums and n_samples and header.data_file:
        shape = (n_samples, len(header.signals.names))
        counts = np.memmap(header.data_file, "<i2", "r", header.offset, shape)
        _check_counts(header, counts.T)


def _check_decoded(header: Header) -> None:
    """Compare the checksums of a record that wfdb decodes."""
    import wfdb

    if header.verify and header.checksums:
        path = header.path.removesuffix(".hea")
        raw = wfdb.rdrecord(path, physical=False, smooth_frames=False)
        if not any(raw.skew or []):
            _check_counts(header, [np.asarray(signal) for signal in raw.e_d_signal])


def _size_of(path: str) -> int:
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"its signal file {os.path.basename(path)} is not a regular file")
    return about.st_size


def _check_files(header: Header) -> None:
    """Raise for signal files that are smaller than their header, before wfdb takes memory."""
    for name, sample_format, per_frame in header.files:
        if name in ("~", "-"):
            continue
        size = _size_of(os.path.join(header.folder, name))
        n_values = (header.n_samples or 0) * per_frame
        needed = n_values * _BYTES.get(sample_format, 0 if n_values < _SMALL else _LEAST_BYTES)
        if sample_format in _BYTES and needed:
            _check_excess(header, name, size - needed - 8 * per_frame)
        if needed > size + 8 * per_frame:
            raise ValueError(
                f"{name} is truncated: {size} bytes do not hold {header.n_samples} samples of "
                f"format {sample_format}"
            )


def read_signal(header: Header, leads: tuple[str, ...], out: np.ndarray) -> np.ndarray:
    """Read ``leads`` of a header from `scan_record` into ``out``, (n_leads, n_samples) float32, mV.

    Samples that were not recorded become NaN. Raises RecordError for an unreadable signal file.
    """
    if header.data_file is None:
        out[...] = _read_with_wfdb(header, leads)
        return out
    shape = (out.shape[1], len(header.signals.names))
    try:
        counts = np.fromfile(
            header.data_file, "<i2", count=shape[0] * shape[1], offset=header.offset
        )
        counts = counts.reshape(shape).T
    except (OSError, ValueError) as error:
        raise RecordError(header.path, f"its signal file cannot be read ({error})") from None
    if header.verify and header.checksums:
        try:
            if header.n_stored in (None, shape[0]):
                _check_counts(header, counts)
            else:
                _check_plain_file(header, header.n_stored)
        except (OSError, ValueError) as error:
            raise RecordError(header.path, str(error)) from None
    conversion = _conversion(header.signals, leads)
    if conversion.rows is not None:
        counts = counts[conversion.rows]
    dtype = conversion.counts_per_millivolt.dtype
    work = out if dtype == out.dtype else np.empty(out.shape, dtype)
    work[...] = counts
    if conversion.baselines is not None:
        work -= conversion.baselines
    work /= conversion.counts_per_millivolt
    if work is not out:
        out[...] = work
    if counts.min() == _MISSING_SAMPLE:
        out[counts == _MISSING_SAMPLE] = np.nan
    return out


def _read_with_wfdb(header: Header, leads: tuple[str, ...]) -> np.ndarray:
    """Read a record through the wfdb package: float32 mV of shape (n_leads, n_samples)."""
    # wfdb takes half a second to import and plain records do not need it.
    import wfdb

    try:
        _check_before_decoding(header, leads)
        if not header.segments:
            _check_decoded(header)
        record = wfdb.rdrecord(header.path.removesuffix(".hea"))
        signal = record.p_signal.T
        if not header.segments and not _agrees(record, header.signals):
            raise ValueError("wfdb understands its signal lines in another way")
        if signal.shape[1] != (header.n_samples or signal.shape[1]) or not signal.shape[1]:
            raise ValueError(f"{signal.shape[1]} of {header.n_samples} samples could be read")
        try:
            rows = lead_indices(record.sig_name, leads)
        except ValueError as error:
            raise _RefusedError(error) from None
        factors = np.array([millivolt_factor(record.units[row]) for row in rows])
        return (signal[rows] * factors[:, np.newaxis]).astype(np.float32)
    except RecordError as error:
        raise RecordError(header.path, f"segment {error}", error.missing) from None
    except _RefusedError as error:
        raise RecordError(header.path, str(error)) from None
    except FileNotFoundError as error:
        name = os.path.basename(str(error.filename))
        raise RecordError(header.path, f"its file {name} is missing", missing=True) from None
    except Exception as error:
        # A decoder of foreign bytes can fail in any way; the other records stay usable.
        raise RecordError(
            header.path, f"it cannot be decoded ({type(error).__name__}: {error})"
        ) from error


def _check_before_decoding(header: Header, leads: tuple[str, ...]) -> None:
    try:
        if header.segments:
            _check_segments(header, leads)
        else:
            _conversion(header.signals, leads)
            _check_files(header)
    except RecordError:
        raise
    except ValueError as error:
        raise _RefusedError(error) from None


def _agrees(record, signals: Signals) -> bool:
    """Tell whether wfdb, whose parser skips what it does not know, read the same header."""
    return (
        tuple(record.sig_name) == signals.names
        and tuple(record.adc_gain) == signals.gains
        and tuple(record.baseline) == signals.baselines
        and tuple(record.units) == signals.units
    )


def _check_segments(header: Header, leads: tuple[str, ...]) -> None:
    """Refuse segments that wfdb would join although their leads or units differ."""
    segments = [
        replace(read_header(os.path.join(header.folder, f"{name}.hea")), verify=header.verify)
        for name, _ in header.segments
        if name != "~"
    ]
    units: dict[str, str] = {}
    there = sum(n for name, n in header.segments if name != "~")
    listed = sum(n for _, n in header.segments)
    if header.n_samples not in (None, listed):
        raise ValueError(f"it has {header.n_samples} samples and lists segments of {listed}")
    if listed > 10 * there + 10_000_000:
        raise ValueError("its gaps are longer than ten times what was recorded")
    for segment in segments:
        if segment.segments:
            raise ValueError("its segments have segments of their own")
        if segment.data_file is None:
            _check_files(segment)
            if segment.n_samples and segment.files and segment.files[0][0] != "~":
                _check_decoded(segment)
        elif segment.n_samples:
            _check_size(segment, segment.data_file)
            _check_plain_file(segment, segment.n_samples)
        signals = segment.signals
        if segment.sampling_rate != header.sampling_rate:
            raise ValueError("its segments differ in sampling rate")
        for name, gain, unit in zip(signals.names, signals.gains, signals.units, strict=True):
            if lead_name(name) in leads and (not gain or units.setdefault(name, unit) != unit):
                raise ValueError(f"its segments give lead {name} no gain or different units")
    # A first segment without samples is a layout, by whose lead names wfdb joins the others.
    has_layout = header.segments[0][1] == 0
    if not has_layout and len({segment.signals.names for segment in segments}) > 1:
        raise ValueError("its segments differ in their leads or the order of them")
