"""HDF5 files of recordings."""

import numpy as np
import pytest

from ecgsk import make_ecg
from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.hdf5 import HDF5
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions

h5py = pytest.importorskip("h5py")

FORMAT = HDF5()
NOTHING = ReadOptions()
ECGS = make_ecg(4, sampling_rate=400, random_state=0)
OWN = {"data": ECGS, "sampling_rate": 250, "leads": list(STANDARD_LEADS), "unit": "mV"}


def padded(signals, n_samples=4096):
    """Return recordings as CODE stores them: (samples, leads), zeros at both ends."""
    result = np.zeros((len(signals), n_samples, signals[0].shape[0]), dtype=np.float32)
    for target, signal in zip(result, signals, strict=True):
        start = (n_samples - signal.shape[1]) // 2
        target[start : start + signal.shape[1]] = signal.T
    return result


# 10.24 s (no zeros), 10 s, 7 s, and a length that no padding of CODE has.
SIGNALS = [np.hstack([ECGS[0], ECGS[0][:, :96] + 1]), ECGS[1], ECGS[2][:, :2800],
           ECGS[3][:, :3111]]  # fmt: skip


def code(path, signals=SIGNALS, ids=(11, 12, 13, 14, 0), **options):
    """Write a file of CODE-15, which ends with an empty recording."""
    with h5py.File(path, "w") as file:
        tracings = padded([*signals, np.zeros((12, 0))])
        file.create_dataset("tracings", data=tracings, **options)
        file["exam_id"] = np.array(ids)
    return str(path)


def written(path, build):
    with h5py.File(path, "w") as file:
        build(file)
    return str(path)


def with_tracings(path, tracings):
    return written(path, lambda file: file.create_dataset("tracings", data=tracings))


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 4096, 12), "compression": "gzip"}])
def test_recordings_of_code_are_read_without_the_zeros_around_them(tmp_path, options):
    path = code(tmp_path / "exams_part0.hdf5", **options)
    assert isinstance(find_format(path), HDF5) and FORMAT.count(path, NOTHING) == 4
    found = FORMAT.scan(path, NOTHING)
    assert [ecg.n_samples for ecg in found] == [4096, 4000, 2800, 3111]
    assert {(ecg.sampling_rate, ecg.leads) for ecg in found} == {(400.0, STANDARD_LEADS)}
    assert [ecg.states.comments["exam_id"] for ecg in found] == ["11", "12", "13", "14"]
    for ecg, signal in zip(found, SIGNALS, strict=True):
        np.testing.assert_array_equal(FORMAT.read(ecg, STANDARD_LEADS, NOTHING), signal)
    for (ecg, read), signal in zip(FORMAT.decode(path, NOTHING), SIGNALS, strict=True):
        np.testing.assert_array_equal(read(["V1", "I"]), signal[[6, 0]])
        assert ecg.row is not None


def test_an_empty_recording_elsewhere_is_an_error_of_that_recording(tmp_path):
    path = code(tmp_path / "x.h5", [ECGS[0], np.zeros((12, 0)), ECGS[1], ECGS[2]])
    ecgs = FORMAT.scan(path, NOTHING)
    assert [ecg.row for ecg in ecgs] == [0, 1, 2, 3]
    with pytest.raises(RecordError, match="recording 1 contains only zeros"):
        FORMAT.read(ecgs[1], STANDARD_LEADS, NOTHING)
    np.testing.assert_array_equal(FORMAT.read(ecgs[2], STANDARD_LEADS, NOTHING), ECGS[1])


def test_another_order_of_the_limb_leads_is_found_by_their_equations(tmp_path):
    """The test set of CODE has aVL, aVF, aVR and no exam_id."""
    order = [0, 1, 2, 4, 5, 3, *range(6, 12)]
    path = with_tracings(tmp_path / "ecg_tracings.hdf5", padded(ECGS[:, order]))
    with pytest.raises(RecordError, match=r"I II III aVL aVF aVR.*file_leads"):
        FORMAT.scan(path, NOTHING)
    options = ReadOptions(leads=tuple(STANDARD_LEADS[i] for i in order))
    ecg = FORMAT.scan(path, options)[1]
    np.testing.assert_array_equal(FORMAT.read(ecg, STANDARD_LEADS, options), ECGS[1])
    # The order that is given for it is wrong for files of CODE-15.
    with pytest.raises(RecordError, match="read as I II III aVL aVF aVR"):
        FORMAT.scan(code(tmp_path / "exams_part0.hdf5"), options)


def test_other_lengths_and_leads_need_a_rate_and_names(tmp_path):
    path = with_tracings(tmp_path / "x.h5", padded(ECGS[:, :8], 4200))
    with pytest.raises(RecordError, match="8 leads without names"):
        FORMAT.scan(path, NOTHING)
    names = STANDARD_LEADS[:8]
    with pytest.raises(RecordError, match="give file_sampling_rate"):
        FORMAT.scan(path, ReadOptions(leads=names))
    options = ReadOptions(sampling_rate=500, leads=names, unit="uV")
    ecg = FORMAT.scan(path, options)[3]
    assert (ecg.n_samples, ecg.sampling_rate) == (4200, 500)
    signal = FORMAT.read(ecg, names, options)
    np.testing.assert_allclose(signal[:, 100:4100], ECGS[3, :8] / 1000, rtol=1e-6)


@pytest.mark.parametrize("where", ["datasets", "file", "data"])
def test_our_own_layout_states_all_that_belongs_to_it(tmp_path, where):
    def build(file):
        file["data"] = (ECGS[:, [1, 0, 6]] * 1000).astype(np.int16)
        stated = {"sampling_rate": 250.0, "leads": ["DII", "I", "V1"], "unit": "uV",
                  "records": ["a", "b", "c", "d"]}  # fmt: skip
        for name, value in stated.items():
            if where == "datasets":
                file[name] = value
            else:
                (file if where == "file" else file["data"]).attrs[name] = value

    path = written(tmp_path / "x.h5", build)
    assert FORMAT.count(path, NOTHING) == 4
    ecg = FORMAT.scan(path, NOTHING)[2]
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (("II", "I", "V1"), 250, 4000)
    assert ecg.states.comments == {"record": "c"}
    signal = FORMAT.read(ecg, ["I", "V1"], NOTHING)
    np.testing.assert_allclose(signal, ECGS[2][[0, 6]], atol=1.1e-3)


def _attribute(name, value):
    def build(file):
        for key, item in OWN.items():
            file[key] = item
        file.attrs[name] = value

    return build


def _huge(file):
    file.create_dataset("tracings", (2**30, 4096, 12), "f4", chunks=(1, 4096, 12))


def _large_chunk(file):
    file.create_dataset("tracings", (3, 4096, 12 * 2000), "f4", chunks=True, compression="gzip")


def _elsewhere(file):
    kept = [("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("tracings", (3, 4096, 12), "f4", external=kept)


def _ids(file):
    file["tracings"] = padded(ECGS)
    file["exam_id"] = np.arange(3)


@pytest.mark.parametrize(
    ("build", "options", "match"),
    [
        (lambda f: f.create_dataset("x", data=[1, 2]), NOTHING, r"'x' \(2,\), but neither"),
        (lambda f: None, NOTHING, "contains nothing, but neither"),
        (lambda f: f.create_group("tracings"), NOTHING, "not a dataset"),
        (lambda f: f.create_dataset("tracings", data=ECGS), NOTHING, "recordings, samples, leads"),
        (lambda f: f.create_dataset("tracings", data=ECGS[0]), NOTHING, r"shape \(12, 4000\)"),
        (lambda f: f.create_dataset("data", data=ECGS), NOTHING, "give file_sampling_rate"),
        (_attribute("unit", "furlong"), NOTHING, "two values of unit"),
        (_attribute("sampling_rate", 500), NOTHING, "two values of sampling_rate"),
        (_attribute("sampling_rate", [1, 2]), NOTHING, r"sampling_rate has shape \(2,\)"),
        (_attribute("leads", [1, 2]), NOTHING, "'leads' has shape"),
        (_attribute("records", ["a"]), NOTHING, "4 recordings, but 1 records"),
        (_attribute("x", 1), ReadOptions(500), "250 Hz, but file_sampling_rate=500"),
        (_huge, NOTHING, "bytes; it has 0"),
        (_large_chunk, NOTHING, "bytes; it has 0"),
        (_elsewhere, NOTHING, "in another file"),
        (lambda f: f.__setitem__("tracings", h5py.SoftLink("/tracings")), NOTHING, "is a link"),
        (lambda f: f.__setitem__("data", h5py.ExternalLink("a", "/x")), NOTHING, "is a link"),
        (_ids, NOTHING, r"'exam_id' has shape \(3,\)"),
        (lambda f: f.create_dataset("tracings", data=padded(ECGS).astype(int)), NOTHING, "unit"),
        (lambda f: f.create_dataset("tracings", data=padded(ECGS)), ReadOptions(500), "400 Hz"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(tmp_path, build, options, match):
    path = written(tmp_path / "x.h5", build)
    with pytest.raises(RecordError, match=match):
        FORMAT.scan(path, options)


def test_infinite_samples_are_refused(tmp_path):
    path = with_tracings(tmp_path / "x.h5", padded(ECGS))
    with h5py.File(path, "a") as file:
        file["tracings"][1, 2000, 3] = np.inf
        file["tracings"][2, 2000, 3] = np.nan
    ecgs = FORMAT.scan(path, NOTHING)
    with pytest.raises(RecordError, match="infinite"):
        FORMAT.read(ecgs[1], STANDARD_LEADS, NOTHING)
    assert np.isnan(FORMAT.read(ecgs[2], STANDARD_LEADS, NOTHING)).sum() == 1


@pytest.mark.parametrize("n_bytes", [8, 1000, -5000])
def test_cut_files_are_refused(tmp_path, n_bytes):
    path = code(tmp_path / "x.h5")
    (tmp_path / "x.h5").write_bytes((tmp_path / "x.h5").read_bytes()[:n_bytes])
    for method in (FORMAT.count, FORMAT.scan):
        with pytest.raises(RecordError, match="cannot be read as HDF5"):
            method(path, NOTHING)


def test_a_file_that_is_replaced_after_the_listing_is_refused(tmp_path):
    path = code(tmp_path / "x.h5")
    ecg = FORMAT.scan(path, NOTHING)[2]
    code(path, [ECGS[0], ECGS[1], ECGS[2], ECGS[3]])
    with pytest.raises(RecordError, match="replaced"):
        FORMAT.read(ecg, STANDARD_LEADS, NOTHING)
