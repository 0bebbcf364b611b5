"""Common parts of the XML formats."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from xml.etree.ElementTree import Element

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import lead_name
from ecgsk._formats.lead_plan import plan_leads
from ecgsk._formats.limits import RESOLUTIONS, check_signal
from ecgsk._formats.stored import ReadOptions, Statements, StoredECG, WholeFileFormat
from ecgsk._formats.xml_tree import number, read_tree, root_name

# The lowest count of 16 bits stands for a missing sample where no heart has that amplitude.
_MISSING_COUNT, _IMPOSSIBLE = -32768, 20.0  # mV
_MOST_LEADS = 1000
# Seconds. Average heartbeats are shorter; recordings are not.
_LONGEST_BEAT = 2.0
_LONGEST, _WIDEST = 10_000.0, 360.0  # ms or 1/min, degrees


@dataclass(frozen=True)
class XMLLead:
    """A lead as a file contains it: the amplitude is ``counts * gain + offset`` mV."""

    name: str
    counts: np.ndarray
    rate: float  # Hz
    gain: float  # mV
    offset: float = 0.0  # mV
    start: object = None  # equal for leads that were recorded at the same time
    part: object = None  # of the file; where one has all wanted leads, it is the recording
    doubts: tuple[str, ...] = ()  # see StoredECG

    def write_millivolts(self, out: np.ndarray) -> None:
        """Write the amplitudes in mV to an array, NaN where they are missing."""
        if not RESOLUTIONS[0] <= abs(self.gain) <= RESOLUTIONS[1]:
            raise ValueError(
                f"the gain of lead {self.name} is not possible: one count is {self.gain:g} mV"
            )
        out[:] = self.counts * self.gain + self.offset
        if abs(_MISSING_COUNT * self.gain) > _IMPOSSIBLE:
            out[self.counts == _MISSING_COUNT] = np.nan


class XMLFormat(WholeFileFormat):
    """A format of files with one root element.

    A subclass defines the class attributes, ``leads`` and ``statements``, which may raise any
    error for what they cannot read.
    """

    in_processes = True
    endings: tuple[str, ...] = (".xml",)
    root: str  # name of the root element, in lower case

    def leads(self, root: Element, options: ReadOptions) -> Sequence[XMLLead]:
        """Return the leads of the recording itself, not those of an average heartbeat."""
        raise NotImplementedError

    def statements(self, root: Element) -> Statements:
        """Return what the file states."""
        raise NotImplementedError

    def recognizes(self, path: str, beginning: bytes) -> bool:
        def read_more(n_bytes: int) -> bytes:
            with open(path, "rb") as stream:
                return stream.read(n_bytes)

        return root_name(beginning, read_more) == self.root

    def decode_file(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        root = read_tree(path)
        try:
            leads, doubts = _recording(self.leads(root, options), options.wanted)
            signal = _signal(leads)
            states = self.statements(root)
        except MemoryError:
            raise RecordError(path, "it does not fit into memory") from None
        except Exception as error:  # elements in unexpected places can fail in any way
            raise RecordError(path, str(error) or type(error).__name__) from error
        ecg = StoredECG(
            path=path,
            format=self.name,
            leads=tuple(lead.name for lead in leads),
            sampling_rate=leads[0].rate,
            n_samples=signal.shape[1],
            states=states,
            crc=zlib.crc32(signal.data),
            resolutions=tuple(abs(lead.gain) for lead in leads),
            doubts=tuple(dict.fromkeys(chain(doubts, *(lead.doubts for lead in leads)))),
        )
        return ecg, signal


def _recording(
    leads: Sequence[XMLLead], wanted: Sequence[str]
) -> tuple[list[XMLLead], tuple[str, ...]]:
    """Return the leads of one recording, and doubts about the choice.

    It is the first part of a file with all wanted leads, but not one that may be an average
    heartbeat; or all parts together. Leads that are not wanted are left out where they do not fit.
    """
    if len(leads) > _MOST_LEADS:
        raise ValueError(f"it contains {len(leads)} leads; at most {_MOST_LEADS} are read")
    parts: dict[object, list[XMLLead]] = {}
    for lead in leads:
        part = parts.setdefault(lead.part, [])
        if not any(_is_copy(lead, other) for other in part):
            part.append(lead)
    complete = [part for part in parts.values() if _needed(part, wanted)]
    doubts: tuple[str, ...] = ()
    if sum(not _is_short(part) for part in complete) > 1:
        doubts = ("it contains several recordings; the first was read",)
    everything = list(chain(*parts.values()))
    chosen = min(complete, key=_is_short) if complete else everything
    needed = _needed(chosen, wanted)
    if not needed:
        return everything, doubts
    model = next(lead for lead in chosen if lead.name == needed[0])
    names = [lead.name for lead in everything if lead.name not in needed]
    kept = [
        lead
        for lead in everything
        if (lead.name in needed and any(lead is other for other in chosen))
        or (names.count(lead.name) == 1 and _is_like(lead, model))
    ]
    return kept, doubts


def _needed(leads: Sequence[XMLLead], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return which leads the wanted ones follow from, none where one is missing or doubled."""
    try:
        return plan_leads(tuple(lead.name for lead in leads), tuple(wanted)).needed
    except ValueError:
        return ()


def _is_short(part: Sequence[XMLLead]) -> bool:
    return len(part[0].counts) <= _LONGEST_BEAT * part[0].rate


def _is_like(lead: XMLLead, other: XMLLead) -> bool:
    same = len(lead.counts), lead.rate, lead.start
    return same == (len(other.counts), other.rate, other.start)


def _is_copy(lead: XMLLead, other: XMLLead) -> bool:
    """Return whether a lead is a copy, such as a rhythm strip at the foot of a page."""
    is_same = (lead.name, lead.gain, lead.offset) == (other.name, other.gain, other.offset)
    return is_same and _is_like(lead, other) and np.array_equal(lead.counts, other.counts)


def _signal(leads: Sequence[XMLLead]) -> np.ndarray:
    """Return the amplitudes of leads in mV; ValueError for leads that do not fit together."""
    if not leads:
        raise ValueError("it contains no recording")
    counted = Counter(lead.name for lead in leads)
    if doubled := sorted(name for name, count in counted.items() if count > 1):
        raise ValueError(
            f"it contains leads {', '.join(doubled)} more than once: which of them is the "
            "recording is unknown"
        )
    _one([len(lead.counts) for lead in leads], "lengths")
    rate = _one([lead.rate for lead in leads], "sampling rates")
    _one([lead.start for lead in leads], "times at which they start")
    n_samples = len(leads[0].counts)
    check_signal(len(leads), n_samples, rate)
    signal = np.empty((len(leads), n_samples), dtype=np.float32)
    for row, lead in zip(signal, leads, strict=True):
        lead.write_millivolts(row)
    if np.isinf(signal).any():
        raise ValueError("it contains infinite samples")
    return signal


def _one(values: list, what: str):
    if len(set(values)) != 1:
        different = ", ".join(sorted({str(value) for value in values}))
        raise ValueError(f"its leads have different {what}: {different}")
    return values[0]


def xml_lead_name(text: str) -> str:
    """Return the name of a lead; ValueError for an empty one."""
    if not text.strip():
        raise ValueError("it contains a lead without a name")
    return lead_name(text)


def plausible(texts: Mapping[str, str]) -> dict[str, float]:
    """Return those measurements that are numbers and possible, by their names.

    Devices write 0, -1 or 32767 for what they did not measure.
    """
    values = {name: number(text) for name, text in texts.items()}
    return {
        name: value
        for name, value in values.items()
        if value is not None
        and (abs(value) <= _WIDEST if name.endswith("axis") else 0 < value < _LONGEST)
    }
