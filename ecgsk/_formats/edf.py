"""European Data Format, EDF and EDF+."""

import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._formats.edf_header import ANNOTATIONS, UNCLOSED, Header, Signal, read_header
from ecgsk._formats.lead_plan import plan_leads
from ecgsk._formats.limits import check_file, check_signal, unopened
from ecgsk._formats.scaling import scale_counts
from ecgsk._formats.stored import ReadOptions, StoredECG, WholeFileFormat

_UNCLOSED = "the device did not close the file, so that its end may be missing"
_BEGINNINGS = (b"0       ", b"\xffBIOSEMI")
# The beginning of a data record's annotations is its time in seconds.
_ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14")
_MOST_RECORDS = 1_000_000  # with times, which are all compared; a day of 0.1 s has 864,000


class EDF(WholeFileFormat):
    """European Data Format, EDF and EDF+.

    Leads that are not wanted, other signals and annotations are not read. Interrupted recordings
    (of EDF+D) are errors.
    """

    name = "EDF"
    endings = (".edf",)

    def recognizes(self, path: str, beginning: bytes) -> bool:
        is_edf = beginning[:8] == _BEGINNINGS[0] and beginning[252:256].strip().isdigit()
        return is_edf or beginning[:8] == _BEGINNINGS[1]

    def decode_file(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        check_file(path)
        try:
            with open(path, "rb") as file:
                content = file.read()
            header = read_header(content)
            records = _records(header, content)
            signals = _leads(header, options)
            rate = header.sampling_rate(signals[0])
            n_samples = len(records) * signals[0].n_samples
            check_signal(len(signals), n_samples, rate)
            _check_times(header, records, rate)
            signal = _decode(records, signals)
        except OSError as error:
            raise unopened(path, error) from None
        except MemoryError:
            raise RecordError(path, "it does not fit into memory") from None
        except ValueError as error:
            raise RecordError(path, str(error).rstrip(".")) from error
        ecg = StoredECG(
            path=path,
            format=self.name,
            leads=tuple(each.lead for each in signals),
            sampling_rate=rate,
            n_samples=n_samples,
            states=replace(header.states, comments=_comments(signals)),
            crc=zlib.crc32(signal.data),
            resolutions=tuple(abs(each.scale()[0]) for each in signals),
            doubts=(_UNCLOSED,) * (header.n_records == UNCLOSED),
        )
        return ecg, signal


def _records(header: Header, content: bytes) -> np.ndarray:
    """Return the counts of all signals, (n_records, n_counts)."""
    size = 2 * header.record_size
    available = len(content) - header.n_bytes
    n_records = available // size if header.n_records == UNCLOSED else header.n_records
    if header.n_records != UNCLOSED and n_records * size != available:
        raise ValueError(
            f"it has {available} bytes of samples; {n_records} data records of {size} bytes are "
            f"{n_records * size} bytes"
        )
    counts = np.frombuffer(content, "<i2", n_records * header.record_size, header.n_bytes)
    return counts.reshape(n_records, header.record_size)


def _leads(header: Header, options: ReadOptions) -> list[Signal]:
    """Return the signals that are needed for the wanted leads, in the order of the file."""
    signals = [signal for signal in header.signals if signal.label != ANNOTATIONS]
    needed = plan_leads(tuple(signal.lead for signal in signals), options.wanted).needed
    leads = [signal for signal in signals if signal.lead in needed]
    if options.others:
        known = [header.sampling_rate(lead) for lead in leads]
        leads = [
            signal
            for signal in signals
            if signal in leads
            or (_is_voltage(signal) and (not known or header.sampling_rate(signal) in known))
        ]
        if not leads:
            raise ValueError("it contains no lead whose amplitude is known")
    rates = defaultdict(list)
    for lead in leads:
        rates[header.sampling_rate(lead)].append(lead.lead)
    if len(rates) > 1:
        stated = "; ".join(f"{rate:g} Hz ({', '.join(names)})" for rate, names in rates.items())
        raise ValueError(f"its leads have different sampling rates: {stated}")
    return leads


def _comments(signals: Sequence[Signal]) -> dict[str, str]:
    """Return the filters of the device, where all leads have the same ones."""
    first = signals[0].prefilter
    same = all(signal.prefilter == first for signal in signals)
    return {"prefilter": first} if first and same else {}


def _is_voltage(signal: Signal) -> bool:
    try:
        return bool(signal.scale())
    except ValueError:
        return False


def _check_times(header: Header, records: np.ndarray, rate: float) -> None:
    """Raise ValueError where data records do not follow one another without gaps."""
    if header.kind == "EDF":
        return
    onsets = _onsets(header, records)
    if onsets is None:
        if header.kind == "EDF+D":
            raise ValueError("it is discontinuous (EDF+D), and not all data records state a time")
        return
    gaps = np.flatnonzero(np.abs(np.diff(onsets) - header.seconds) > 0.5 / rate)
    if len(gaps):
        raise ValueError(
            f"it is discontinuous: of {len(gaps)} gaps, the first is at "
            f"{onsets[gaps[0]] - onsets[0] + header.seconds:g} s"
        )


def _onsets(header: Header, records: np.ndarray) -> np.ndarray | None:
    """Return the times of the data records in s, None where one is missing."""
    place = next((s.place for s in header.signals if s.label == ANNOTATIONS), None)
    if place is None:
        return None
    if len(records) > _MOST_RECORDS:
        raise ValueError(f"it has {len(records)} data records; at most {_MOST_RECORDS} are read")
    onsets = np.empty(len(records))
    for i, record in enumerate(records):
        match = _ONSET.match(record[place].tobytes())
        if match is None:
            return None
        onsets[i] = float(match[1])
    return onsets


def _decode(records: np.ndarray, signals: Sequence[Signal]) -> np.ndarray:
    out = np.empty((len(signals), len(records) * signals[0].n_samples), dtype=np.float32)
    for row, signal in zip(out, signals, strict=True):
        scale_counts(records[:, signal.place].reshape(-1), *signal.scale(), row)
    return out
