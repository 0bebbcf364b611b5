"""SCP-ECG, EN 1064."""

import re
import struct
import warnings
from dataclasses import replace
from datetime import datetime

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._formats.arrays import opened
from ecgsk._formats.limits import check_file
from ecgsk._formats.scp_sections import (
    check_signals,
    examine_checksums,
    find_tags,
    is_plain,
    read_sections,
    without_sections,
)
from ecgsk._formats.stored import ReadOptions, Statements, StoredECG, age_at
from ecgsk._formats.with_ecgdatakit import ParsedFormat, parsed

_AGE_UNITS = {1: "years", 2: "months", 3: "weeks", 4: "days"}
# Codes for values that were not measured or are not possible.
_UNDEFINED = (29999, 0xFFFF)
# Sections to leave out, from measurements and statements to the patient and the reference
# heartbeat, which the parser misses where it was subtracted.
_LEFT_OUT = ((), (7, 8, 9, 10, 11), (1, 7, 8, 9, 10, 11), (1, 4, 5, 7, 8, 9, 10, 11))
_ABOUT_SAMPLES = re.compile(r"Section [236]\b")


class SCPECG(ParsedFormat):
    """SCP-ECG, EN 1064: compressed by Huffman codes and differences or not, heartbeats subtracted.

    ecgdatakit decodes the samples. What it does not check is examined before: checksums, leads that
    were recorded one after another, counts that do not fit the content.
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
            doubts = examine_checksums(data, sections) if options.verify else ()
            if 2 in sections and is_plain(sections):
                doubts += ("it has Huffman tables, but its samples are not compressed",)
            check_signals(sections)
        ecg, signal = super().decode_file(path, options)
        states = _with_tags(ecg.states, sections.get(1, b""))
        return replace(ecg, states=states, doubts=doubts + ecg.doubts), signal

    def parse(self, path: str):
        """Parse a file without those sections that cannot be decoded and need not be."""
        failure = None
        for numbers in _LEFT_OUT:
            try:
                record, messages = parsed(path, _parser_without(numbers))
            except RecordError as error:
                failure = failure or error
                if _ABOUT_SAMPLES.search(failure.reason):
                    break
                continue
            if failure is not None:
                record.raw_metadata["ecgsk_doubt"] = (
                    f"its sections {', '.join(map(str, numbers))} were not read: {failure.reason}"
                )
            return record, messages
        raise failure or RuntimeError("nothing was parsed")

    def doubts(self, record) -> tuple[str, ...]:
        doubt = record.raw_metadata.get("ecgsk_doubt")
        return () if doubt is None else (doubt,)

    def check(self, record, messages: list[warnings.WarningMessage], options: ReadOptions) -> None:
        """Accept all records: `decode_file` has compared the checksums."""

    def statements(self, record) -> Statements:
        states = super().statements(record)
        states.measurements.pop("qrs_count", None)
        states.measurements.update(_intervals(record.raw_metadata))
        return states


def _parser_without(numbers: tuple[int, ...]):
    """Return a parser of ecgdatakit that finds no sections of these numbers in a file."""
    from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser

    class PartialParser(SCPECGParser):
        def _read_pointers(self, ctx) -> None:
            ctx.data = without_sections(ctx.data, numbers)
            super()._read_pointers(ctx)

    return PartialParser()


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
