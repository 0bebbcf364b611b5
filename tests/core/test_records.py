import pickle
from functools import partial

import numpy as np
import pandas as pd
import psutil
import pytest
import sklearn
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.utils import _safe_indexing
from torch import nn

from ecgsk import STANDARD_LEADS, NetworkClassifier, RecordArray, check_ecg, make_ecg
from ecgsk._core.fingerprint import fingerprint
from ecgsk._core.records import is_lazy, is_prepared
from ecgsk.inspection._class_probability import with_table
from ecgsk.preprocessing import BandPass


class OneLayer(nn.Module):
    def __init__(self, n_leads, n_samples, n_outputs):
        super().__init__()
        self.convolution = nn.Conv1d(n_leads, 4, 9, stride=8)
        self.head = nn.Linear(4, n_outputs)

    def features(self, x):
        return self.convolution(x).relu().mean(dim=2)


@pytest.fixture
def array():
    return np.random.default_rng(0).normal(size=(20, 3, 8)).astype(np.float32)


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(4),
        slice(2, 15, 3),
        slice(None, None, -1),
        [5, 1, 1],
        np.arange(20) % 3 == 0,
        (slice(1, 4), 2),
        (slice(None), slice(0, 2), slice(3, None)),
        (np.array([7, 3]), Ellipsis),
        (4, 1),
    ],
)
def test_indexing_is_that_of_an_array(array, key):
    expected = array[key]
    np.testing.assert_array_equal(np.asarray(RecordArray.wrap(array)[key]), expected)


def test_subsets_of_subsets_stay_lazy_and_right(array):
    subset = RecordArray.wrap(array)[2:18][[1, 5, 9]][1:]
    assert isinstance(subset, RecordArray)
    np.testing.assert_array_equal(np.asarray(subset), array[2:18][[1, 5, 9]][1:])


def test_nothing_is_read_by_indexing_or_splitting():
    def read(rows):
        raise AssertionError("read")

    X = RecordArray(read, (100, 12, 10))
    for train, test in GroupKFold(3).split(X, groups=np.arange(100) // 4):
        assert len(_safe_indexing(X, train)) + len(_safe_indexing(X, test)) == 100


def test_out_of_range(array):
    with pytest.raises(IndexError, match="record 20 is out of range: there are 20"):
        RecordArray.wrap(array)[20]


def test_a_source_of_wrong_shape_is_named():
    X = RecordArray(lambda rows: np.zeros((len(rows), 12, 9)), (5, 12, 10))
    with pytest.raises(ValueError, match=r"lambda> returned shape \(2, 12, 9\) for 2 records; exp"):
        X.read([0, 1])


def read_code15(path, indices):
    """Read (n, 4096, 12) in 0.1 mV, zeros before and after the 4000 samples of 10 s."""
    with pytest.importorskip("h5py").File(path, "r") as file:
        return 0.1 * file["tracings"][indices, 48:4048].transpose(0, 2, 1)


def test_a_function_that_indexes_an_h5py_dataset_serves_every_order(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "exams_part0.hdf5"
    signals = make_ecg(12, sampling_rate=400, random_state=0)
    padded = np.pad(10 * signals.transpose(0, 2, 1), [(0, 0), (48, 48), (0, 0)])
    with h5py.File(path, "w") as file:
        file["tracings"] = padded
    X = RecordArray(
        partial(read_code15, path), (12, 12, 4000), sampling_rate=400, leads=STANDARD_LEADS
    )
    for rows in ([5, 1, 1, 7], [3], [], range(11, -1, -1), [0, 1, 2], [-1, -2, -1]):
        np.testing.assert_allclose(X.read(rows), signals[list(rows)], atol=1e-5)
        np.testing.assert_allclose(X[list(rows)][::-1], signals[list(rows)][::-1], atol=1e-5)
    model = NetworkClassifier(OneLayer, sampling_rate=None, max_epochs=1, random_state=0)
    folds = KFold(2, shuffle=True, random_state=0)
    assert len(cross_val_score(model, X, np.arange(12) % 2, cv=folds)) == 2


def test_an_open_h5py_dataset_is_wrapped(tmp_path, array):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        X = RecordArray.wrap(file.create_dataset("x", data=array), sampling_rate=100)
        for rows in ([5, 1, 1, 7], range(11, -1, -1), [0, 1, 2]):
            np.testing.assert_array_equal(X.read(rows), array[list(rows)])
        assert check_ecg(X, n_leads=3).sampling_rate == 100


def test_a_function_gets_ascending_indices_once_each(array):
    seen = []

    def read(indices):
        seen.append(indices.tolist())
        return array[indices]

    X = RecordArray(read, array.shape)
    np.testing.assert_array_equal(X[[9, 2, 2, 5]].read([3, 0, 1, 1]), array[[5, 9, 2, 2]])
    np.testing.assert_array_equal(X[::-2].map(np.negative, (3, 8)).read([0, 1]), -array[[19, 17]])
    assert seen == [[2, 5, 9], [17, 19]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda n: np.zeros((n, 10, 12)), r"read returned shape .* look swapped: return records."),
        (lambda n: np.zeros((n + 1, 12, 10)), r"shape \(3, 12, 10\) for 2 records"),
        (lambda n: np.zeros((12, 10)), "a record for each index"),
        (lambda n: [np.zeros((12, 10)), np.zeros((12, 9))], "read returned records that are no ar"),
        (lambda n: None, r"read returned shape \(\)"),
        (lambda n: np.zeros((n, 12, 10), "M8[s]"), "read returned datetime64"),
        (lambda n: np.full((n, 12, 10), "1"), "read returned <U1; expected numbers"),
        (lambda n: np.zeros((n, 12, 10), complex), "read returned complex128"),
    ],
)
def test_what_a_function_returns_is_checked_and_the_function_named(returned, message):
    def read(indices):
        return returned(len(indices))

    for X in (RecordArray(read, (5, 12, 10)), RecordArray(partial(read), (5, 12, 10))[::-1]):
        with pytest.raises((ValueError, TypeError), match=message):
            X.read([0, 1])


def test_dates_and_text_are_not_wrapped(array):
    with pytest.raises(TypeError, match="array holds datetime64"):
        RecordArray.wrap(array.astype("M8[s]"))


def test_masked_samples_are_missing(array):
    masked = np.ma.MaskedArray(array, mask=array > 2.5)
    expected = np.where(array > 2.5, np.nan, array)
    assert np.isnan(expected).any()
    for X in (RecordArray.wrap(masked), RecordArray(lambda rows: masked[rows], array.shape)):
        np.testing.assert_array_equal(np.asarray(X[::-1]), expected[::-1])
        np.testing.assert_array_equal(X.read([5, 1, 1]), expected[[5, 1, 1]])


def test_map_is_applied_on_reading(array):
    doubled = RecordArray.wrap(array).map(lambda batch: 2 * batch[:, :2], (2, 8))
    np.testing.assert_array_equal(np.asarray(doubled[4:6]), 2 * array[4:6, :2])


def test_pickle(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    X = RecordArray.wrap(np.load(tmp_path / "x.npy"))[3:9]
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(X))), array[3:9])


def test_memory_maps_are_lazy_beyond_the_working_memory(tmp_path, array):
    np.save(tmp_path / "x.npy", np.tile(array, (100, 1, 100)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert not is_lazy(mapped)
    with sklearn.config_context(working_memory=1):
        assert is_lazy(mapped)
        assert not is_lazy(np.asarray(array))


def test_changes_of_a_copy_on_write_map_survive_reading(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[3] = 7
    X = RecordArray.wrap(mapped)
    X.read([0, 1])
    assert (X.read([3]) == 7).all()


def test_streaming_a_memory_map_leaves_no_pages_resident(tmp_path):
    path = tmp_path / "x.npy"
    big = np.lib.format.open_memmap(path, "w+", np.float32, (400, 12, 5000))
    big[:] = 0.5
    del big
    X = RecordArray.wrap(np.load(path, mmap_mode="r"))
    before = psutil.Process().memory_info().rss
    for start in range(0, 400, 40):
        X.read(np.arange(start, start + 40))
    grown = psutil.Process().memory_info().rss - before
    assert grown < 50e6  # the file is 96 MB


@pytest.mark.parametrize("key", [None, np.zeros((2, 2), int), [[1, 2]]])
def test_odd_indices_are_refused_at_once(array, key):
    with pytest.raises(IndexError, match="an integer, a slice, or a list"):
        RecordArray.wrap(array)[key]


def test_a_zero_dimensional_index_is_an_integer(array):
    np.testing.assert_array_equal(RecordArray.wrap(array)[np.array(3)], array[3])


def test_only_three_dimensions_are_wrapped():
    with pytest.raises(ValueError, match=r"shape \(4, 5\); expected \(n_records"):
        RecordArray.wrap(np.zeros((4, 5)))


def test_a_table_stays_with_its_records(array):
    table = pd.DataFrame({"age": np.arange(20.0)}, index=[f"r{i}" for i in range(20)])
    X = RecordArray.wrap(array, table=table)
    mask = pd.Series(np.arange(20) % 3 == 0, index=np.arange(20)[::-1])
    for key in (slice(2, 15, 3), [5, 1, 1], np.asarray(mask), mask):
        expected = np.arange(20)[key if isinstance(key, slice) else np.asarray(key)]
        assert X[key].table["age"].tolist() == expected.tolist()
        assert X[key][:2].table["age"].tolist() == expected[:2].tolist()
    for _, test in GroupKFold(3).split(X, groups=np.arange(20) // 2):
        assert _safe_indexing(X, test).table["age"].tolist() == test.tolist()
    assert check_ecg(X[4:6], n_leads=3).table["age"].tolist() == [4, 5]
    assert X.map(np.negative, (3, 8)).table.equals(table)
    assert pickle.loads(pickle.dumps(X)).table.equals(table)
    assert BandPass(0.5, 40, sampling_rate=100).transform(X[:3]).table.equals(table[:3])


def test_rate_and_leads_stay_with_the_records(array):
    X = RecordArray.wrap(array, sampling_rate=100, leads=["I", "II", "V2"])
    assert repr(X) == (
        "RecordArray(shape=(20, 3, 8), dtype=float32, sampling_rate=100, leads=('I', 'II', 'V2'))"
    )
    same = (
        X[3:],
        X[[1, 1]],
        X[np.arange(20) > 4][::-1],
        X.map(np.negative, (3, 8)),
        X.read_by(X.read),
        check_ecg(X, n_leads=3),
        RecordArray.wrap(X),
        pickle.loads(pickle.dumps(X)),
        _safe_indexing(X, [4, 2]),
        with_table(X, array),
    )
    for other in same:
        assert (other.sampling_rate, other.leads) == (100, ("I", "II", "V2"))
    shorter = X.map(lambda batch: batch[:, :, :4], (3, 4))
    assert (shorter.sampling_rate, shorter.leads) == (None, X.leads)
    fewer = X.map(lambda batch: batch[:, :1], (1, 8), leads=["I"])
    assert (fewer.sampling_rate, fewer.leads) == (100, ("I",))
    assert fewer.map(np.negative, (1, 8), sampling_rate=50).sampling_rate == 50


def test_wrapped_records_keep_what_is_not_given(array):
    table = pd.DataFrame({"age": np.arange(20.0)})
    X = RecordArray.wrap(array, table, sampling_rate=100, leads=["I", "II", "V2"])
    again = RecordArray.wrap(X, sampling_rate=250)
    assert again.table.equals(table)
    assert (again.sampling_rate, again.leads) == (250, X.leads)
    np.testing.assert_array_equal(np.asarray(again[3:5]), array[3:5])


def test_pickles_without_rate_and_leads_still_load(array):
    X = RecordArray.wrap(array)
    del X.sampling_rate, X.leads
    loaded = pickle.loads(pickle.dumps(X))
    assert loaded.sampling_rate is None and loaded.leads is None
    assert check_ecg(loaded[:2], n_leads=3).shape == (2, 3, 8)


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf, "100", True])
def test_rates_that_are_none_are_refused(array, rate):
    with pytest.raises(ValueError, match="sampling_rate=.* give a positive number in Hz"):
        RecordArray.wrap(array, sampling_rate=rate)


@pytest.mark.parametrize("leads", [["I", "II"], ["I", "I", "II"], "abc", [1, 2, 3], []])
def test_leads_that_do_not_name_each_lead_are_refused(array, leads):
    with pytest.raises(ValueError, match="a different name for each of the 3 leads"):
        RecordArray.wrap(array, leads=leads)


def test_a_fingerprint_tells_rates_and_leads_apart(array):
    kinds = [{}, {"sampling_rate": 100}, {"sampling_rate": 250}, {"leads": ["I", "II", "III"]}]
    assert len({fingerprint(RecordArray.wrap(array, **kind)) for kind in kinds}) == 4


def test_a_table_of_other_records_is_refused(array):
    with pytest.raises(ValueError, match="19 rows for 20 records"):
        RecordArray.wrap(array, table=pd.DataFrame({"age": np.zeros(19)}))


def test_prepared_recordings_are_recognized_behind_checks_slices_and_wrappers(array):
    stored = RecordArray.wrap(array)
    for records in (stored, check_ecg(stored, n_leads=None), RecordArray.wrap(stored)[::2]):
        assert not is_prepared(records)
        prepared = records.map(np.negative, records.shape[1:])
        for further in (prepared, prepared[:1], check_ecg(prepared, n_leads=None)):
            assert is_prepared(further)
            assert is_prepared(RecordArray.wrap(further))
