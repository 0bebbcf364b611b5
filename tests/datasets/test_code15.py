"""CODE-15 from synthetic files in its layout."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ecgsk import STANDARD_LEADS, RecordArray, load_ecg
from ecgsk.datasets import RecordsLeftOutWarning, load_code15
from tests._code15_files import LABELS, code15_signals, exams, write_code15, write_part

h5py = pytest.importorskip("h5py")

# In the order of the table.
SIGNALS = [code15_signals()[i] for i in (2, 0, 3, 1)]
pytestmark = pytest.mark.filterwarnings("error::UserWarning")


def shorter(n_exams=4):
    return pytest.warns(UserWarning, match=f"1 of {n_exams} exams are shorter than n_samples=4000")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_code15(tmp_path_factory.mktemp("code15"))


@pytest.fixture
def own(tmp_path):
    return write_code15(tmp_path / "code15")


def middle(signal, n_samples):
    """Return the middle of a recording, with zeros around a shorter one."""
    surplus = signal.shape[1] - n_samples
    if surplus >= 0:
        return signal[:, surplus // 2 : surplus // 2 + n_samples]
    return np.pad(signal, [(0, 0), (-surplus // 2, -surplus - -surplus // 2)])


@pytest.mark.parametrize("lazy", [True, False])
def test_exams_have_the_middle_of_the_signal_that_belongs_to_their_number(folder, lazy):
    with shorter():
        ecgs = load_code15(folder, lazy=lazy)
    assert isinstance(ecgs.data, RecordArray) == lazy
    expected = np.stack([middle(signal, 4000) for signal in SIGNALS])
    assert_array_equal(np.asarray(ecgs.data), expected)
    assert ecgs.metadata.index.tolist() == [103, 101, 104, 102]
    assert ecgs.n_recorded.tolist() == [2800, 4096, 4000, 4000]
    assert ecgs.groups.tolist() == [8, 7, 9, 8]
    assert ecgs.target_names == LABELS
    assert_array_equal(ecgs.target, [[0] * 6, [0, 1, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0], [0] * 6])
    assert_array_equal(ecgs.covariates, [[48, 1], [61, 0], [30, 0], [93, 1]])
    assert not ecgs.age_over_89.any() and ecgs.unreadable == []
    assert (ecgs.sampling_rate, ecgs.lead_names) == (400, list(STANDARD_LEADS))
    assert ecgs.metadata["timey"].isna().sum() == 2
    assert "CC BY 4.0" in ecgs.DESCR and "4 exams of 3 patients" in ecgs.DESCR


def test_all_4096_samples_are_as_in_the_files(folder):
    with pytest.warns(UserWarning, match="3 of 4 exams are shorter"):
        data = load_code15(folder / "exams.csv", n_samples=4096).data
    with h5py.File(folder / "exams_part0.hdf5") as file:
        tracings = file["tracings"][()].transpose(0, 2, 1)
    assert_array_equal(data[[3, 1, 0]], tracings[:3])
    again = pickle.loads(pickle.dumps(data))
    assert_array_equal(again[::-1].read([0, 2]), data.read([3, 1]))
    assert again.sampling_rate == 400 and again.leads == STANDARD_LEADS


def test_shorter_exams_can_be_left_out(folder):
    with pytest.warns(RecordsLeftOutWarning, match="of the others, 1 are shorter than n_samples"):
        ecgs = load_code15(folder, shorter="leave_out")
    assert ecgs.metadata.index.tolist() == [101, 104, 102] and ecgs.left_out.shorter == 1
    X, y = load_code15(folder, n_samples=2800, return_X_y=True, lazy=False)
    assert X.shape == (4, 12, 2800) and y.shape == (4, 6)
    assert_array_equal(X[0], SIGNALS[0])


def test_exams_of_missing_parts_and_numbers_are_left_out(own):
    (own / "exams_part1.hdf5").unlink()
    signals = code15_signals()
    write_part(own / "exams_part0.hdf5", [signals[0], np.zeros((12, 0))], [101, 102])
    with pytest.warns(
        RecordsLeftOutWarning, match="1 exams were loaded.*2 were not found, 1 cannot"
    ):
        ecgs = load_code15(own)
    assert ecgs.metadata.index.tolist() == [101]
    assert ecgs.left_out == {"not_found": 2, "unreadable": 1, "shorter": 0}
    reasons = [reason for _, reason in ecgs.unreadable]
    assert reasons[0] == "exam_id 103 is not in it"
    assert "cannot be opened" in reasons[1] and reasons[2] == "exam_id 102 has only zeros"
    with pytest.raises(ValueError, match="exam_id 103 is not in it"):
        load_code15(own, on_error="raise")


def test_numbers_that_occur_twice_are_left_out(own):
    signals = code15_signals()
    write_part(own / "exams_part0.hdf5", signals[:3], [101, 102, 102])
    with pytest.warns(RecordsLeftOutWarning):
        ecgs = load_code15(own)
    assert ecgs.metadata.index.tolist() == [101, 104]
    assert "exam_id 102 occurs more than once" in str(ecgs.unreadable)


def test_files_that_are_something_else_are_left_out(own):
    (own / "exams_part1.hdf5").write_bytes(b"?" * 100)
    with h5py.File(own / "exams_part0.hdf5", "a") as file:
        file["tracings"][...] = file["tracings"][()][..., [0, 1, 2, 4, 5, 3, *range(6, 12)]]
    with pytest.raises(ValueError, match="no exam is left"):
        load_code15(own)
    write_code15(own)
    (own / "exams_part1.hdf5").write_bytes(b"?" * 100)
    with shorter(3), pytest.warns(RecordsLeftOutWarning, match="cannot be read as HDF5"):
        assert len(load_code15(own).data) == 3


def test_infinite_samples_are_left_out_when_all_is_read(own):
    with h5py.File(own / "exams_part0.hdf5", "a") as file:
        file["tracings"][1, 2000, 5] = np.inf
    with shorter(3), pytest.warns(RecordsLeftOutWarning, match="exam_id 101 has samples"):
        ecgs = load_code15(own, lazy=False)
    assert ecgs.metadata.index.tolist() == [103, 104, 102] and len(ecgs.data) == 3
    with pytest.raises(ValueError, match="NaN or infinite"):
        load_code15(own, lazy=False, on_error="raise")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"AF": [False, "maybe", True, True]}, "row 1 (exam_id 101) has no usable AF"),
        ({"patient_id": [8, None, 9, 8]}, "has no usable patient_id"),
        ({"exam_id": [103, None, 104, 102]}, "has no usable exam_id"),
        ({"trace_file": ["exams_part0.hdf5", None, "exams_part1.hdf5", "exams_part0.hdf5"]},
         "has no usable trace_file"),
        ({"trace_file": ["exams_part0.hdf5", "../../etc/passwd", "exams_part1.hdf5",
                         "exams_part0.hdf5"]}, "cannot be opened"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_understood_are_left_out(own, changed, reason):
    exams(**changed).to_csv(own / "exams.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ecgs = load_code15(own)
    assert ecgs.metadata.index.tolist() == [103, 104, 102]
    assert [reason in text for _, text in ecgs.unreadable] == [True]


def test_a_table_that_a_spreadsheet_saved_is_read(own):
    table = exams(AF=[0, 1, 0, 0], is_male=["False", "TRUE", "true", 0])
    table.to_csv(own / "exams.csv", sep=";", decimal=",", index=False, encoding="utf-16")
    with shorter():
        ecgs = load_code15(own)
    assert_array_equal(ecgs.target[:, 5], [0, 1, 0, 0])
    assert ecgs.covariates["sex"].tolist() == [1, 0, 0, 1]


def test_errors_name_what_is_missing(own, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"contains no exams\.csv"):
        load_code15(tmp_path)
    exams().drop(columns=["AF", "patient_id"]).to_csv(own / "exams.csv", index=False)
    with pytest.raises(ValueError, match="no column patient_id, AF"):
        load_code15(own)
    with pytest.raises(ValueError, match="n_samples"):
        load_code15(own, n_samples=5000)


def test_load_ecg_reads_the_same_samples_without_zeros(folder):
    with pytest.warns(UserWarning, match="records differ"):
        ecgs = load_ecg(folder)
    assert ecgs.metadata["record"].tolist() == [
        "exams_part0[0]", "exams_part0[1]", "exams_part0[2]", "exams_part1[0]"
    ]  # fmt: skip
    assert [c["exam_id"] for c in ecgs.metadata["comments"]] == ["102", "101", "103", "104"]
    for data, place in zip(ecgs.data, (3, 1, 0, 2), strict=True):
        assert_array_equal(data, SIGNALS[place])
    # The table of labels in the folder is not a recording.
    assert ecgs.left_out == []
