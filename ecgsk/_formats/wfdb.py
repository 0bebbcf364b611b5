"""WFDB records, by the reader of `ecgsk._wfdb`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import lead_name, millivolt_factor
from ecgsk._formats.lead_plan import plan_leads
from ecgsk._formats.stored import Format, ReadOptions, Statements, StoredECG
from ecgsk._wfdb.header import Header, read_header
from ecgsk._wfdb.metadata import record_metadata
from ecgsk._wfdb.signal import check_record, read_signal


class WFDB(Format):
    """WFDB records; the header is the file of a record."""

    name = "WFDB"
    endings = (".hea",)

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return path.endswith(".hea")

    def scan(self, path: str, options: ReadOptions) -> Sequence[StoredECG]:
        return [self.of_header(read_header(path), options)]

    def of_header(self, header: Header, options: ReadOptions) -> StoredECG:
        """Return the record of a header after `check_record`."""
        names = header.signals.names
        # The leads of a record of several segments are known after decoding.
        leads = options.wanted
        if names:
            try:
                leads = plan_leads(names, options.wanted).needed
            except ValueError as error:
                raise RecordError(header.path, str(error)) from None
        header = check_record(replace(header, verify=options.verify), leads)
        found = record_metadata(header, None)
        comments = {key.lower(): text for key, text in found["comments"].items()}
        return StoredECG(
            path=header.path,
            format=self.name,
            leads=tuple(map(lead_name, names)) or leads,
            sampling_rate=header.sampling_rate,
            n_samples=header.n_samples or 0,
            states=Statements(
                patient=found["patient"],
                age_text=found["age_text"],
                sex_text=found["sex_text"],
                date=found["date"],
                # As `convert_to_wfdb` writes them.
                device=comments.get("device"),
                statements=_listed(comments.get("statements")),
                measurements=_measurements(comments.get("measurements", "")),
                dx=tuple(found["dx"]),
                comments=found["comments"],
            ),
            handle=header,
            resolutions=_resolutions(header),
            doubts=_listed(comments.get("doubts")),
        )

    def read(self, ecg: StoredECG, leads: Sequence[str], options: ReadOptions) -> np.ndarray:
        header, n_samples = ecg.handle, ecg.n_samples
        if options.seconds is not None and header.data_file is not None:
            n_samples = min(n_samples, int(options.seconds * ecg.sampling_rate) + 1)
            header = replace(header, n_samples=n_samples)
        out = np.empty((len(leads), n_samples), dtype=np.float32)
        return read_signal(header, tuple(leads), out)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(text.split("; ")) if text else ()


def _measurements(text: str) -> dict[str, float]:
    found = {}
    for part in text.split(", "):
        name, _, value = part.partition(" ")
        with suppress(ValueError):
            found[name] = float(value)
    return found


def _resolutions(header: Header) -> tuple[float, ...]:
    signals = header.signals
    with suppress(ValueError, ZeroDivisionError):  # some leads are not a voltage
        gains = zip(signals.gains, signals.units, strict=True)
        return tuple(millivolt_factor(unit) / gain for gain, unit in gains)
    return ()
