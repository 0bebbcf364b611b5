"""Recordings of any format as WFDB records: the same samples, for other tools."""

import os
import sys
from datetime import datetime

import numpy as np
import pytest
import wfdb

from ecgsk import STANDARD_LEADS, load_ecg, make_ecg
from ecgsk._formats.npy import NPY
from ecgsk._formats.stored import Statements, StoredECG
from ecgsk.datasets import RecordsLeftOutWarning, convert_to_wfdb, load_wfdb
from tests._dicom_edf_files import write_edf
from tests._wfdb_files import random_counts, write_record
from tests._xml_files import EIGHT_LEADS, write_muse

X = make_ecg(3, duration=2, sampling_rate=250, random_state=0).astype(np.float32)
EIGHT = [STANDARD_LEADS.index(lead) for lead in EIGHT_LEADS]


def read(path):
    """Return a record that wfdb reads, after its checksums were compared with its samples."""
    record = wfdb.rdrecord(os.fspath(path), physical=False)
    sums = record.d_signal.astype(np.int64).sum(axis=0)
    assert [(s - c) % 65536 for s, c in zip(sums, record.checksum, strict=True)] == [
        0
    ] * record.n_sig
    assert record.init_value == record.d_signal[0].tolist() and set(record.fmt) == {"16"}
    return wfdb.rdrecord(os.fspath(path))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that converts one recording of its arguments, and reads it by wfdb."""

    def convert(signal, leads=STANDARD_LEADS, rate=250.0, states=None, resolutions=(), **options):
        signal = np.asarray(signal, dtype=np.float32)
        ecg = StoredECG("x", "NPY", tuple(leads), rate, signal.shape[1], None,
                        states or Statements(), resolutions=resolutions)  # fmt: skip

        def decode(self, path, options):
            yield ecg, lambda wanted: signal[[leads.index(lead) for lead in wanted]]

        monkeypatch.setattr(NPY, "decode", decode)
        monkeypatch.setattr(NPY, "count", lambda *args: None)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "x.npy").touch()
        table = convert_to_wfdb(tmp_path / "in", tmp_path / "out", overwrite=True, **options)
        assert table["error"].tolist() == [""]
        return read(tmp_path / "out" / "x")

    return convert


def test_files_of_several_formats_are_equal_to_one_count(tmp_path):
    pytest.importorskip("ecgdatakit")
    (tmp_path / "in" / "a.b").mkdir(parents=True)
    counts = write_muse(tmp_path / "in" / "a.b" / "1.2.xml", X[0][EIGHT], rate=250)
    write_record(tmp_path / "in", "w", random_counts(0), gain="200(10)", comments=["# Dx: 42"])
    np.save(tmp_path / "in" / "x.npy", X)
    (tmp_path / "in" / "scan.pdf").write_bytes(b"%PDF-1.4")
    with pytest.warns(RecordsLeftOutWarning, match="1 of 6 recordings.*\n.*scan.pdf: a PDF"):
        table = convert_to_wfdb(tmp_path / "in", tmp_path / "out", file_sampling_rate=250)
    assert table["record"].tolist() == ["a.b/1_2", "", "w", "x_0", "x_1", "x_2"]
    assert table["format"].tolist() == ["MUSE XML", "", "WFDB", "NPY", "NPY", "NPY"]
    assert table["row"].dropna().tolist() == [0, 1, 2]
    lines = (tmp_path / "out" / "conversion.csv").read_text().splitlines()
    assert lines[0] == "record,source,row,format,error,doubts" and len(lines) == 7
    assert sorted(os.listdir(tmp_path / "out")) == [
        "a.b", "conversion.csv", "w.dat", "w.hea",
        *(f"x_{i}.{ending}" for i in range(3) for ending in ("dat", "hea")),
    ]  # fmt: skip

    muse = read(tmp_path / "out" / "a.b" / "1_2")
    assert muse.sig_name == list(STANDARD_LEADS) and muse.fs == 250
    # Of eight leads, to the file's own step.
    np.testing.assert_allclose(muse.p_signal.T[EIGHT], counts * 0.00488, atol=1e-6)
    limb = muse.p_signal.T[:6]
    np.testing.assert_allclose(limb[2], limb[1] - limb[0], atol=1e-6)
    np.testing.assert_allclose(limb[3], -(limb[0] + limb[1]) / 2, atol=1e-6)
    again = load_wfdb(tmp_path / "out" / "a.b" / "1_2").data
    np.testing.assert_allclose(again, load_ecg(tmp_path / "in" / "a.b").data, atol=1e-6)
    for i in range(3):
        np.testing.assert_allclose(read(tmp_path / "out" / f"x_{i}").p_signal.T, X[i], atol=5.1e-4)
    ours = load_wfdb(tmp_path / "out" / "w")
    np.testing.assert_array_equal(ours.data, load_wfdb(tmp_path / "in" / "w").data)
    assert ours.metadata["dx"][0] == ["42"]
    comments = load_wfdb(tmp_path / "out" / "a.b" / "1_2").metadata.iloc[0]
    assert (comments["age"], comments["sex"], comments["patient"]) == (63, "female", "4711")
    assert comments["comments"]["Source file"] == "1.2.xml"
    assert comments["comments"]["Derived leads"] == "III aVR aVL aVF"


def test_what_a_file_states_becomes_comments_and_the_time_of_the_record(write):
    states = Statements(
        patient="17", age_text="63Y", sex_text="M", date=datetime(2013, 3, 14, 10, 11, 12),
        device="GE\r\nMAC 55", statements=("Sinus rhythm", "QT für Ältere\n# Age: 1"),
        measurements={"heart_rate": 72.0},
    )  # fmt: skip
    record = write(X[0], states=states)
    assert record.base_datetime == states.date
    assert [line.strip() for line in record.comments] == [
        "Age: 63Y", "Sex: M", "Patient ID: 17", "Date: 2013-03-14T10:11:12", "Device: GE MAC 55",
        record.comments[5].strip(), "Measurements: heart_rate 72", "Source format: NPY",
        "Source file: x",
    ]  # fmt: skip
    assert record.comments[5].startswith("Statements: Sinus rhythm; QT f")


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda x: x, 1e-3),
        (lambda x: np.where(x > 0.5, np.nan, x), 1e-3),
        (lambda x: np.full_like(x, np.nan), 1e-3),
        (lambda x: x + 100, 1e-3),
        (lambda x: x - 32.7, 1e-3),
        (lambda x: x * 100, 8e-3),
        (lambda x: x * 1e8, np.inf),
        (lambda x: x * 0 + 9e8, np.inf),
        (lambda x: np.clip(x * 1e3, -32.768, 32.768), 2e-3),
    ],
)
def test_no_sample_is_clipped_or_invented(write, change, step):
    expected = change(X[0].astype(np.float64)).astype(np.float32)
    found = write(expected).p_signal.T
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    largest = np.nanmax(np.abs(expected), initial=0.0)
    if step == np.inf:
        step = largest / 2**14
    np.testing.assert_allclose(found, expected, atol=0.51 * step, rtol=1e-7)


def test_steps_of_the_file_are_kept_unless_they_cannot_be_right(write):
    signal = np.rint(X[0] / 0.0025) * np.float32(0.0025)
    np.testing.assert_allclose(
        write(signal, resolutions=(0.0025,) * 12).p_signal.T, signal, atol=1e-7
    )
    assert write(signal, resolutions=(0.0025,) * 12).adc_gain == [400.0] * 12
    assert write(signal, resolutions=(np.nan, 0, 5e4, 1e-12, *[0.0025] * 8)).adc_gain == [
        *[1000.0] * 4, *[400.0] * 8,
    ]  # fmt: skip


def test_small_amplitudes_are_not_rounded_to_nothing(write):
    in_volts = X[0] / 1000  # and read as mV
    found = write(in_volts)
    np.testing.assert_allclose(found.p_signal.T, in_volts, atol=np.abs(in_volts).max() / 90)
    assert write(X[0]).adc_gain == [1000.0] * 12


def test_leads_are_the_standard_ones_in_order_and_then_the_others(write):
    assert write(X[0][:3], ["V2", "V3R", "I"]).sig_name == ["I", "V2", "V3R"]
    assert write(X[0][:3], ["II", "X", "I"]).sig_name == [*STANDARD_LEADS[:6], "X"]
    assert write(X[0][:1], ["MLII"]).sig_name == ["MLII"]
    doubled = write(X[0][:4], ["I", "II", "X", "X"])
    assert doubled.sig_name == list(STANDARD_LEADS[:6])
    assert "Leads left out: X X" in [line.strip() for line in doubled.comments]


def test_leads_that_are_not_voltages_are_named_and_left_out(tmp_path):
    leads = ["I", "II", "Resp"]
    write_record(tmp_path / "in", "a", random_counts(0, 3), leads=leads, unit=["/mV", "/mV", "/l"])
    table = convert_to_wfdb(tmp_path / "in", tmp_path / "out")
    assert read(tmp_path / "out" / "a").sig_name == list(STANDARD_LEADS[:6])
    comments = load_wfdb(tmp_path / "out", leads=["I"]).metadata["comments"][0]
    assert comments["Leads left out"] == "Resp"
    # Which standard leads are missing is a doubt.
    assert comments["Doubts"] == table["doubts"][0]
    assert table["doubts"][0].startswith("leads V1, V2, V3, V4, V5, V6 are missing")


def test_names_are_valid_and_differ(tmp_path):
    for name in ("a b.npy", "a.b.npy", "A b.npy", "ä.npy", "a_b_2.npy"):
        np.save(tmp_path / name, X[0])
    table = convert_to_wfdb([tmp_path / "*.npy"], tmp_path / "out", file_sampling_rate=250)
    assert table["record"].tolist() == ["A_b", "a_b_2", "a_b_3", "a_b_2_2", "_"]
    for record in table["record"]:
        assert read(tmp_path / "out" / record).sig_len == X.shape[2]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only names of UTF-8")
def test_a_name_that_is_not_text_is_converted(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(os.fsdecode(os.fsencode(tmp_path / "in" / "a") + b"\xff.npy"), X[0])
    table = convert_to_wfdb(tmp_path / "in", tmp_path / "out", file_sampling_rate=250)
    assert table["record"].tolist() == ["a_"] and (tmp_path / "out" / "conversion.csv").exists()


def test_infinite_samples_and_replaced_files_are_errors_of_their_records(tmp_path, monkeypatch):
    wrong = X.copy()
    wrong[1, 3, 5] = np.inf
    wrong[2, 3, 5] = 1e30
    np.save(tmp_path / "x.npy", wrong)
    with pytest.warns(RecordsLeftOutWarning, match=r"x.npy\[1\]: it contains infinite"):
        table = convert_to_wfdb(tmp_path / "x.npy", tmp_path / "out", file_sampling_rate=250)
    assert [bool(error) for error in table["error"]] == [False, True, True]
    assert table["error"][2].startswith("it has samples of up to 1e+30 mV")
    assert not (tmp_path / "out" / "x_1.hea").exists()
    monkeypatch.setattr(NPY, "count", lambda *args: 4)
    with pytest.warns(RecordsLeftOutWarning, match="replaced during the conversion"):
        table = convert_to_wfdb(tmp_path / "x.npy", tmp_path / "2", file_sampling_rate=250)
    assert [bool(error) for error in table["error"]] == [False, True, True, True]


@pytest.mark.parametrize(
    ("source", "folder", "error", "match"),
    [
        ("in", "in", ValueError, "would get mixed"),
        ("in", "in/deep/out", ValueError, "would get mixed"),
        ("in", ".", ValueError, "would get mixed"),
        ("link", "in/out", ValueError, "would get mixed"),
        ("in/x.npy", "in", ValueError, "would get mixed"),
        ("in", "in/x.npy", ValueError, "is a file"),
        ("in", "old", FileExistsError, "2 of the files.*'x.hea'.*overwrite=True"),
        ("empty", "out", FileNotFoundError, "source: the folder 'empty' contains no recording"),
    ],
)
def test_what_would_be_overwritten_or_mixed_is_refused(
    tmp_path, monkeypatch, source, folder, error, match
):
    monkeypatch.chdir(tmp_path)
    for place in ("in/deep", "old", "empty"):
        os.makedirs(place)
    os.symlink("in", "link")
    np.save("in/x.npy", X[0])
    for name in ("old/conversion.csv", "old/x.hea"):
        open(name, "w").close()
    before = sorted(os.walk("."))
    with pytest.raises(error, match=match):
        convert_to_wfdb(source, folder, file_sampling_rate=250)
    assert sorted(os.walk(".")) == before
    if error is FileExistsError:
        convert_to_wfdb(source, folder, file_sampling_rate=250, overwrite=True)
        assert read("old/x").sig_len == X.shape[2]


@pytest.mark.parametrize("leads", [["V1", "II"], [*STANDARD_LEADS, "V3R"], ["MLII"]])
def test_leads_of_edf_files_are_those_that_are_voltages(tmp_path, leads):
    pytest.importorskip("pyedflib")
    signal = make_ecg(1, duration=2, sampling_rate=250, random_state=0)[0][: len(leads)]
    signal = np.vstack([signal, signal[:1]])[: len(leads)]
    write_edf(tmp_path / "a.edf", signal, rate=250, leads=leads)
    convert_to_wfdb(tmp_path / "a.edf", tmp_path / "out")
    record = read(tmp_path / "out" / "a")
    expected = ["II", "V1"] if leads[0] == "V1" else leads
    assert record.sig_name == expected
    np.testing.assert_allclose(
        record.p_signal.T, signal[[leads.index(lead) for lead in expected]], atol=2e-3
    )
