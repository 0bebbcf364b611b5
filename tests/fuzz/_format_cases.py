"""Files of each format, broken on purpose: wrong lengths, bombs, encodings, checksums."""

import base64
import codecs
import io
import itertools
import re
import struct
import warnings
import zipfile
import zlib
from functools import partial

import numpy as np

from . import _format_seeds as seeds
from ._case import NUMBERS

XML = seeds.XML
# All bytes of samples are under a checksum.
CHECKED = ("muse", "scp", "npz")


def hand_made_files():
    """Yield format, name, content (or a function that makes it) and how reading has to end."""
    originals = seeds.originals()
    for origin, content in originals.items():
        for case in _of_every_format(origin, content):
            yield origin, *case
    for cases in (_xml, _numbers, _scp, _dicom, _arrays):
        yield from (case for case in cases() if case[0] in originals)


def _of_every_format(origin: str, content: bytes):
    yield "whole", content, "answer"
    yield "empty", b"", "error"
    yield "zeros", bytes(len(content)), "error"
    # A shorter last row is a row, and the end of an archive or of XML may be white space.
    shorter = "either" if origin == "csv" else "error"
    for part in (0.3, 0.6, 0.9):
        yield f"cut at {part}", content[: int(part * len(content))], shorter
    yield "cut by two bytes", content[:-2], shorter
    yield "twice", content * 2, "either"
    yield "more behind it", content + bytes(range(256)) * 4, "either"
    yield "more before it", b"\r\n" + content, "either"
    yield "line ends changed", content.replace(b"\n", b"\r\n"), "either"
    yield "bytes above 127 lost", bytes(b & 127 for b in content), "either"
    yield "as Latin-1 to UTF-8", content.decode("latin-1").encode(), "either"
    yield "compressed", zlib.compress(content), "error"
    if origin in CHECKED:
        for place in range(len(content) // 3, len(content) * 2 // 3, len(content) // 37):
            changed = bytearray(content)
            changed[place] ^= 1
            yield f"bit changed at {place}", bytes(changed), "either"


def _xml():
    for origin in XML:
        if origin not in seeds.originals():
            return
        text = seeds.originals()[origin].decode()
        declaration, root, rest = re.match(r"(<\?.*?\?>)\s*<(\w+)(.*)", text, re.DOTALL).groups()

        def dtd(entities, inside, root=root, rest=rest):
            return f"<!DOCTYPE {root} [{entities}]><{root}{rest}".replace(
                f"</{root}>", f"<x>{inside}</x></{root}>"
            ).encode()

        laughs = '<!ENTITY a0 "ha">' + "".join(
            f'<!ENTITY a{i + 1} "' + 10 * f"&a{i};" + '">' for i in range(12)
        )
        attributes = " ".join(f"a{i}=''" for i in range(10**5))
        made = [
            ("entities that unfold", dtd(laughs, "&a12;"), "error"),
            ("an entity many times", dtd(f'<!ENTITY a "{"b" * 10**5}">', "&a;" * 10**4), "error"),
            ("entity of a file", dtd('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;"), "error"),
            ("entity of a network", dtd('<!ENTITY a SYSTEM "http://x.invalid/">', "&a;"), "error"),
            ("definition elsewhere",
             f'<!DOCTYPE {root} SYSTEM "/etc/passwd"><{root}{rest}'.encode(), "either"),
            ("attributes with entities", f'<!DOCTYPE {root} [<!ATTLIST {root} a CDATA "&a;">]>'
             f"<{root}{rest}".encode(), "either"),
            ("deep", f"<{root}>".encode() + b"<a>" * 100_000, "error"),
            ("deep and closed", f"<{root}{rest}".replace(
                f"</{root}>", "<a>" * 50_000 + "</a>" * 50_000 + f"</{root}>").encode(), "either"),
            ("a million elements", f"<{root}{rest}".replace(
                f"</{root}>", "<a/>" * 10**6 + f"</{root}>").encode(), "either"),
            ("100,000 attributes", f"<{root} {attributes}{rest}".encode(), "either"),
            ("a comment of 10 MB", text.replace("</", f"<!--{'a' * 10**7}--></", 1).encode(),
             "either"),
            ("UTF-16", (re.sub("encoding=\".*?\"", 'encoding="UTF-16"', declaration)
             + text[len(declaration):]).encode("utf-16"), "answer"),
            ("UTF-16 that claims to be UTF-8", text.encode("utf-16"), "either"),
            ("UTF-16 without a mark", text.encode("utf-16-le"), "either"),
            ("UTF-32", text.encode("utf-32"), "either"),
            ("UTF-8 with a mark", codecs.BOM_UTF8 + text.encode(), "answer"),
            ("encoding that is unknown", re.sub('encoding=".*?"', 'encoding="x-klingon"', text)
             .encode(), "either"),
            ("encoding UTF-7", re.sub('encoding=".*?"', 'encoding="utf-7"', text).encode(),
             "either"),
            ("encoding of a codec", re.sub('encoding=".*?"', 'encoding="zlib"', text).encode(),
             "either"),
            ("byte of Latin-1", text.replace("12<", "M\u00fcller<").encode("latin-1"), "either"),
            ("NUL inside", text.replace("><", ">\0<", 3).encode(), "error"),
            ("other root", text.replace(root, "Other").encode(), "error"),
            ("root twice", (text + text[len(declaration):]).encode(), "error"),
            ("root in a namespace", text.replace(f"<{root}", f'<{root} xmlns="a:b"', 1).encode(),
             "either"),
        ]  # fmt: skip
        yield from ((origin, *case) for case in made)
    yield "philips_xli", "code that unfolds", _xli_bomb, "either"


def _xli_bomb(n_codes: int = 100_000) -> bytes:
    """Return a file whose code repeats ever longer strings."""
    codes = [0, *range(256, 1022)] + [1020] * n_codes
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    lead = struct.pack("<ihh", len(packed), 0, 0) + packed
    text = base64.b64encode(12 * lead).decode()
    return seeds.philips_file(text, 'compressflag="True" compression="XLI"')


# What is replaced, and by what around a number.
_FIELDS = {
    "muse": ["<SampleBase>100", "<SampleExponent>0", "<LeadAmplitudeUnitsPerBit>5",
             "<LeadSampleCountTotal>200", "<LeadByteCountTotal>400", "<LeadSampleSize>2",
             "<NumberofLeads>8", "<PatientAge>63", "<LeadTimeOffset>0"],
    "philips": ["<samplingrate>100", "<resolution>5", "<numberchannelsallocated>12",
                'durationperchannel="2000', 'numberofleads="12', "<years>63"],
    "philips_xli": ['durationperchannel="2000', 'numberofleads="12'],
    "aecg": ['<increment value="0.01', '<origin value="0', '<scale value="5'],
    "mortara": ['UNITS_PER_MV="200', 'SAMPLE_FREQ="100', 'DURATION="200', 'BITS="16', 'AGE="63'],
}  # fmt: skip


def _numbers():
    for origin, fields in _FIELDS.items():
        if origin in seeds.originals():
            text = seeds.originals()[origin].decode()
            for field, number in itertools.product(fields, ("", *NUMBERS)):
                old = re.search(r"[\d.]+$", field).group()
                assert field in text
                changed = text.replace(field, field.removesuffix(old) + number)
                yield origin, f"{field[: -len(old)]} {number[:21]!r}", changed.encode(), "either"
    if "edf" in seeds.originals():
        header = seeds.originals()["edf"]
        places = {"records": 236, "duration": 244, "signals": 252, "header": 184, "version": 0}
        first = {"minimum": 104, "maximum": 112, "lowest": 120, "highest": 128, "samples": 216}
        places |= {name: 256 + 12 * place for name, place in first.items()}
        for (name, place), number in itertools.product(places.items(), ("", *NUMBERS)):
            width = 4 if name == "signals" else 8
            field = number.encode()[:width].ljust(width)
            changed = header[:place] + field + header[place + width :]
            yield "edf", f"{name} {number[:21]!r}", changed, "either"


def _scp():
    leads = struct.pack("<BB", 12, 0x4 | 12 << 3)

    def lead_section(end):
        return leads + b"".join(struct.pack("<IIB", 1, end, c) for c in seeds._SCP_LEADS)

    def signals(factor=5000, step=10_000, coding=0, compressed=0, sizes=(400,) * 12, data=None):
        head = struct.pack("<HHBB", factor, step, coding, compressed) + struct.pack("<12H", *sizes)
        return head + (seeds.counts().tobytes() if data is None else data)

    plain = lead_section(200)
    table = struct.pack("<H", 19999)
    loop = struct.pack("<HHBBBhI", 1, 1, 1, 1, 0, 1, 0)  # a code that only chooses its own table
    for name, bodies in {
        "lengths of 2^31": {3: lead_section(2**31), 6: signals()},
        "lengths of 2^32 - 1": {3: lead_section(2**32 - 1), 6: signals()},
        "lengths of 0": {3: lead_section(0), 6: signals()},
        "no leads": {3: b"\0\0", 6: signals()},
        "255 leads": {3: b"\xff\x04" + plain[2:], 6: signals()},
        "the same lead": {3: leads + struct.pack("<IIB", 1, 200, 1) * 12, 6: signals()},
        "no amplitude": {3: plain, 6: signals(factor=0)},
        "no rate": {3: plain, 6: signals(step=0)},
        "coding 9": {3: plain, 6: signals(coding=9)},
        "sizes that lie": {3: plain, 6: signals(sizes=(65535,) * 12)},
        "sizes of 0": {3: plain, 6: signals(sizes=(0,) * 12)},
        "odd sizes": {3: plain, 6: signals(sizes=(399,) * 12)},
        "no signals": {3: plain},
        "codes for 2^31 samples": {2: table, 3: lead_section(2**31), 6: signals()},
        "codes for 2^27 samples": {2: table, 3: lead_section(2**27), 6: signals()},
        "codes of one bit": {2: table, 3: lead_section(500_000),
                             6: signals(sizes=(62_500,) * 12, data=bytes(750_000))},
        "code that chooses itself": {2: loop, 3: plain, 6: signals(data=bytes(4800))},
        "65535 tables": {2: b"\xff\xff" + bytes(18), 3: plain, 6: signals()},
        "differences of differences": {3: plain, 6: signals(coding=2)},
        "subtracted heartbeats": {3: leads[:1] + b"\x65" + plain[2:], 6: signals(compressed=1)},
        "tags that overrun": {1: b"\x02\xff\xff12\0", 3: plain, 6: signals()},
        "ten thousand tags": {1: b"\x0d\x01\0a" * 10_000, 3: plain, 6: signals()},
        "another protocol": {1: b"\x0e\x24\0" + b"\xff" * 36, 3: plain, 6: signals()},
    }.items():  # fmt: skip
        yield "scp", name, partial(seeds.scp_file, bodies), "either"


def _edit_dicom(change, syntax: str = "") -> bytes:
    import pydicom

    file = pydicom.dcmread(io.BytesIO(seeds.originals()["dicom"]))
    change(file)
    buffer = io.BytesIO()
    if syntax:
        file.file_meta.TransferSyntaxUID = syntax
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def _set(keyword: str, value, where: str = "group"):
    def change(file):
        group = file.WaveformSequence[0]
        channels = group.ChannelDefinitionSequence
        for item in {"file": [file], "group": [group], "channels": channels}[where]:
            if value is None:
                delattr(item, keyword)
            else:
                from pydicom.datadict import dictionary_VR, tag_for_keyword

                tag = tag_for_keyword(keyword)
                if isinstance(value, bytes):
                    item.add_new(tag, "OW", value)
                    continue
                if isinstance(value, str) and dictionary_VR(tag) in ("DS", "IS"):
                    # As a text, which pydicom would not store under these types.
                    item.add_new(tag, "LO", value)
                    item[tag].VR = "LO"
                else:
                    setattr(item, keyword, value)

    return change


def _nested(depth: int):
    def change(file):
        from pydicom.dataset import Dataset
        from pydicom.sequence import Sequence

        inner = Dataset()
        for _ in range(depth):
            outer = Dataset()
            outer.ChannelSourceModifiersSequence = Sequence([inner])
            inner = outer
        file.ReferencedImageSequence = Sequence([inner])

    return change


def _deep_dicom(depth: int) -> bytes:
    start = seeds.originals()["dicom"]
    return start + struct.pack("<HH2sHI", 0x5600, 0x20, b"SQ", 0, 2**32 - 1) + (
        struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1)
        + struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 2**32 - 1)
    ) * depth  # fmt: skip


def _deflated(n_bytes: int) -> bytes:
    whole = _edit_dicom(lambda file: None, "1.2.840.10008.1.2.1.99")
    start = whole.index(b"1.2.840.10008.1.2.1.99") + 22
    while whole[start : start + 4] in (b"\x02\0\x12\0", b"\x02\0\x13\0"):
        start += 8 + struct.unpack("<H", whole[start + 6 : start + 8])[0]
    packer = zlib.compressobj(9, wbits=-15)
    element = struct.pack("<HH2sHI", 0x5400, 0x1010, b"OW", 0, n_bytes)
    return whole[:start] + packer.compress(element + bytes(n_bytes)) + packer.flush()


def _dicom():
    for keyword, where, values in [
        ("NumberOfWaveformChannels", "group", (0, 1, 13, 65535, None)),
        ("NumberOfWaveformSamples", "group", (0, 1, 199, 201, 2**31, 2**32 - 1, None)),
        ("SamplingFrequency", "group", ("0", "-100", "1e308", "", None, "NaN", "inf", "abc")),
        ("WaveformBitsAllocated", "group", (8, 32, 64, 7, None)),
        ("WaveformSampleInterpretation", "group", ("US", "SB", "AB", "XX", "", None)),
        ("MultiplexGroupLabel", "group", ("", "MEDIAN", "\u2028", None)),
        ("ChannelDefinitionSequence", "group", ([], None)),
        ("WaveformPaddingValue", "group", (b"\0\0", b"", b"\0" * 9)),
        ("ChannelSensitivity", "channels",
         ("0", "-5", "1e308", "1e-308", "", None, "NaN", "inf", "abc")),
        ("ChannelSensitivityUnitsSequence", "channels", ([], None)),
        ("ChannelSensitivityCorrectionFactor", "channels", ("0", "", None, "1e308", "NaN")),
        ("ChannelBaseline", "channels", ("", None, "1e308", "NaN", "abc", "0.1")),
        ("ChannelSourceSequence", "channels", ([], None)),
        ("ChannelSampleSkew", "channels", ("1", "-1", "1e308", "NaN")),
        ("ChannelTimeSkew", "channels", ("1", "1e308")),
        ("WaveformBitsStored", "channels", (0, 8, 12, 65535, None)),
        ("WaveformSequence", "file", ([], None)),
        ("PatientAge", "file", ("", "999Y", "-1", "063", "XXXX", None)),
        ("SpecificCharacterSet", "file", ("ISO_IR 192", "ISO 2022 IR 87", "\\\\", "nonsense")),
    ]:  # fmt: skip
        for value in values:
            change = partial(_edit_dicom, _set(keyword, value, where))
            yield "dicom", f"{keyword} {value!r}"[:70], change, "either"
    for syntax in (
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.4.50",
        "1.2.3",
        "",
    ):
        if syntax:
            change = partial(_edit_dicom, lambda file: None, syntax)
            yield "dicom", f"syntax {syntax}", change, "either"
    yield "dicom", "nested", partial(_edit_dicom, _nested(60)), "either"
    for depth in (500, 5000, 50_000):
        yield "dicom", f"nested {depth} times", partial(_deep_dicom, depth), "either"
    yield "dicom", "300 MB of nothing, deflated", partial(_deflated, 300_000_000), "error"
    yield "dicom", "4 GB of text", lambda: seeds.originals()["dicom"] + struct.pack(
        "<HH2sHI", 0x5600, 0x20, b"UT", 0, 2**32 - 2), "either"  # fmt: skip


def _arrays():
    def stating(shape, descr="<f4", data=bytes(9600)):
        text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117)
        return b"\x93NUMPY\x01\0" + struct.pack("<H", 118) + text.encode() + b"\n" + data

    for shape in ((12, 2**40), (2**62, 4), (12, -200), (12, 0), (0, 12, 200), "'x'", (200,), ()):
        yield "npy", f"shape {shape}", stating(shape), "error"
        yield "npz", f"shape {shape}", seeds.npz(ecg=stating(shape)), "error"
    for descr in ("|O", "<c8", "<M8[s]", "|S4", "|V4", ">f4", "<f2", "|b1", "O4", "__import__"):
        yield "npy", f"type {descr}", stating((12, 200), descr), "either"
        yield "npz", f"type {descr}", partial(seeds.npz, ecg=stating((12, 200), descr)), "either"
    yield "npz", "300 MB of nothing", lambda: seeds.npz(
        ecg=stating((12, 6_250_000), data=bytes(300_000_000))), "either"  # fmt: skip
    yield "npz", "100 arrays", seeds.npz(**{f"a{i}": seeds.npy() for i in range(100)}), "either"
    yield "npz", "no array", seeds.npz(x=b"hello"), "error"
    yield "npz", "an array and a pickle", seeds.npz(ecg=seeds.npy(), x=b"cos\nsystem\n."), "either"
    yield "npz", "names that lead up", seeds.npz(**{"../../x": seeds.npy()}), "either"
    yield "npz", "encrypted", _flagged(seeds.npz()), "error"
    yield "npz", "stored", seeds.npz(zipfile.ZIP_STORED), "answer"
    yield "npz", "of LZMA", seeds.npz(zipfile.ZIP_LZMA), "either"
    names = ",".join(seeds.LEADS) + "\n"
    row = ",".join(["0.1"] * 12) + "\n"
    for name, text in {
        "no rows": names,
        "one row": names + row,
        "a row too short": names + row * 9 + "1,2\n" + row * 9,
        "a row too long": names + row * 9 + "1," + row * 9,
        "text in it": names + row * 9 + row.replace("0.1", "abc", 1) + row * 9,
        "empty cells": names + row * 9 + row.replace("0.1", "", 1) + row * 9,
        "infinite": names + row * 9 + row.replace("0.1", "1e999", 1) + row * 9,
        "a quote that stays open": names + row * 9 + '"' + row * 9,
        "an endless line": names + "0.1," * 10**6,
        "a field of 5 MB": names + "1" * 5_000_000 + "\n",
        "NUL": names + row * 9 + "\0" + row * 9,
        "the same lead twice": names.replace("V6", "V5") + row * 20,
        "no names": row * 20,
        "unknown names": names.replace("V", "W") + row * 20,
        "decimal commas": names.replace(",", ";") + row.replace(",", ";").replace(".", ",") * 20,
        "hexadecimal": names + row.replace("0.1", "0x1p-3") * 20,
        "underscores": names + row.replace("0.1", "1_0") * 20,
    }.items():
        yield "csv", name, text.encode(), "either"
    for encoding in ("utf-16", "utf-8-sig", "latin-1", "utf-32"):
        yield "csv", f"in {encoding}", seeds.csv().decode().encode(encoding), "either"
    yield from (("hdf5", name, content, must) for name, content, must in _hdf5())


def _flagged(content: bytes) -> bytes:
    return content.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0").replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
    )


def _h5(build) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        build(file)
    return buffer.getvalue()


def _hdf5():
    if "hdf5" not in seeds.originals():
        return
    import h5py

    one = np.zeros((3, 200, 12), np.float32) + seeds.millivolts().T

    def of(**options):
        return partial(_h5, lambda file: file.create_dataset("tracings", **options))

    def outside(file):
        file.create_dataset(
            "tracings", (3, 200, 12), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        )

    def linked(file):
        file["tracings"] = h5py.ExternalLink("../secret/x.h5", "/tracings")

    def circle(file):
        file["tracings"] = h5py.SoftLink("/tracings")

    def virtual(file):
        layout = h5py.VirtualLayout((3, 200, 12), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 200, 12))
        file.create_virtual_dataset("tracings", layout)

    def ids(file):
        file["tracings"] = one
        file.create_dataset("exam_id", (10**9,), "i8", chunks=(10**6,), compression="gzip")

    whole = seeds.originals()["hdf5"]
    yield "whole, in pieces", of(data=one, chunks=(1, 200, 12), compression="gzip"), "answer"
    yield "with checksums", of(data=one, fletcher32=True, chunks=(1, 200, 12)), "answer"
    yield "2^40 recordings", of(shape=(2**40, 4096, 12), dtype="f4", chunks=(1, 4096, 12)), "either"
    yield (
        "a recording of 2^40",
        of(shape=(1, 2**40, 12), dtype="f4", chunks=(1, 4096, 12)),
        "either",
    )
    yield (
        "one piece of 1 GB",
        of(shape=(3, 7_000_000, 12), dtype="f4", chunks=(3, 7_000_000, 12), compression="gzip"),
        "either",
    )
    yield "of objects", of(shape=(3, 200, 12), dtype=h5py.string_dtype()), "error"
    yield "of references", of(shape=(3, 200, 12), dtype=h5py.ref_dtype), "error"
    yield "of rows of any length", of(shape=(3, 200, 12), dtype=h5py.vlen_dtype("f4")), "error"
    yield "complex", of(data=one.astype(complex)), "error"
    yield "no recordings", of(shape=(0, 200, 12), dtype="f4"), "error"
    yield "null", of(data=h5py.Empty("f4")), "error"
    yield "scalar", of(data=1.0), "error"
    yield "turned", of(data=one.swapaxes(1, 2)), "either"
    yield "infinite", of(data=np.full_like(one, np.inf)), "error"
    yield "a group", partial(_h5, lambda file: file.create_group("tracings")), "error"
    yield "no dataset", partial(_h5, lambda file: None), "error"
    yield "samples in another file", partial(_h5, outside), "error"
    yield "link to another file", partial(_h5, linked), "error"
    yield "link to itself", partial(_h5, circle), "error"
    yield "virtual", partial(_h5, virtual), "either"
    yield "more names than recordings", partial(_h5, ids), "either"
    yield "checksum wrong", _broken_piece, "error"
    yield "user's block before it", bytes(512) + whole, "either"


def _broken_piece() -> bytes:
    one = np.zeros((3, 200, 12), np.float32) + seeds.millivolts().T
    content = _h5(lambda file: file.create_dataset(
        "tracings", data=one, fletcher32=True, chunks=(3, 200, 12)))  # fmt: skip
    place = content.index(one.tobytes()[:64])
    return content[:place] + b"\xff" + content[place + 1 :]
