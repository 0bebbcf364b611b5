"""SCP-ECG files, written by the tests."""

import binascii
import struct
from datetime import datetime

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.registry import find_format
from ecgsk._formats.scp import SCPECG
from ecgsk._formats.stored import ReadOptions
from tests._scp_files import (
    DEFAULT_TABLE,
    OWN_TABLES,
    bits_of_default_table,
    bits_of_own_tables,
    lead_section,
    scp_file,
    signal_section,
    tags,
)

pytest.importorskip("ecgdatakit")

FORMAT = SCPECG()
OPTIONS = ReadOptions()
N = 600
COUNTS = np.cumsum(np.random.default_rng(0).integers(-9, 10, (12, N)), axis=1)
COUNTS[:, 200:210] += 900
LEADS = ("I", "II", *STANDARD_LEADS[6:])
TABLE = struct.pack("<H", DEFAULT_TABLE)
PLAIN = {3: lead_section(STANDARD_LEADS, N), 6: signal_section(COUNTS)}


def decoded(path, sections, options=OPTIONS, **how):
    path.write_bytes(scp_file(sections, **how))
    assert isinstance(find_format(str(path)), SCPECG)
    return FORMAT.decode_file(str(path), options)


@pytest.mark.parametrize("differences", [0, 1, 2])
@pytest.mark.parametrize(
    ("table", "huffman"),
    [(None, None), (TABLE, bits_of_default_table), (OWN_TABLES, bits_of_own_tables)],
    ids=["plain", "default table", "own tables"],
)
def test_samples_are_those_that_were_written(tmp_path, table, huffman, differences):
    sections = {
        3: lead_section(LEADS, N),
        6: signal_section(COUNTS[:8], differences=differences, huffman=huffman),
    }
    if table is not None:
        sections[2] = table
    ecg, signal = decoded(tmp_path / "x.scp", sections)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (LEADS, 500, N)
    np.testing.assert_allclose(signal, COUNTS[:8] * 0.005, atol=1e-6)
    assert ecg.resolutions == pytest.approx([0.005] * 8)


def test_the_reference_heartbeat_is_added_where_it_was_subtracted(tmp_path):
    """Type 0 alone is subtracted; both have units of their own."""
    beat = np.arange(12 * 50).reshape(12, 50) % 83 - 41
    fiducials, kinds = [101, 251, 401], [0, 1, 0]
    residual = COUNTS.copy()
    zones = b""
    for fiducial, kind in zip(fiducials, kinds, strict=True):
        first = fiducial - 20  # the heartbeat's sample 1, counted from 1
        zones += struct.pack("<HIII", kind, first + 5, fiducial, first + 44)
        if kind == 0:
            residual[:, first + 4 : first + 44] -= 2 * beat[:, 5:45]
    sections = {
        3: lead_section(STANDARD_LEADS, N, flags=0x05),
        4: struct.pack("<HHH", 100, 21, 3) + zones,
        5: signal_section(beat, nanovolt=10_000),
        6: signal_section(residual, nanovolt=5000),
    }
    _, signal = decoded(tmp_path / "x.scp", sections)
    np.testing.assert_allclose(signal, COUNTS * 0.005, atol=1e-6)


def test_what_a_file_states_is_read(tmp_path):
    waves = struct.pack("<5H3h", 40, 140, 200, 296, 600, 45, -30, 29999)
    sections = {
        1: tags(tag_0=b"Doe\0", tag_2=b"P 17\0", tag_4=struct.pack("<HB", 18, 2), tag_8=b"\x02",
                tag_25=struct.pack("<HBB", 2021, 3, 4), tag_26=b"\x0c\x1e\0"),
        **PLAIN,
        7: struct.pack("<BBHH", 1, 0, 800, 29999) + waves + struct.pack("<HB3HB", 1, 0, 75, 75, 410,
                                                                       2),
    }  # fmt: skip
    ecg, _ = decoded(tmp_path / "x.scp", sections)
    states = ecg.states
    assert (states.patient, states.age_text, states.sex_text) == ("P 17", "18 months", "F")
    assert states.date == datetime(2021, 3, 4, 12, 30)
    assert states.measurements == {
        "heart_rate": 75, "rr_interval": 800, "pr_interval": 160, "qrs_duration": 96,
        "qt_interval": 400, "qtc_interval": 410, "p_axis": 45, "qrs_axis": -30,
    }  # fmt: skip
    assert "Doe" not in repr(ecg)


def test_the_age_follows_from_two_dates(tmp_path):
    born, recorded = struct.pack("<HBB", 1950, 6, 1), struct.pack("<HBB", 2021, 3, 4)
    sections = {1: tags(tag_5=born, tag_25=recorded), **PLAIN}
    states = decoded(tmp_path / "x.scp", sections)[0].states
    assert (states.age_text, states.date) == ("70Y", datetime(2021, 3, 4))


def test_checksums_are_compared_where_there_are_some(tmp_path):
    _, signal = decoded(tmp_path / "x.scp", PLAIN)
    _, without = decoded(tmp_path / "x.scp", PLAIN, crc=False)
    np.testing.assert_array_equal(without, signal)
    content = bytearray(scp_file(PLAIN))
    content[-100] ^= 4
    (tmp_path / "x.scp").write_bytes(content)
    with pytest.raises(RecordError, match="checksum of the record, section 6 is wrong"):
        FORMAT.decode_file(str(tmp_path / "x.scp"), OPTIONS)
    _, changed = FORMAT.decode_file(str(tmp_path / "x.scp"), ReadOptions(verify=False))
    assert np.count_nonzero(changed != signal) == 1


def with_checksums(content, *, wrong=(), zero=(), record="right"):
    """Return a file with some sections' checksums wrong or 0, and that of the record."""
    content = bytearray(content)
    for place in range(22, 22 + 120, 10):
        number, size, index = struct.unpack_from("<HII", content, place)
        if size and number in wrong:
            content[index - 1] ^= 7
        elif size and number in zero:
            content[index - 1 : index + 1] = bytes(2)
    right = binascii.crc_hqx(content[2:], 0xFFFF)
    content[:2] = struct.pack("<H", {"right": right, "wrong": right ^ 9, "zero": 0}[record])
    return bytes(content)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        ({"wrong": (1, 6)}, "checksum of section 1, section 6 is wrong, that of the whole record"),
        ({"wrong": (1,), "record": "wrong"}, "section 1 is wrong, those of the samples right"),
        ({"record": "wrong"}, "the record is wrong, those of the samples right"),
        ({"wrong": (0, 1, 3, 6), "record": "wrong"}, "all its checksums are wrong"),
        ({"zero": (0, 1, 3, 6), "record": "zero"}, ()),
        ({"wrong": (6,), "record": "wrong"}, None),
        ({"wrong": (3,), "record": "zero"}, None),
        ({"zero": (0, 1, 3, 6), "record": "wrong"}, None),
        ({"zero": (0, 1, 6), "wrong": (3,), "record": "wrong"}, None),
    ],
)
def test_checksums_that_are_wrong_without_any_change_of_the_samples(tmp_path, changes, expected):
    content = scp_file({1: tags(tag_2=b"P 17\0"), **PLAIN})
    path = tmp_path / "x.scp"
    path.write_bytes(with_checksums(content, **changes))
    if expected is None:
        with pytest.raises(RecordError, match="The file was changed on its way"):
            FORMAT.decode_file(str(path), OPTIONS)
        return
    ecg, signal = FORMAT.decode_file(str(path), OPTIONS)
    np.testing.assert_allclose(signal, COUNTS * 0.005, atol=1e-6)
    assert len(ecg.doubts) == bool(expected) and all(expected in doubt for doubt in ecg.doubts)


@pytest.mark.parametrize(
    ("sections", "n_doubts"),
    [
        ({2: b""}, 0),
        ({2: bytes(2)}, 0),
        ({1: b"\x02\xff\xff"}, 1),
        ({4: b""}, 1),
        ({5: b""}, 1),
        ({4: struct.pack("<HHH", 99, 1, 0), 5: signal_section(COUNTS[:, :20])}, 1),
        *(({number: b""}, 1) for number in (7, 8, 10, 11)),
        ({7: b"\x09\xff" + bytes(40)}, 1),
    ],
)
def test_sections_that_the_samples_do_not_need_may_be_empty_or_wrong(tmp_path, sections, n_doubts):
    states = {1: tags(tag_2=b"P 17\0", tag_4=struct.pack("<HB", 18, 2))}
    ecg, signal = decoded(tmp_path / "x.scp", {**states, **PLAIN, **sections})
    np.testing.assert_allclose(signal, COUNTS * 0.005, atol=1e-6)
    assert len(ecg.doubts) == n_doubts
    assert ecg.states.age_text == (None if 1 in sections else "18 months")


@pytest.mark.parametrize("differences", [0, 2])
def test_huffman_tables_that_are_not_used(tmp_path, differences):
    """Their codes would make other samples of these, without an error."""
    sections = {**PLAIN, 2: TABLE, 6: signal_section(COUNTS, differences=differences)}
    ecg, signal = decoded(tmp_path / "x.scp", sections)
    np.testing.assert_allclose(signal, COUNTS * 0.005, atol=1e-6)
    assert ecg.doubts == ("it has Huffman tables, but its samples are not compressed",)


@pytest.mark.parametrize("number", [7, 9])
@pytest.mark.parametrize(("size", "index"), [(16, 10**9), (10, 7), (16, 0), (20, 9)])
def test_pointers_to_sections_that_are_not_there(tmp_path, number, size, index):
    content = bytearray(scp_file(PLAIN))
    struct.pack_into("<HII", content, 22 + 10 * number, number, size, index)
    (tmp_path / "x.scp").write_bytes(with_checksums(content, zero=(0,)))
    ecg, signal = FORMAT.decode_file(str(tmp_path / "x.scp"), OPTIONS)
    np.testing.assert_allclose(signal, COUNTS * 0.005, atol=1e-6)
    assert "its sections 7, 8, 9, 10, 11 were not read: it cannot be" in ecg.doubts[0]


@pytest.mark.parametrize(
    ("sections", "match"),
    [
        ({3: PLAIN[3]}, "contains no leads and rhythm"),
        ({6: PLAIN[6]}, "contains no leads and rhythm"),
        ({**PLAIN, 3: lead_section(STANDARD_LEADS, 2**31)}, "12 leads of 2147483648 samples"),
        ({**PLAIN, 2: TABLE, 3: lead_section(STANDARD_LEADS, 400_000)}, "cannot be read"),
        ({**PLAIN, 3: lead_section(STANDARD_LEADS, N - 10)}, "590 samples in section 3 and 1200"),
        ({**PLAIN, 3: lead_section(STANDARD_LEADS, N + 1)}, "601 samples in section 3 and 1200"),
        ({**PLAIN, 3: lead_section(STANDARD_LEADS, N, starts=[1] * 6 + [601] * 6)},
         "not recorded at the same time: samples 1 to 600, 601 to 1200"),
        ({**PLAIN, 3: lead_section(["I", "I", *STANDARD_LEADS[2:]], N)}, "leads I occur more than"),
        ({**PLAIN, 6: signal_section(COUNTS, nanovolt=0)}, "no unit"),
        ({**PLAIN, 6: signal_section(COUNTS, interval=0)}, "interval is 0"),
        ({**PLAIN, 6: signal_section(COUNTS, differences=0)[:4] + b"\x07" + PLAIN[6][5:]},
         "unknown difference encoding"),
        ({**PLAIN, 2: TABLE, 6: signal_section(COUNTS, huffman=lambda v: b"\0" * 4)},
         "Huffman data ends"),
        ({**PLAIN, 4: struct.pack("<HHH", 65535, 0, 0), 5: signal_section(COUNTS, interval=1)},
         "reference heartbeat of 65535 ms"),
        ({**PLAIN, 3: lead_section(STANDARD_LEADS, N, flags=0x05), 5: PLAIN[6],
          4: struct.pack("<HHH", 1200, 1, 9) + 9 * struct.pack("<HIII", 0, 1, 1, N)},
         "9 heartbeats are longer than the recording"),
        ({**PLAIN, 3: lead_section(STANDARD_LEADS, N, flags=0x05)}, "Section 4 or 5 is missing"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(tmp_path, sections, match):
    with pytest.raises(RecordError, match=match):
        decoded(tmp_path / "x.scp", sections)


def test_a_lead_with_the_opposite_sign_is_not_avr(tmp_path):
    leads = [lead.replace("aVR", "-aVR") for lead in STANDARD_LEADS]
    ecg, _ = decoded(tmp_path / "x.scp", {**PLAIN, 3: lead_section(leads, N)})
    assert ecg.leads[3] == "-aVR" and "aVR" not in ecg.leads


@pytest.mark.parametrize("n_bytes", [100, 1000, -2])
def test_cut_files_are_refused(tmp_path, n_bytes):
    (tmp_path / "x.scp").write_bytes(scp_file(PLAIN)[:n_bytes])
    with pytest.raises(RecordError, match="cut off"):
        FORMAT.decode_file(str(tmp_path / "x.scp"), OPTIONS)
