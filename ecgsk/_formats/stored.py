"""Recordings as files contain them, and the base classes of formats."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS


@dataclass(frozen=True)
class ReadOptions:
    """What the user states about files, for what these do not contain themselves."""

    sampling_rate: float | None = None  # Hz
    unit: str | None = None  # of the samples: V, mV, uV or nV
    leads: tuple[str, ...] | None = None  # in the order of the file
    wanted: tuple[str, ...] = STANDARD_LEADS  # leads to read; others need no check
    others: bool = False  # whether to read all other leads, too, where that is possible
    verify: bool = True  # whether to compare checksums
    unnamed: tuple[str, ...] = STANDARD_LEADS  # leads of files that do not name theirs
    seconds: float | None = None  # to read from the beginning; None reads all


@dataclass(frozen=True)
class Statements:
    """What a file states besides the samples; empty or None where it states nothing."""

    patient: str | None = None  # identifier; never a name
    age_text: str | None = None  # as in the file, with its unit: "63Y", "18 months"
    sex_text: str | None = None
    date: datetime | None = None  # of the recording
    device: str | None = None  # manufacturer and model
    statements: tuple[str, ...] = ()  # of the device or its reader: "Sinus rhythm"
    # In the units of their names: heart_rate (1/min), pr_interval, qrs_duration, qt_interval,
    # qtc_bazett, qtc_fridericia, qtc_interval (by a formula that is not stated), rr_interval (ms),
    # p_axis, qrs_axis, t_axis (degrees).
    measurements: dict[str, float] = field(default_factory=dict)
    dx: tuple[str, ...] = ()  # diagnosis codes
    comments: dict[str, str] = field(default_factory=dict)


# Programs that hide a date of birth write this one, or one before.
_HIDDEN_BIRTH = datetime(1900, 1, 1)


def age_at(born: datetime | None, recorded: datetime | None) -> str | None:
    """Return the age at a recording; None where a date is missing or hidden, or they contradict."""
    if born is None or recorded is None or not _HIDDEN_BIRTH < born <= recorded:
        return None
    birthday_is_later = (recorded.month, recorded.day) < (born.month, born.day)
    years = recorded.year - born.year - birthday_is_later
    return f"{years}Y" if years >= 2 else f"{(recorded - born).days}D"


@dataclass(frozen=True)
class StoredECG:
    """A recording in a file, without its samples.

    ``leads`` are all leads that the file contains, in its order and in the spelling of
    STANDARD_LEADS where they are among these. ``row`` is the index in a file of several
    recordings, None otherwise. ``handle`` is what the format needs to read the samples.
    """

    path: str
    format: str
    leads: tuple[str, ...]
    sampling_rate: float  # Hz
    n_samples: int
    row: int | None = None
    states: Statements = Statements()
    handle: Any = None
    crc: int | None = None  # of the samples; equal where recordings are the same
    resolutions: tuple[float, ...] = ()  # mV of one count, for each lead; empty where unknown
    # What the file leaves uncertain although it is read; each without a final stop.
    doubts: tuple[str, ...] = ()


class Format:
    """A format of files; to add one, add an instance to FORMATS in registry.py.

    All methods raise RecordError for a file that cannot be what it claims to be. They are called
    in other processes and threads, so instances must be importable by name.
    """

    # As users read it in metadata and messages.
    name: str
    # Endings that the files often have, in lower case: for messages, content decides.
    endings: tuple[str, ...] = ()
    # Whether decoding keeps Python busy, so that only other processes make it faster.
    in_processes = False
    # Whether each file contains the names of its leads.
    names_leads: bool = True
    # Whether each file states the unit of its samples.
    states_unit: bool = True

    def recognizes(self, path: str, beginning: bytes) -> bool:
        """Return whether a file that begins so (4096 bytes or all of it) is in this format."""
        raise NotImplementedError

    def count(self, path: str, options: ReadOptions) -> int | None:
        """Return how many recordings a file contains; None for formats with one in each file."""
        return None

    def scan(self, path: str, options: ReadOptions) -> Sequence[StoredECG]:
        """Return the recordings in a file."""
        raise NotImplementedError

    def read(self, ecg: StoredECG, leads: Sequence[str], options: ReadOptions) -> np.ndarray:
        """Return some of a recording's leads: float32, mV, (n_leads, n_samples), NaN if missing.

        ``leads`` are among ``ecg.leads``.
        """
        raise NotImplementedError

    def decode(self, path: str, options: ReadOptions) -> Iterator[tuple[StoredECG, Callable]]:
        """Yield each recording and a function from names of leads to their samples, as `read`."""
        for ecg in self.scan(path, options):
            yield ecg, lambda leads, ecg=ecg: self.read(ecg, leads, options)


class WholeFileFormat(Format):
    """A format of files with one recording that is decoded as a whole."""

    def decode_file(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        """Return the recording and its samples: float32, mV, (len(ecg.leads), n_samples)."""
        raise NotImplementedError

    def scan(self, path: str, options: ReadOptions) -> Sequence[StoredECG]:
        return [ecg for ecg, _ in self.decode(path, options)]

    def read(self, ecg: StoredECG, leads: Sequence[str], options: ReadOptions) -> np.ndarray:
        again, signal = self.decode_file(ecg.path, options)
        if replace(again, states=ecg.states) != ecg:
            raise RecordError(ecg.path, "it was replaced after it had been listed")
        return signal[[again.leads.index(lead) for lead in leads]]

    def decode(self, path: str, options: ReadOptions) -> Iterator[tuple[StoredECG, Callable]]:
        ecg, signal = self.decode_file(path, options)
        yield ecg, lambda leads: signal[[ecg.leads.index(lead) for lead in leads]]
