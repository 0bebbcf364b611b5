"""Headers of EDF and EDF+ files.

Kemp et al. 1992 and https://www.edfplus.info/specs/edf.html. All fields are texts of fixed width,
those of the signals one field for all signals after another.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise

from ecgsk._core.signal import lead_name, millivolt_factor
from ecgsk._formats.stored import Statements, age_at

ANNOTATIONS = "EDF Annotations"
UNCLOSED = -1  # in place of the number of data records
_FIXED = 256  # bytes, as many as for each signal
_MOST_SIGNALS = 4096
_SHORTEST, _LONGEST = 1e-30, 1e30  # data records, s; beyond, rates are infinite
_WIDTHS = {
    "label": 16,
    "transducer": 80,
    "unit": 8,
    "physical_min": 8,
    "physical_max": 8,
    "digital_min": 8,
    "digital_max": 8,
    "prefilter": 80,
    "n_samples": 8,
    "reserved": 32,
}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d+)?", re.IGNORECASE)
# Code, sex, date of birth, name.
_PATIENT = re.compile(r"(\S+) ([MFX]) (\d{1,2}-[A-Z]{3}-\d{4}|X) \S.*", re.IGNORECASE)
_DATE = re.compile(r"(\d{1,2})[.-](\d{1,2}|[a-z]{3})[.-](\d{4}|\d{2})")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
# Programs write this where a date is hidden.
_HIDDEN = "01.01.85"


@dataclass(frozen=True)
class Signal:
    """A signal, in the texts of the header."""

    label: str
    unit: str
    physical: tuple[str, str]
    digital: tuple[str, str]
    prefilter: str
    place: slice  # of its samples in a data record

    @property
    def lead(self) -> str:
        """The name as in STANDARD_LEADS, if it is one of these."""
        return lead_name(self.label)

    @property
    def n_samples(self) -> int:
        """The number of samples in a data record."""
        return self.place.stop - self.place.start

    def scale(self) -> tuple[float, float]:
        """Return a count's size and the value of count 0, in mV."""
        factor = millivolt_factor(self.unit)
        low, high = (_number(text, f"physical limit of {self.label}") for text in self.physical)
        least, most = (_number(text, f"digital limit of {self.label}") for text in self.digital)
        gain = (high - low) / (most - least) if most > least else 0.0
        in_range = -32768 <= least < most <= 32767
        if not (in_range and gain):
            raise ValueError(
                f"the counts {least:g} to {most:g} of lead {self.label} stand for {low:g} to "
                f"{high:g} {self.unit}: its amplitude is unknown"
            )
        return gain * factor, (low - gain * least) * factor


@dataclass(frozen=True)
class Header:
    """The header of a file."""

    kind: str  # EDF, EDF+C or EDF+D
    n_bytes: int
    n_records: int  # of data records, or UNCLOSED
    seconds: float  # of a data record
    rounding: float  # by how many seconds that may be off, because its text was cut
    signals: tuple[Signal, ...]
    states: Statements

    @property
    def record_size(self) -> int:
        """The number of samples in a data record."""
        return self.signals[-1].place.stop

    def sampling_rate(self, signal: Signal) -> float:
        """Return a signal's sampling rate in Hz."""
        rate = signal.n_samples / self.seconds
        near = round(rate)
        is_cut = near > 0 and abs(signal.n_samples / near - self.seconds) <= self.rounding
        return float(near) if is_cut else rate


def read_header(content: bytes) -> Header:
    """Return the header of a file's content. Raises ValueError for what cannot be one."""
    if content.startswith(b"\xffBIOSEMI"):
        raise ValueError("it is BDF, of 24 bits, which is not read: convert it to EDF")
    if len(content) < _FIXED:
        raise ValueError(f"it is cut off: it has {len(content)} bytes; a header has {_FIXED}")
    n_bytes = _integer(_text(content[184:192]), "size of the header")
    n_signals = _integer(_text(content[252:256]), "number of signals")
    if not 0 < n_signals <= _MOST_SIGNALS or n_bytes != _FIXED * (n_signals + 1):
        raise ValueError(
            f"its header of {n_bytes} bytes cannot describe {n_signals} signals, as it states"
        )
    if n_bytes > len(content):
        raise ValueError(f"it is cut off: it has {len(content)} bytes; its header has {n_bytes}")
    n_records = _integer(_text(content[236:244]), "number of data records")
    duration = _text(content[244:252])
    seconds = _number(duration, "duration of a data record")
    if n_records < UNCLOSED or not _SHORTEST <= seconds < _LONGEST:
        raise ValueError(f"it states {n_records} data records of {seconds:g} s")
    reserved = _text(content[192:236])
    kind = reserved[:5] if reserved.startswith("EDF+") else "EDF"
    decimals = len(duration.partition(".")[2])
    return Header(
        kind=kind,
        n_bytes=n_bytes,
        n_records=n_records,
        seconds=seconds,
        rounding=10.0**-decimals if len(duration) == 8 and decimals else 0.0,
        signals=_signals(content, n_signals),
        states=_statements(content, kind != "EDF"),
    )


def _signals(content: bytes, n_signals: int) -> tuple[Signal, ...]:
    fields: dict[str, list[str]] = {}
    start = _FIXED
    for name, width in _WIDTHS.items():
        ends = [start + width * i for i in range(n_signals + 1)]
        fields[name] = [_text(content[a:b]) for a, b in pairwise(ends)]
        start = ends[-1]
    counts = [_integer(text, "number of samples in a data record") for text in fields["n_samples"]]
    if min(counts) < 1:
        raise ValueError(f"it states {min(counts)} samples of a signal in a data record")
    return tuple(
        Signal(
            label=fields["label"][i],
            unit=fields["unit"][i],
            physical=(fields["physical_min"][i], fields["physical_max"][i]),
            digital=(fields["digital_min"][i], fields["digital_max"][i]),
            prefilter=fields["prefilter"][i],
            place=slice(start, stop),
        )
        for i, (start, stop) in enumerate(pairwise([0, *accumulate(counts)]))
    )


def _statements(content: bytes, is_plus: bool) -> Statements:
    day, time = _text(content[168:176]), _text(content[176:184])
    recording = _text(content[88:168]).split() if is_plus else []
    if recording[:1] == ["Startdate"]:
        day = (recording[1:2] or ["X"])[0]  # with all digits of the year, or hidden
    recorded = None if day == _HIDDEN else _date(day, time)
    device = _known((recording[4:5] or ["X"])[0])
    found = _PATIENT.fullmatch(_text(content[8:88]))
    if found is None:
        # Free text, often with the patient's name.
        return Statements(date=recorded, device=device)
    return Statements(
        patient=_known(found[1]) if is_plus or re.search(r"\d", found[1]) else None,
        age_text=age_at(_date(found[3], ""), recorded),
        sex_text=_known(found[2].upper()),
        date=recorded,
        device=device,
    )


def _known(subfield: str) -> str | None:
    """Return a subfield of EDF+, where X stands for unknown and underscores for blanks."""
    return None if subfield in ("X", "x") else subfield.replace("_", " ")


def _date(day: str, time: str) -> datetime | None:
    """Return a date in the form of EDF, 25.05.13, or EDF+, 25-MAY-2013; None for others."""
    found = _DATE.fullmatch(day.lower())
    if found is None:
        return None
    try:
        month = int(found[2]) if found[2].isdecimal() else _MONTHS.index(found[2]) + 1
        year = int(found[3])
        if len(found[3]) == 2:
            year += 1900 if year >= 85 else 2000
        hour, minute, second = map(int, re.findall(r"\d+", time)[:3] or (0, 0, 0))
        return datetime(year, month, int(found[1]), hour, minute, second)
    except ValueError:
        return None


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\0", " ").strip()


def _number(text: str, what: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"its {what} is {text!r}, which is not a number")
    return value


def _integer(text: str, what: str) -> int:
    value = _number(text, what)
    if not value.is_integer():
        raise ValueError(f"its {what} is {text!r}, which is not an integer")
    return int(value)
