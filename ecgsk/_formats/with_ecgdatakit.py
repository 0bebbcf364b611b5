"""Formats that the package ecgdatakit parses (extra ``formats``)."""

import warnings
import zlib
from importlib import import_module

import numpy as np

from ecgsk._core.optional import import_optional
from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import lead_name, millivolt_factor
from ecgsk._formats.limits import LARGEST_FILE, RESOLUTIONS, check_file, check_signal
from ecgsk._formats.stored import ReadOptions, Statements, StoredECG, WholeFileFormat


class ParsedFormat(WholeFileFormat):
    """A format with a parser in ecgdatakit.

    A subclass defines the class attributes and ``recognizes``. It may refine what the parser
    returns by ``rhythm_leads``, ``check``, ``statements`` and ``doubts``.
    """

    in_processes = True
    module: str  # of ecgdatakit.parsing.parsers
    parser: str
    packages: tuple[str, ...] = ("ecgdatakit",)  # to import
    largest: int = LARGEST_FILE  # bytes

    def decode_file(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        check_file(path, self.largest)
        for package in self.packages:
            import_optional(package, extra="formats", purpose=f"Reading {self.name}")
        record, messages = self.parse(path)
        try:
            self.check(record, messages, options)
            leads = self.rhythm_leads(record)
            if not leads:
                raise ValueError("it contains no recording")
            rate = _one({float(lead.sampling_rate) for lead in leads}, "sampling rates")
            n_samples = _one({len(lead.samples) for lead in leads}, "lengths")
            check_signal(len(leads), n_samples, rate)
            signal = self._signal(leads, n_samples)
            states = self.statements(record)
        except RecordError:
            raise
        except Exception as error:  # the parser's result from foreign bytes can fail in any way
            raise RecordError(path, _reason(error)) from error
        ecg = StoredECG(
            path=path,
            format=self.name,
            leads=tuple(lead_name(lead.label) for lead in leads),
            sampling_rate=rate,
            n_samples=signal.shape[1],
            states=states,
            crc=zlib.crc32(signal.tobytes()),
            resolutions=_resolutions(leads),
            doubts=self.doubts(record),
        )
        return ecg, signal

    def check(self, record, messages: list[warnings.WarningMessage], options: ReadOptions) -> None:
        """Raise ValueError for a record that must not be used; ``messages`` are the parser's."""
        from ecgdatakit.exceptions import ChecksumWarning

        wrong = [m for m in messages if issubclass(m.category, ChecksumWarning)]
        if wrong and options.verify:
            raise ValueError(
                f"its checksum is wrong: {wrong[0].message}. The file was changed on its way. "
                "Fetch it again, or use verify=False, which reads it as it is"
            )

    def rhythm_leads(self, record) -> list:
        """Return the leads of the recording itself, not those of an average heartbeat."""
        return record.leads

    def statements(self, record) -> Statements:
        """Return what the file states."""
        return statements_of(record)

    def doubts(self, record) -> tuple[str, ...]:
        """Return what the file leaves uncertain."""
        return ()

    def parse(self, path: str):
        """Return the record that ecgdatakit makes of a file, and its warnings."""
        module = import_module(f"ecgdatakit.parsing.parsers.{self.module}")
        return parsed(path, getattr(module, self.parser)())

    def _signal(self, leads, n_samples: int) -> np.ndarray:
        signal = np.empty((len(leads), n_samples), dtype=np.float32)
        for row, lead in zip(signal, leads, strict=True):
            unit = lead.resolution_unit if lead.is_raw else lead.units
            if not unit:
                raise ValueError(
                    f"it states no unit for lead {lead.label}: its amplitude is unknown"
                )
            factor = millivolt_factor(unit)
            if lead.is_raw:
                if not RESOLUTIONS[0] <= abs(lead.resolution * factor) <= RESOLUTIONS[1]:
                    raise ValueError(
                        f"the gain of lead {lead.label} is not possible: its amplitude is unknown"
                    )
                row[:] = lead.samples * (lead.resolution * factor) + lead.offset * factor
            else:
                row[:] = lead.samples * factor
        if np.isinf(signal).any():
            raise ValueError("it contains infinite samples")
        return signal


def parsed(path: str, parser):
    """Return the record that a parser makes of a file, and its warnings."""
    try:
        with warnings.catch_warnings(record=True) as messages:
            warnings.simplefilter("always")
            record = parser.parse(path)
    except MemoryError:
        raise RecordError(path, "it does not fit into memory") from None
    except ImportError:
        raise
    except (Exception, RecursionError) as error:
        raise RecordError(path, f"it cannot be decoded ({_reason(error)})") from error
    return record, messages


def statements_of(record) -> Statements:
    """Return what an ECGRecord of ecgdatakit states."""
    patient, device = record.patient, record.recording.device
    found = record.measurements.to_dict() if record.measurements is not None else {}
    interpretation = record.interpretation
    lines = interpretation.statements if interpretation is not None else []
    return Statements(
        patient=patient.patient_id or None,
        age_text=None if patient.age is None else str(patient.age),
        sex_text=patient.sex or None,
        date=record.recording.date,
        device=" ".join(text for text in (device.manufacturer, device.model) if text) or None,
        statements=tuple(" ".join(part for part in line if part) for line in lines),
        measurements={name: float(value) for name, value in found.items() if value is not None},
    )


def _resolutions(leads) -> tuple[float, ...]:
    """Return the mV of one count for each lead, where the parser kept counts."""
    if not all(lead.is_raw for lead in leads):
        return ()
    return tuple(abs(lead.resolution) * millivolt_factor(lead.resolution_unit) for lead in leads)


def _one(values: set, what: str):
    if len(values) != 1:
        raise ValueError(f"its leads have different {what}: {', '.join(map(str, sorted(values)))}")
    return values.pop()


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if "recursion" in text:
        return "its elements are nested too deeply"
    return text.rstrip(".")
