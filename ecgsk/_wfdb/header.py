"""WFDB headers, read strictly: what is not understood is refused, never guessed."""

import os
import re
import stat
from dataclasses import dataclass, replace
from functools import lru_cache

from ecgsk._core.record_error import RecordError

# A header lists leads and codes. What is larger, or pretends to, is something else.
_LARGEST_HEADER = 4 << 20
_MOST_SIGNALS, _MOST_PER_FRAME, _LONGEST_SKEW = 1000, 1000, 100_000
# Of an ECG, Hz; and of counts to the unit.
RATES, _GAINS = (10.0, 100_000.0), (1e-9, 1e12)

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"

_RECORD_LINE = re.compile(
    rf"(?P<name>[^\s/]+)(?:/(?P<n_segments>\d+))?\s+(?P<n_signals>\d+)"
    rf"(?:\s+(?P<rate>{_NUMBER})(?:/\S+)?(?:\s+(?P<n_samples>\d+)(?:\s+(?P<start>.*))?)?)?",
    re.ASCII,
)

_SIGNAL_LINE = re.compile(
    r"(?P<file>\S+)\s+(?P<format>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?"
    r"(?:\+(?P<offset>\d+))?"
    rf"(?:\s+(?P<gain>[-+]?{_NUMBER})(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?"
    r"(?:\s+\d+(?:\s+(?P<zero>-?\d+)(?:\s+-?\d+(?:\s+(?P<checksum>-?\d+)(?:\s+-?\d+(?:\s+(?P<name>\S.*)"
    r")?)?)?)?)?)?)?",
    re.ASCII,
)

_SEGMENT_LINE = re.compile(r"(?P<name>\S+)\s+(?P<n_samples>\d+)", re.ASCII)
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Signals:
    """Leads of a record and what their counts mean; records that agree share one object."""

    names: tuple[str, ...]
    gains: tuple[float, ...]
    baselines: tuple[int, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """The content of a header.

    ``data_file`` is set only for the plain case: every signal in that one file, format 16, one
    sample a frame, no skew. ``n_samples`` is None where the header leaves it open. ``segments``
    are the names and lengths of the pieces of a multi-segment record. ``files`` are name, format
    and samples a frame of the signal files that are not plain. ``checksums`` has the sum of each
    signal's counts modulo 65536; it is empty where the header has none. ``n_stored`` is the number
    of samples in the files, which stays where a part of them is read. ``start`` is the time and
    date of the recording, as in the record line.
    """

    path: str
    sampling_rate: float
    n_samples: int | None
    signals: Signals
    data_file: str | None = None
    offset: int = 0
    segments: tuple[tuple[str, int], ...] = ()
    comments: tuple[str, ...] = ()
    files: tuple[tuple[str, str, int], ...] = ()
    checksums: tuple[int, ...] = ()
    n_stored: int | None = None
    start: str = ""
    verify: bool = True

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path)


def read_header(path: str) -> Header:
    """Read a ``.hea`` file; RecordError if it cannot be read or is not a WFDB header."""
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise RecordError(path, "the header is not a regular file")
        if about.st_size > _LARGEST_HEADER:
            raise RecordError(path, f"a file of {about.st_size} bytes is not a header")
        with open(path, "rb", buffering=0) as stream:
            content = stream.read(_LARGEST_HEADER)
    except FileNotFoundError:
        raise RecordError(path, "there is no such header", missing=True) from None
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(path, f"the header cannot be opened ({error.strerror})") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    try:
        return _parse(text, path)
    except ValueError as error:
        raise RecordError(path, str(error)) from None


def _parse(text: str, path: str) -> Header:
    lines, comments = [], []
    for line in _LINE_ENDS.split(text):
        line = line.strip()
        if line.startswith("#"):
            comments.append(line)
        elif line:
            lines.append(line)
    if not lines:
        raise ValueError("the header is empty")
    record = _RECORD_LINE.fullmatch(lines[0])
    if record is None:
        raise ValueError(f"the first line is not a WFDB record line: {lines[0][:60]!r}")
    if not RATES[0] <= float(record["rate"] or 0) <= RATES[1]:
        raise ValueError(
            f"the record line gives no usable sampling rate, {RATES[0]:g} to {RATES[1]:g} Hz: "
            f"{lines[0][:60]!r}"
        )
    if float(record["n_signals"]) > _MOST_SIGNALS:
        raise ValueError(
            f"the header announces {record['n_signals'][:20]} signals; at most {_MOST_SIGNALS} are "
            "read"
        )
    header = Header(
        path,
        sampling_rate=float(record["rate"]),
        n_samples=int(record["n_samples"] or 0) or None,
        signals=Signals((), (), (), ()),
        comments=tuple(comments),
        start=record["start"] or "",
    )
    if record["n_segments"] is not None:
        return replace(header, segments=_segments(lines[1:], int(record["n_segments"])))
    n_signals = len(lines) - 1
    if n_signals != float(record["n_signals"]):
        raise ValueError(
            f"the header announces {record['n_signals'][:20]} signals and describes {n_signals}"
        )
    signals = [_signal_fields(line) for line in lines[1:]]
    data_file, offset = _plain_file(signals)
    return replace(
        header,
        signals=_shared_signals(
            tuple(signal["name"] or "" for signal in signals),
            tuple(float(signal["gain"] or 0) for signal in signals),
            # A missing baseline is the count of zero volt at the converter.
            tuple(int(signal["baseline"] or signal["zero"] or 0) for signal in signals),
            tuple(signal["unit"] or "mV" for signal in signals),
        ),
        data_file=data_file and os.path.join(os.path.dirname(path), data_file),
        offset=offset,
        files=() if data_file else _files_of(signals),
        checksums=_checksums(signals),
    )


def _checksums(signals: list[re.Match]) -> tuple[int, ...]:
    given = [signal["checksum"] for signal in signals]
    # Some programs write 0 for all signals.
    if None in given or not any(map(int, given)):
        return ()
    return tuple(int(checksum) % 65536 for checksum in given)


def _signal_fields(line: str) -> re.Match:
    signal = _SIGNAL_LINE.fullmatch(line)
    if signal is None:
        raise ValueError(f"this is not a WFDB signal line: {line[:80]!r}")
    if os.path.basename(signal["file"]) != signal["file"] or signal["file"] in (".", ".."):
        raise ValueError(f"the signal file {signal['file']!r} lies outside the record's folder")
    gain = abs(float(signal["gain"] or 0))
    counts = [float(signal[name] or 0) for name in ("baseline", "zero")]
    frame, skew = (float(signal[name] or 0) for name in ("per_frame", "skew"))
    if (gain and not _GAINS[0] <= gain <= _GAINS[1]) or max(map(abs, counts)) >= 2**31:
        raise ValueError(f"this signal line gives no usable gain or baseline: {line[:80]!r}")
    if frame > _MOST_PER_FRAME or skew > _LONGEST_SKEW or float(signal["offset"] or 0) >= 2**62:
        raise ValueError(
            f"this signal line has a frame, skew or offset that is not possible: {line[:80]!r}"
        )
    return signal


def _files_of(signals: list[re.Match]) -> tuple[tuple[str, str, int], ...]:
    frames: dict[tuple[str, str], int] = {}
    for signal in signals:
        key = (signal["file"], signal["format"])
        frames[key] = frames.get(key, 0) + int(signal["per_frame"] or 1)
    return tuple((file, kind, frame) for (file, kind), frame in frames.items())


def _segments(lines: list[str], n_segments: int) -> tuple[tuple[str, int], ...]:
    segments = [match for line in lines if (match := _SEGMENT_LINE.fullmatch(line))]
    if not len(segments) == len(lines) == n_segments:
        raise ValueError(f"the header announces {n_segments} segments and does not list them")
    for segment in segments:
        if os.path.basename(segment["name"]) != segment["name"]:
            raise ValueError(f"the segment {segment['name']!r} lies outside the record's folder")
    return tuple((segment["name"], int(segment["n_samples"])) for segment in segments)


def _plain_file(signals: list[re.Match]) -> tuple[str | None, int]:
    """Return the one file and byte offset of a record that needs no special decoding."""
    layouts = {(signal["file"], signal["format"], signal["offset"]) for signal in signals}
    if len(layouts) != len({layout[0] for layout in layouts}):
        raise ValueError("signals of one file have different formats or byte offsets")
    if len(layouts) != 1:
        return None, 0
    file, sample_format, offset = layouts.pop()
    plain = (
        sample_format == "16"
        and file not in ("~", "-")
        and all(signal["per_frame"] in (None, "1") for signal in signals)
        and all(signal["skew"] in (None, "0") for signal in signals)
    )
    return (file, int(offset or 0)) if plain else (None, 0)


@lru_cache(maxsize=1024)
def _shared_signals(names, gains, baselines, units) -> Signals:
    return Signals(names, gains, baselines, units)
