"""Arrays of recordings with what belongs to them, in NumPy's format for several arrays."""

import zipfile

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.npz import NPZ
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions

FORMAT = NPZ()
NOTHING = ReadOptions()
X = np.random.default_rng(0).normal(0, 0.3, (3, 12, 50)).astype(np.float32)
FULL = {"data": X, "sampling_rate": 250, "leads": list(STANDARD_LEADS), "unit": "mV"}
SAVE = [np.savez, np.savez_compressed]


def saved(path, save=np.savez, **arrays):
    save(path, **arrays)
    return str(path)


def read_all(path, options=NOTHING, leads=STANDARD_LEADS):
    return np.stack([FORMAT.read(ecg, leads, options) for ecg in FORMAT.scan(path, options)])


@pytest.mark.parametrize("save", SAVE)
@pytest.mark.parametrize("order", [np.ascontiguousarray, np.asfortranarray])
def test_the_file_states_what_belongs_to_its_recordings(tmp_path, save, order):
    leads = ["V1", "DII", "lead I"]
    path = saved(tmp_path / "x.npz", save, data=order(X[:, [6, 1, 0]].astype(float) * 1000),
                 sampling_rate=250, leads=leads, unit="uV", records=["a", "b", "c"])  # fmt: skip
    assert isinstance(find_format(path), NPZ) and FORMAT.count(path, NOTHING) == 3
    found = FORMAT.scan(path, NOTHING)
    assert {(ecg.leads, ecg.sampling_rate) for ecg in found} == {(("V1", "II", "I"), 250.0)}
    assert [ecg.states.comments for ecg in found] == [{"record": name} for name in "abc"]
    np.testing.assert_allclose(read_all(path, leads=["I", "V1"]), X[:, [0, 6]], atol=1e-6)


@pytest.mark.parametrize("save", SAVE)
def test_a_single_array_is_read_as_an_npy_file(tmp_path, save):
    path = saved(tmp_path / "x.npz", save, anything=X[0])
    options = ReadOptions(sampling_rate=100)
    (ecg,) = FORMAT.scan(path, options)
    assert ecg.row is None and FORMAT.count(path, options) is None
    np.testing.assert_array_equal(FORMAT.read(ecg, STANDARD_LEADS, options), X[0])
    with pytest.raises(RecordError, match="give file_sampling_rate"):
        FORMAT.scan(path, NOTHING)


@pytest.mark.parametrize(
    ("changed", "options", "match"),
    [
        ({"sampling_rate": 0.0}, NOTHING, "sampling rate is 0 Hz"),
        ({"sampling_rate": np.nan}, NOTHING, "sampling rate is nan Hz"),
        ({"sampling_rate": [250, 500]}, NOTHING, r"sampling_rate has shape \(2,\)"),
        ({"sampling_rate": "250"}, NOTHING, "sampling_rate has shape"),
        ({}, ReadOptions(sampling_rate=500), "250 Hz, but file_sampling_rate=500"),
        ({}, ReadOptions(unit="uV"), "unit is mV, but file_unit='uV'"),
        ({}, ReadOptions(leads=STANDARD_LEADS[::-1]), "but file_leads has V6, V5"),
        ({"leads": ["I", "II"]}, NOTHING, "12 leads, but 2 names"),
        ({"leads": [1, 2]}, NOTHING, "'leads' has shape"),
        ({"leads": np.array(["I", None], dtype=object)}, NOTHING, "Python objects"),
        ({"unit": "furlong"}, NOTHING, "furlong"),
        ({"unit": ["mV", "mV"]}, NOTHING, "'unit' has shape"),
        ({"records": ["a"]}, NOTHING, "3 recordings, but 1 records"),
        ({"data": X.transpose(0, 2, 1)}, NOTHING, "axes look swapped"),
        ({"data": X[0, 0]}, NOTHING, r"shape \(50,\)"),
        ({"data": np.array([{}])}, NOTHING, "Python objects"),
    ],
)
def test_contradictions_and_impossible_values_are_refused(tmp_path, changed, options, match):
    path = saved(tmp_path / "x.npz", **{**FULL, **changed})
    with pytest.raises(RecordError, match=match):
        FORMAT.scan(path, options)


def test_several_arrays_without_a_known_name_are_listed(tmp_path):
    path = saved(tmp_path / "x.npz", x=X, y=np.arange(3))
    with pytest.raises(RecordError, match=r"no array named 'data', but x \(3, 12, 50\), y \(3,\)"):
        FORMAT.scan(path, NOTHING)


@pytest.mark.parametrize("save", SAVE)
def test_a_changed_byte_is_found_by_the_checksum(tmp_path, save):
    path = saved(tmp_path / "x.npz", save, **FULL)
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("data.npy").header_offset + 3000
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[at] ^= 0x10
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(RecordError, match="checksum is wrong|cannot be decompressed"):
        FORMAT.scan(path, NOTHING)
    if save is np.savez:
        read = read_all(path, ReadOptions(verify=False))
        assert np.count_nonzero(read != X) == 1


def test_wrong_sizes_are_refused(tmp_path):
    """A header with a huge shape, and more content than the archive states."""
    path = saved(tmp_path / "x.npz", np.savez_compressed, data=np.zeros((40, 12, 5000), "f4"))
    content = (tmp_path / "x.npz").read_bytes()
    assert len(content) < 20_000
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("data.npy").file_size
    changed = content.replace(size.to_bytes(4, "little"), (size - 4).to_bytes(4, "little"))
    (tmp_path / "x.npz").write_bytes(changed)
    with pytest.raises(RecordError, match="its header states"):
        FORMAT.scan(path, ReadOptions(sampling_rate=500))
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 12, 5000), }".ljust(117) + "\n"
        ).encode()
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", header + bytes(99))
    with pytest.raises(RecordError, match="its header states"):
        FORMAT.scan(path, ReadOptions(sampling_rate=500))


def test_compressed_arrays_that_are_too_large_are_refused(tmp_path, monkeypatch):
    path = saved(tmp_path / "x.npz", np.savez_compressed, **FULL)
    monkeypatch.setattr("ecgsk._formats.npz._LARGEST_COMPRESSED", 1000)
    with pytest.raises(RecordError, match=r"Save it with numpy\.savez"):
        FORMAT.scan(path, NOTHING)


@pytest.mark.parametrize("n_bytes", [0, 10, 500, -1])
def test_cut_files_are_refused(tmp_path, n_bytes):
    path = saved(tmp_path / "x.npz", **FULL)
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:n_bytes])
    with pytest.raises(RecordError):
        FORMAT.scan(path, NOTHING)


def test_other_archives_are_not_recognized(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.ecgsk", "w") as archive:
        archive.writestr("model.json", "{}")
        archive.writestr("weights.npy", b"")
    assert find_format(str(tmp_path / "model.ecgsk")) is None
    assert find_format("tests/fixtures/0.1.0/mtecg.ecgsk") is None
