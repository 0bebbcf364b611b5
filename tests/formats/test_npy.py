"""Arrays of recordings in NumPy's format for one array."""

import io

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.npy import NPY
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions

FORMAT = NPY()
GIVEN = ReadOptions(sampling_rate=100)
X = np.random.default_rng(0).normal(0, 0.3, (3, 12, 50)).astype(np.float32)


def saved(path, array, **options):
    np.save(path, array, **options)
    return str(path)


def read_all(path, options=GIVEN, leads=STANDARD_LEADS):
    return np.stack([FORMAT.read(ecg, leads, options) for ecg in FORMAT.scan(path, options)])


@pytest.mark.parametrize(
    "array",
    [X, X.astype(">f8"), np.asfortranarray(X), (X * 1000).round().astype(np.int16)],
    ids=["float32", "big-endian", "Fortran order", "integers"],
)
def test_recordings_are_read_one_by_one(tmp_path, array):
    path = saved(tmp_path / "x.npy", array)
    assert isinstance(find_format(path), NPY) and FORMAT.count(path, GIVEN) == 3
    found = FORMAT.scan(path, GIVEN)
    assert [ecg.row for ecg in found] == [0, 1, 2]
    assert {(ecg.leads, ecg.sampling_rate, ecg.n_samples) for ecg in found} == {
        (STANDARD_LEADS, 100.0, 50)
    }
    result = read_all(path)
    np.testing.assert_array_equal(result, array.astype(np.float32))
    assert result.dtype == np.float32 and result[0].flags.c_contiguous
    np.testing.assert_array_equal(read_all(path, leads=["V6", "I"]), result[:, [11, 0]])


def test_two_dimensions_are_one_recording(tmp_path):
    path = saved(tmp_path / "x.npy", X[0])
    (ecg,) = FORMAT.scan(path, GIVEN)
    assert ecg.row is None and FORMAT.count(path, GIVEN) is None
    np.testing.assert_array_equal(FORMAT.read(ecg, STANDARD_LEADS, GIVEN), X[0])


def test_unit_and_leads_are_those_that_are_stated(tmp_path):
    path = saved(tmp_path / "x.npy", (X[:, :2] * 1000).round().astype(np.int16))
    options = ReadOptions(sampling_rate=100, unit="uV", leads=("DI", "lead ii"))
    assert FORMAT.scan(path, options)[0].leads == ("I", "II")
    result = read_all(path, options, ["II", "I"])
    np.testing.assert_allclose(result, X[:, 1::-1], atol=6e-4)


def test_the_content_decides_and_not_the_ending(tmp_path):
    path = saved(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").rename(tmp_path / "x.bin")
    assert isinstance(find_format(str(tmp_path / "x.bin")), NPY)
    (tmp_path / "y.npy").write_bytes(b"?")
    assert isinstance(find_format(str(tmp_path / "y.npy")), NPY)
    with pytest.raises(RecordError) as caught:
        FORMAT.scan(path, GIVEN)
    assert caught.value.missing


@pytest.mark.parametrize(
    ("array", "options", "match"),
    [
        (X, ReadOptions(), r"give file_sampling_rate \(--sampling-rate\)"),
        (X[:, :3], GIVEN, "3 leads without names.*file_leads"),
        (X[:, :3], ReadOptions(100, leads=("I", "II")), "3 leads, but 2 names"),
        (X.transpose(0, 2, 1), GIVEN, r"axes look swapped.*transpose\(0, 2, 1\)"),
        (X[0].T, GIVEN, r"axes look swapped.*transpose\(\)"),
        (X[0, :3].T, ReadOptions(100, leads=("I", "II", "V1")), "axes look swapped"),
        (X[0, 0], GIVEN, r"shape \(50,\)"),
        (X[:0], GIVEN, r"shape \(0, 12, 50\)"),
        (X > 0, GIVEN, "type bool"),
        (X + 1j, GIVEN, "type complex"),
        (np.array([[{}]]), GIVEN, "type object"),
        (X, ReadOptions(100, unit="mmHg"), "mmHg"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, array, options, match):
    path = saved(tmp_path / "x.npy", array)
    with pytest.raises(RecordError, match=match):
        FORMAT.scan(path, options)


def content_of(shape):
    """Return a file of the array X whose header states another shape."""
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + X.tobytes()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not an .npy file"),
        (b"1 2 3", "not an .npy file"),
        (content_of(X.shape)[:8], "not an .npy file"),
        (content_of(X.shape)[:-1], "it is cut off"),
        (content_of((900_000_000, 12, 50)), "it is cut off"),
        (content_of(X.shape) + b"\r", "its header states"),
        (content_of((-3, 12, 50)), r"shape \(-3, 12, 50\) is not possible"),
        (content_of((1, 12, 90_000_000)), "12 leads of 90000000 samples"),
        (b"\x93NUMPY\x09" + content_of(X.shape)[7:], "version"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, match):
    (tmp_path / "x.npy").write_bytes(content)
    for method in (FORMAT.scan, FORMAT.count):
        with pytest.raises(RecordError, match=match):
            method(str(tmp_path / "x.npy"), GIVEN)


def test_a_file_that_is_replaced_after_the_listing_is_refused(tmp_path):
    path = saved(tmp_path / "x.npy", X)
    ecg = FORMAT.scan(path, GIVEN)[2]
    saved(path, X[:2])
    with pytest.raises(RecordError, match="replaced"):
        FORMAT.read(ecg, STANDARD_LEADS, GIVEN)
