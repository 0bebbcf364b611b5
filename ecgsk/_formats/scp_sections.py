"""The sections of an SCP-ECG file: whether they fit together, before the samples are decoded.

EN 1064 / ISO 11073-91064: a checksum and the size of the record, then sections, each with a header
of 16 bytes that begins with a checksum. Section 0 states where the others are.
"""

import binascii
import struct
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

# Leads of section 3 that are standard ones.
_STANDARD_CODES = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 3: "V1", 4: "V2",
                   5: "V3", 6: "V4", 7: "V5", 8: "V6"}  # fmt: skip
_HEADER = 16
# The samples need these. They do not need statements, or a reference heartbeat that was not
# subtracted.
_FOR_SAMPLES = (0, 2, 3, 6)
_FEW_CHECKSUMS = 3
_SHORTEST_PLAIN = 200  # bytes
# Of all leads. Ten minutes of twelve leads at 500 Hz have 3.6 million.
_MOST_SAMPLES = 4_000_000
# Heartbeats that are subtracted from the rhythm do not overlap.
_MOST_OVERLAP = 2
_CRC_START = 0xFFFF


class SCPTags(NamedTuple):
    """What section 1 states about age and date: each value with the bytes of its tag."""

    age: bytes | None
    born: bytes | None
    date: bytes | None


def read_sections(data: bytes) -> dict[int, bytes]:
    """Return the bodies of the sections that the standard defines, with their headers.

    Raises ValueError for sections that are outside of the record.
    """
    if len(data) < 6 + _HEADER:
        raise ValueError("it is too short for SCP-ECG")
    size, length = struct.unpack_from("<I", data, 2)[0], struct.unpack_from("<I", data, 10)[0]
    if not 6 + _HEADER <= size <= len(data):
        raise ValueError(f"it is cut off: it has {len(data)} bytes and states {size}")
    if not _HEADER <= length <= size - 6:
        raise ValueError(f"its section 0 has {length} bytes")
    sections = {0: data[6 : 6 + length]}
    for place in range(6 + _HEADER, 6 + length - 9, 10):
        number, n_bytes, index = struct.unpack_from("<HII", data, place)
        if not 0 < number < 12 or not n_bytes or _has_no_tables(data, place):
            continue
        start = index - 1
        if start >= 0 and start + n_bytes <= size and n_bytes >= _HEADER:
            sections[number] = data[start : start + n_bytes]
        elif number in _FOR_SAMPLES:
            raise ValueError(f"its section {number} is not in the file")
    return sections


def without_sections(data: bytes, numbers: Collection[int]) -> bytes:
    """Return a file without some sections, and without Huffman tables that are not used."""
    if is_plain(read_sections(data)):
        numbers = {*numbers, 2}
    changed = bytearray(data)
    (length,) = struct.unpack_from("<I", data, 10)
    for place in range(6 + _HEADER, min(6 + length, len(data)) - 9, 10):
        if struct.unpack_from("<H", data, place)[0] in numbers or _has_no_tables(data, place):
            changed[place + 2 : place + 6] = bytes(4)
    return bytes(changed)


def is_plain(sections: dict[int, bytes]) -> bool:
    """Return whether each lead has two bytes for each sample, as no Huffman codes have."""
    leads, rhythm = (sections.get(number, b"")[_HEADER:] for number in (3, 6))
    n_leads = leads[0] if leads else 0
    if n_leads < 2 or len(leads) < 2 + 9 * n_leads or len(rhythm) < 6 + 2 * n_leads:
        return False
    spans = (struct.unpack_from("<II", leads, 2 + 9 * i) for i in range(n_leads))
    sizes = struct.unpack_from(f"<{n_leads}H", rhythm, 6)
    return all(
        size == 2 * (end - start + 1) >= _SHORTEST_PLAIN
        for (start, end), size in zip(spans, sizes, strict=True)
    )


def _has_no_tables(data: bytes, place: int) -> bool:
    """Return whether a pointer leads to a section 2 without Huffman tables."""
    number, n_bytes, index = struct.unpack_from("<HII", data, place)
    body = data[index - 1 + _HEADER : index - 1 + n_bytes] if index else b""
    return number == 2 and not any(body[:2])


def examine_checksums(data: bytes, sections: dict[int, bytes]) -> tuple[str, ...]:
    """Return doubts about checksums; ValueError where the samples may have been changed.

    Some devices write 0 where they compute none, and some programs change what a file states about
    the patient and leave the checksums.
    """
    size = struct.unpack_from("<I", data, 2)[0]
    parts = {"the record": data[:size]}
    parts |= {f"section {number}": section for number, section in sections.items()}
    right = {
        name: stated == binascii.crc_hqx(part[2:], _CRC_START)
        for name, part in parts.items()
        if (stated := int.from_bytes(part[:2], "little"))
    }
    wrong = [name for name, is_right in right.items() if not is_right]
    if not wrong:
        return ()
    named = f"the checksum of {', '.join(wrong)} is wrong"
    if right.get("the record"):
        return (f"{named}, that of the whole record right",)
    if all(
        right.get(f"section {number}") for number in sections if number in (*_FOR_SAMPLES, 4, 5)
    ):
        return (f"{named}, those of the samples right",)
    if len(wrong) == len(right) > _FEW_CHECKSUMS:
        return ("all its checksums are wrong: a program may compute them in another way",)
    raise ValueError(
        f"{named}. The file was changed on its way. Fetch it again, or use verify=False, which "
        "reads it as it is"
    )


def check_signals(sections: dict[int, bytes]) -> None:
    """Raise ValueError for leads of different times, and for counts without content."""
    lead_section, rhythm = (sections.get(number, b"")[_HEADER:] for number in (3, 6))
    if len(lead_section) < 2 or len(rhythm) < 6:
        raise ValueError("it contains no leads and rhythm, sections 3 and 6")
    n_leads, flags = lead_section[0], lead_section[1]
    if 2 + 9 * n_leads > len(lead_section) or not n_leads:
        raise ValueError(f"its section 3 is too short for {n_leads} leads")
    leads = [struct.unpack_from("<IIB", lead_section, 2 + 9 * i) for i in range(n_leads)]
    spans = {(start, end) for start, end, _ in leads}
    if len(spans) > 1:
        shown = ", ".join(f"{start} to {end}" for start, end in sorted(spans)[:4])
        raise ValueError(f"its leads were not recorded at the same time: samples {shown}")
    codes = Counter(code for _, _, code in leads)
    twice = [name for code, name in _STANDARD_CODES.items() if codes[code] > 1]
    if twice:
        raise ValueError(f"its leads {', '.join(twice)} occur more than once")
    ((start, end),) = spans
    n_samples = end - start + 1
    if n_samples < 1 or n_samples * n_leads > _MOST_SAMPLES:
        raise ValueError(f"{n_leads} leads of {n_samples} samples cannot be read")
    if 2 not in sections:
        _check_sizes(rhythm, n_leads, n_samples)
    _check_heartbeats(sections, n_leads, n_samples, subtracted=bool(flags & 1))


def _check_sizes(rhythm: bytes, n_leads: int, n_samples: int) -> None:
    """Raise ValueError where leads without compression have more bytes than samples."""
    if len(rhythm) < 6 + 2 * n_leads:
        raise ValueError("its section 6 is too short")
    for size in struct.unpack_from(f"<{n_leads}H", rhythm, 6):
        if not 2 * n_samples <= size < 2 * n_samples + 4:
            raise ValueError(f"its leads have {n_samples} samples in section 3 and {size} bytes")


def _check_heartbeats(
    sections: dict[int, bytes], n_leads: int, n_samples: int, subtracted: bool
) -> None:
    """Raise ValueError for heartbeats that need more time or memory than the file justifies."""
    places, beat = (sections.get(number, b"")[_HEADER:] for number in (4, 5))
    if len(places) < 6 or len(beat) < 6:
        return
    length_ms, _, n_beats = struct.unpack_from("<3H", places)
    interval = struct.unpack_from("<H", beat, 2)[0]
    if interval and length_ms * 1000 / interval * n_leads > _MOST_SAMPLES:
        raise ValueError(f"its reference heartbeat of {length_ms} ms cannot be read")
    if subtracted and len(places) >= 6 + 14 * n_beats:
        beats = (struct.unpack_from("<HIII", places, 6 + 14 * i) for i in range(n_beats))
        total = sum(max(0, last - first + 1) for _, first, _, last in beats)
        if total > _MOST_OVERLAP * n_samples:
            raise ValueError(f"{n_beats} heartbeats are longer than the recording")


def find_tags(section: bytes) -> SCPTags:
    """Return the tags of section 1 for age, date of birth and date of the recording."""
    found: dict[int, bytes] = {}
    place = _HEADER
    while place + 3 <= len(section):
        tag, size = struct.unpack_from("<BH", section, place)
        if tag == 255:
            break
        found.setdefault(tag, section[place + 3 : place + 3 + size])
        place += 3 + size
    if place > len(section):  # a wrong length: what follows are not tags
        found = {}
    return SCPTags(found.get(4), found.get(5), found.get(25))
