"""A small writer of SCP-ECG files, EN 1064, for tests."""

import binascii
import struct

import numpy as np

CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64, "V1": 3, "V2": 4, "V3": 5,
         "V4": 6, "V5": 7, "V6": 8, "-aVR": 65, "V3R": 11, "X": 16}  # fmt: skip
DEFAULT_TABLE = 19999


def scp_file(sections, *, crc=True):
    """Return a file of the bodies of sections by their numbers; without checksums as zeros."""

    def with_crc(content):
        stated = binascii.crc_hqx(content, 0xFFFF) if crc else 0
        return struct.pack("<H", stated) + content

    def section(number, body):
        reserved = b"SCPECG" if number == 0 else bytes(6)
        body += bytes(len(body) % 2)
        return with_crc(struct.pack("<HIBB", number, 16 + len(body), 20, 20) + reserved + body)

    bodies = {number: section(number, body) for number, body in sorted(sections.items())}
    place = 7 + 16 + 10 * 12
    pointers = struct.pack("<HII", 0, 16 + 10 * 12, 7)
    for number in range(1, 12):
        size = len(bodies.get(number, b""))
        pointers += struct.pack("<HII", number, size, place if size else 0)
        place += size
    content = section(0, pointers) + b"".join(bodies.values())
    return with_crc(struct.pack("<I", 6 + len(content)) + content)


def tags(**values):
    """Return section 1; names are ``tag_2`` and so on, values bytes."""
    parts = [(int(name.removeprefix("tag_")), value) for name, value in values.items()]
    body = b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in parts)
    return body + struct.pack("<BH", 255, 0)


def lead_section(leads, n_samples, *, flags=0x04, starts=None):
    starts = starts or [1] * len(leads)
    return struct.pack("<BB", len(leads), flags | (len(leads) << 3) & 0xFF) + b"".join(
        struct.pack("<IIB", start, start + n_samples - 1, CODES[lead])
        for lead, start in zip(leads, starts, strict=True)
    )


def signal_section(counts, *, nanovolt=5000, interval=2000, differences=0, huffman=None):
    """Return section 5 or 6 of (n_leads, n_samples) counts; ``huffman`` encodes a lead."""
    chunks = []
    for row in counts:
        values = encode_differences(np.asarray(row, dtype=np.int64), differences)
        chunks.append(values.astype("<i2").tobytes() if huffman is None else huffman(values))
    sizes = struct.pack(f"<{len(chunks)}H", *map(len, chunks))
    return struct.pack("<HHBB", nanovolt, interval, differences, 0) + sizes + b"".join(chunks)


def encode_differences(values, order):
    if order == 0:
        return values
    if order == 1:
        return np.diff(values, prepend=0)
    second = np.diff(values, n=2)
    return np.concatenate([values[:2], second])


def bits_of_default_table(values):
    """Return values in the default Huffman table of the standard."""
    parts = []
    for value in values.tolist():
        if value == 0:
            parts.append("0")
        elif abs(value) <= 8:
            parts.append("1" * abs(value) + "0" + ("1" if value < 0 else "0"))
        elif -128 <= value <= 127:
            parts.append("1111111110" + f"{value & 0xFF:08b}")
        else:
            parts.append("1111111111" + f"{value & 0xFFFF:016b}")
    return _bytes_of("".join(parts))


# Two tables: zero, a switch to the other one, and 16 bits.
OWN_TABLES = struct.pack("<H", 2) + 2 * (
    struct.pack("<H", 3)
    + struct.pack("<BBBhI", 1, 1, 1, 0, 0b0)  # 0
    + struct.pack("<BBBhI", 2, 18, 1, 0, 0b01)  # 10 and 16 bits; codes are stored bit-reversed
    + struct.pack("<BBBhI", 2, 2, 0, 2, 0b11)  # 11: switch to table 2
)


def bits_of_own_tables(values):
    first = "11"  # a switch that changes nothing
    return _bytes_of(
        first + "".join("0" if v == 0 else "10" + f"{v & 0xFFFF:016b}" for v in values.tolist())
    )


def _bytes_of(bits):
    bits += "0" * (-len(bits) % 16)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
