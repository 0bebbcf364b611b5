"""Signal files that were changed on their way, names of leads, and comments of headers."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgsk import STANDARD_LEADS, load_ptbxl, load_wfdb, make_ecg
from ecgsk._core.signal import lead_indices, lead_name
from ecgsk.datasets import RecordsLeftOutWarning
from tests._wfdb_files import edit_header, random_counts, write_record

# Counts per mV that fit into formats of few bits.
GAINS = {"212": 200.0, "80": 20.0}


def write(folder, name="r", fmt="16", seed=0, comments=(), n_samples=1000, **options):
    """Write a record with checksums, by the wfdb package."""
    folder.mkdir(parents=True, exist_ok=True)
    X = make_ecg(1, sampling_rate=100, random_state=seed)[0, :, :n_samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb.wrsamp(
            name,
            fs=100,
            units=["mV"] * 12,
            sig_name=list(STANDARD_LEADS),
            p_signal=X.T.astype(float),
            fmt=[fmt] * 12,
            adc_gain=[GAINS.get(fmt, 1000.0)] * 12,
            baseline=[0] * 12,
            comments=list(comments),
            write_dir=str(folder),
            **options,
        )
    return folder / f"{name}.dat"


def carriage_returns(data):
    return data.replace(b"\n", b"\r\n")


def without_a_byte(data):
    return data[:501] + data[502:] + b"\0"


def swapped(data):
    return np.frombuffer(data, "<i2").byteswap().tobytes()


def filled_up(data):
    return data[: len(data) // 2].ljust(len(data), b"\0")


def one_bit(data):
    return data[:100] + bytes([data[100] ^ 4]) + data[101:]


def shifted(data):
    return data[24:] + data[-24:]


CHANGES = [carriage_returns, without_a_byte, swapped, filled_up, one_bit, shifted]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("fmt", ["16", "212", "24", "32", "80"])
def test_changed_signal_files_are_left_out(tmp_path, change, fmt):
    write(tmp_path, "good", fmt=fmt)
    path = write(tmp_path, "bad", fmt=fmt, seed=1)
    data = path.read_bytes()
    if change(data) == data:
        pytest.skip("this file holds no line feed")
    path.write_bytes(change(data))
    with pytest.warns(RecordsLeftOutWarning, match="bad.hea: .*checksum"):
        ecgs = load_wfdb(tmp_path)
    assert ecgs.metadata["record"].tolist() == ["good"]
    with pytest.raises(ValueError, match="checksum"):
        load_wfdb([path], on_error="raise")
    assert len(load_wfdb(tmp_path, verify=False).data) == 2


@pytest.mark.parametrize("fmt", ["16", "212", "24", "32", "80"])
@pytest.mark.parametrize("n_samples", [1000, 997])
def test_records_as_they_were_written_are_read(tmp_path, fmt, n_samples):
    write(tmp_path, fmt=fmt, n_samples=n_samples)
    assert load_wfdb(tmp_path).data.shape == (1, 12, n_samples)


def test_a_file_of_another_record_is_noticed(tmp_path):
    first, second = write(tmp_path, "a"), write(tmp_path, "b", seed=1)
    shutil.copy(first, second)
    with pytest.warns(RecordsLeftOutWarning, match="b.hea: .* or belongs to another record"):
        load_wfdb(tmp_path)


def test_lazy_records_are_verified_as_they_are_read(tmp_path):
    path = write(tmp_path)
    path.write_bytes(one_bit(path.read_bytes()))
    records = load_wfdb(tmp_path, lazy=True).data
    with pytest.raises(ValueError, match="r.hea: .*checksum"):
        records.read([0])
    assert load_wfdb(tmp_path, lazy=True, verify=False).data.read([0]).shape == (1, 12, 1000)


def test_without_checksums_the_size_is_compared(tmp_path):
    record = write_record(tmp_path, "a", random_counts(0))
    assert load_wfdb(tmp_path).data.shape == (1, 12, 50)
    path = Path(f"{record}.dat")
    path.write_bytes(path.read_bytes() + bytes(24))
    with pytest.raises(ValueError, match="24 bytes more than its header describes"):
        load_wfdb([record], on_error="raise")
    assert load_wfdb([record], verify=False).data.shape == (1, 12, 50)


def test_a_longer_file_whose_checksums_are_right_is_read(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(100))
    assert load_wfdb(tmp_path).data.shape == (1, 12, 1000)


def test_ptbxl_files_are_verified(tmp_path, ptbxl_path):
    table = (ptbxl_path / "ptbxl_database.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "ptbxl_database.csv").write_text("\n".join(table[:4]), encoding="utf-8")
    for header in sorted(ptbxl_path.glob("records100/*/*.hea"))[:3]:
        target = tmp_path / header.relative_to(ptbxl_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(header, target)
        shutil.copy(header.with_suffix(".dat"), target.with_suffix(".dat"))
    data = next(tmp_path.glob("records100/*/*.dat"))
    n_records = len(load_ptbxl(tmp_path).data)
    data.write_bytes(one_bit(data.read_bytes()))
    with pytest.warns(RecordsLeftOutWarning, match="1 cannot be read.*checksum"):
        assert len(load_ptbxl(tmp_path).data) == n_records - 1
    assert len(load_ptbxl(tmp_path, verify=False).data) == n_records


def test_flac_of_constant_signals_is_read(tmp_path):
    pytest.importorskip("soundfile")
    n_samples = 100_000
    try:
        wfdb.wrsamp(
            "f",
            fs=500,
            units=["mV"] * 2,
            sig_name=["I", "II"],
            d_signal=np.zeros((n_samples, 2), dtype=np.int64),
            fmt=["516"] * 2,
            adc_gain=[1000.0] * 2,
            baseline=[0] * 2,
            write_dir=str(tmp_path),
        )
    except Exception as error:
        pytest.skip(f"wfdb does not write FLAC here: {error}")
    ecgs = load_wfdb(tmp_path, leads=["I", "II"])
    assert ecgs.data.shape == (1, 2, n_samples)
    assert not ecgs.data.any()


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("ECG lead II", "II"),
        ("DI", "I"),
        ("DIII", "III"),
        ("D2", "II"),
        ("Lead I (Einthoven)", "I"),
        ("aVR (Goldberger)", "aVR"),
        ("V3 (Wilson)", "V3"),
        ("a VF", "aVF"),
        ("I (mV)", "I"),
        ("ECG_V2", "V2"),
        ("EKG lead: v6", "V6"),
        ("MDC_ECG_LEAD_AVL", "aVL"),
    ],
)
def test_names_of_leads(name, lead):
    assert lead_name(name) == lead


@pytest.mark.parametrize(
    "name", ["MLII", "-aVR", "Lead -aVR", "VR", "VF", "C4", "V7", "V3R", "lead"]
)
def test_other_names_stay_as_they_are(name):
    assert lead_name(name) == name


def test_chest_leads_by_iec_are_a_set():
    names = ["I", "II", "III", "aVR", "aVL", "aVF", "C1", "C2", "C3", "C4", "C5", "C6"]
    assert lead_indices(names) == list(range(12))
    with pytest.raises(ValueError, match="V4 are missing"):
        lead_indices(["I", "C3", "C4"], ["I", "V4"])


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("426783006,164889003", ["426783006", "164889003"]),
        ("426783006 164889003", ["426783006", "164889003"]),
        ("426783006; 164889003", ["426783006", "164889003"]),
        ("Atrial fibrillation, sinus rhythm", ["Atrial fibrillation", "sinus rhythm"]),
        ("Unknown", []),
    ],
)
def test_diagnosis_codes_are_separated(tmp_path, text, codes):
    write_record(tmp_path, "a", random_counts(0), comments=[f"# Dx: {text}"])
    ecgs = load_wfdb(tmp_path)
    assert ecgs.metadata["dx"][0] == codes
    assert ecgs.target_names == sorted(codes)


def test_any_comment_can_be_the_target(tmp_path):
    values = ["True", "False", "true"]
    for i, value in enumerate(values):
        comments = [f"# Chagas label: {value}", "# Source: here", "# Source: there", "# a note"]
        write_record(tmp_path, f"a{i}", random_counts(i), comments=comments)
    write_record(tmp_path, "b", random_counts(9), comments=["# Source: CODE-15"])
    with pytest.warns(RecordsLeftOutWarning, match="b.hea: the header has no comment 'Chagas lab"):
        ecgs = load_wfdb(tmp_path, target="chagas label".capitalize())
    assert ecgs.target.tolist() == [1, 0, 1]
    assert ecgs.target_names == ["Chagas label"]
    assert ecgs.metadata["comments"][0] == {"Chagas label": "True", "Source": "here"}
    sources = load_wfdb(tmp_path, target="source")
    assert sources.target.tolist() == ["here", "here", "here", "CODE-15"]
    assert sources.target_names == ["CODE-15", "here"]


def test_recordings_that_occur_twice_are_named(tmp_path):
    path = write(tmp_path, "JS20000")
    header = path.with_suffix(".hea")
    shutil.copy(header, tmp_path / "JS20000 (1).hea")
    write(tmp_path, "other", seed=1)
    with pytest.warns(UserWarning, match=r"occur twice \(1\): .*JS20000.hea and .*\(1\)"):
        assert len(load_wfdb(tmp_path).data) == 3
    (tmp_path / "JS20000 (1).hea").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_wfdb(tmp_path)


def test_gaps_of_a_header_are_not_checked(tmp_path):
    record = write_record(tmp_path, "a", random_counts(0))
    edit_header(record, "16 0 0 0 0 I\n", "16 0 0 77 0 I\n")
    with pytest.raises(ValueError, match="checksum"):
        load_wfdb([record], on_error="raise")


def test_files_in_other_formats_are_named(tmp_path):
    write(tmp_path)
    for name in ("x.xml", "y.dcm", "notes.txt", "alone.dat"):
        (tmp_path / name).write_bytes(b"some bytes")
    with pytest.warns(RecordsLeftOutWarning, match="3 files in .* may be recordings.*x.xml"):
        ecgs = load_wfdb(tmp_path)
    assert {Path(path).name for path, _ in ecgs.left_out} == {"x.xml", "y.dcm", "alone.dat"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_wfdb([tmp_path / "r"])
