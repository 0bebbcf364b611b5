"""SCP-ECG, EN 1064."""

import struct
import warnings
from dataclasses import replace
from datetime import datetime

import numpy as np

from ecgsk._formats.arrays import opened
from ecgsk._formats.limits import check_file
from ecgsk._formats.scp_sections import (
    check_signals,
    find_tags,
    read_sections,
    wrong_checksums,
)
from ecgsk._formats.stored import ReadOptions, Statements, StoredECG, age_at
from ecgsk._formats.with_ecgdatakit import ParsedFormat

_AGE_UNITS = {1: "years", 2: "months", 3: "weeks", 4: "days"}
# No measurement: not measured, not possible.
_UNDEFINED = (29999, 0xFFFF)


class SCPECG(ParsedFormat):
    """SCP-ECG, EN 1064: compressed by Huffman codes and differences or not, heartbeats subtracted.

    ecgdatakit decodes the samples. What it lets pass is examined before: checksums, leads that
    were recorded one after another, counts that the content does not explain.
    """

    name = "SCP-ECG"
    endings = (".scp", ".ecg")
    module, parser = "scp_ecg", "SCPECGParser"
    largest = 16 << 20

    def recognizes(self, path: str, beginning: bytes) -> bool:
        # Section 0 points to itself, at byte 7.
        return beginning[8:10] == bytes(2) and beginning[28:32] == b"\x07\0\0\0"

    def decode_file(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        check_file(path, self.largest)
        with opened(path) as file:
            data = file.read()
            sections = read_sections(data)
            if options.verify and (wrong := wrong_checksums(data, sections)):
                raise ValueError(
                    f"the checksum of {', '.join(wrong)} is wrong. The file was changed on its "
                    "way. Fetch it again, or use verify=False, which reads it as it is"
                )
            check_signals(sections)
        ecg, signal = super().decode_file(path, options)
        return replace(ecg, states=_with_tags(ecg.states, sections.get(1, b""))), signal

    def check(self, record, messages: list[warnings.WarningMessage], options: ReadOptions) -> None:
        """Accept what is left: checksums were compared before, zeros among them left out."""

    def statements(self, record) -> Statements:
        states = super().statements(record)
        states.measurements.pop("qrs_count", None)
        states.measurements.update(_intervals(record.raw_metadata))
        return states


def _with_tags(states: Statements, section: bytes) -> Statements:
    """Return what a file states with its age, in its unit, and its date without a time of day."""
    tags = find_tags(section)
    date = states.date or _date(tags.date)
    age = None
    if tags.age is not None and len(tags.age) >= 3:
        value, unit = struct.unpack_from("<HB", tags.age)
        if value and unit in _AGE_UNITS:
            age = f"{value} {_AGE_UNITS[unit]}"
    if age is None:
        age = age_at(_date(tags.born), None if date is None else date.replace(tzinfo=None))
    return replace(states, age_text=age, date=date)


def _date(value: bytes | None) -> datetime | None:
    if value is None or len(value) < 4:
        return None
    year, month, day = struct.unpack_from("<HBB", value)
    try:
        return datetime(year, month, day)
    except ValueError:
        return None


def _intervals(metadata: dict) -> dict[str, float]:
    """Return the intervals between the waves of the reference heartbeat, ms, and QTc."""
    found = {}
    blocks = metadata.get("measurement_blocks")
    if blocks:
        at = {name: t for name, t in blocks[0].items() if t not in _UNDEFINED}
        for name, first, last in (
            ("pr_interval", "p_onset", "qrs_onset"),
            ("qrs_duration", "qrs_onset", "qrs_offset"),
            ("qt_interval", "qrs_onset", "t_offset"),
        ):
            if first in at and last in at and at[last] > at[first]:
                found[name] = float(at[last] - at[first])
    if "qtc_ms" in metadata:
        found["qtc_interval"] = float(metadata["qtc_ms"])
    return found
