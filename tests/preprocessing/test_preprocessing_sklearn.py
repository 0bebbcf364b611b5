import pickle
from collections import Counter

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from ecgsk import RecordArray
from ecgsk.preprocessing import (
    BandPass,
    CropPad,
    MedianBaseline,
    Notch,
    Resample,
    SelectLeads,
    Standardize,
)
from ecgsk.preprocessing import _base as base

TRANSFORMERS = [
    BandPass(),
    BandPass(None, 30, order=2),
    BandPass(0.5, None),
    Notch(),
    MedianBaseline(0.1),
    Resample(500, 100),
    Resample(360, 500),
    Standardize(),
    Standardize("lead"),
    SelectLeads(),
    CropPad(60),
    CropPad(7, position="end"),
]
WITH_JOBS = [t for t in TRANSFORMERS if "n_jobs" in t.get_params()]
every = pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(7, 3, 50)).round(3).astype(np.float32)


@every
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_check_estimator(transformer):
    results = check_estimator(transformer, on_fail=None)
    assert [r for r in results if r["status"] in ("failed", "xfail")] == []
    # The array API check needs SCIPY_ARRAY_API in the environment.
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}
    assert Counter(r["status"] for r in results)["passed"] >= 45


@every
def test_input_of_any_kind_gives_the_same_and_is_not_changed(transformer, X, tmp_path):
    expected = transformer.transform(X)
    assert expected.dtype == np.float32
    np.save(tmp_path / "x.npy", X)
    frozen = X.copy()
    frozen.flags.writeable = False
    kinds = {
        "float64": X.astype(np.float64),
        "big endian": X.astype(">f4"),
        "Fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=2)[..., ::2],
        "read-only": frozen,
        "memmap": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "list": X.tolist(),
        "object": X.astype(object),
    }
    for kind, given in kinds.items():
        before = np.array(given, copy=True)
        assert_array_equal(transformer.transform(given), expected, err_msg=kind)
        assert_array_equal(np.asarray(given), before, err_msg=kind)
    counts = (X * 1000).astype(np.int16)
    assert_array_equal(transformer.transform(counts), transformer.transform(counts.astype(float)))


@every
def test_result_is_a_new_array(transformer, X):
    out = transformer.transform(X)
    assert not np.shares_memory(out, X)


@every
def test_two_dimensions_are_one_lead(transformer, X):
    assert_array_equal(transformer.transform(X[:, 0]), transformer.transform(X[:, :1])[:, 0])


@every
def test_records_do_not_depend_on_each_other(transformer, X):
    together = transformer.transform(X)
    alone = [transformer.transform(X[i : i + 1])[0] for i in range(len(X))]
    assert_array_equal(together, alone)


@every
def test_chunks_do_not_matter(transformer, X, monkeypatch):
    expected = transformer.transform(X)
    one_record = lambda n, shape, megabytes=0: (slice(i, i + 1) for i in range(n))  # noqa: E731
    monkeypatch.setattr(base, "batches", one_record)
    assert_array_equal(transformer.transform(X), expected)


@pytest.mark.parametrize("transformer", WITH_JOBS, ids=repr)
def test_n_jobs_does_not_matter(transformer, X, monkeypatch):
    expected = transformer.transform(X)
    monkeypatch.setattr(base, "_CHUNK_MEGABYTES", 0)
    assert_array_equal(clone(transformer).set_params(n_jobs=2).transform(X), expected)
    with joblib.parallel_config("threading", n_jobs=2):
        assert_array_equal(transformer.transform(X), expected)


@every
def test_fit_changes_nothing_and_copies_are_equal(transformer, X):
    expected = transformer.transform(X)
    fitted = clone(transformer).fit(X)
    assert (fitted.n_features_in_, fitted.n_samples_in_) == (3, 50)
    assert repr(fitted) == repr(transformer)
    for same in (fitted, clone(fitted), pickle.loads(pickle.dumps(fitted))):
        assert_array_equal(same.transform(X), expected)


class Reader:
    """Reads records and counts how many."""

    def __init__(self, X):
        self.X, self.n_read = X, 0

    def __call__(self, rows):
        self.n_read += len(rows)
        return self.X[rows]


@every
def test_lazy_input_is_transformed_when_it_is_read(transformer, X):
    reader = Reader(X)
    expected = transformer.transform(X)
    lazy = clone(transformer).fit_transform(RecordArray(reader, X.shape))
    assert isinstance(lazy, RecordArray) and reader.n_read == 0
    assert lazy.shape == expected.shape
    assert_array_equal(lazy.read([5, 2]), expected[[5, 2]])
    assert reader.n_read == 2
    assert_array_equal(np.asarray(lazy), expected)
    assert_array_equal(np.asarray(pickle.loads(pickle.dumps(lazy))[1:3]), expected[1:3])


def test_lazy_result_keeps_the_parameters_it_was_made_with(X):
    transformer = CropPad(10)
    lazy = transformer.transform(RecordArray(Reader(X), X.shape))
    transformer.set_params(n_samples=20)
    assert_array_equal(np.asarray(lazy), X[..., :10])


def test_memmap_larger_than_working_memory_is_lazy(tmp_path, X):
    big = np.tile(X, (100, 1, 20))
    np.save(tmp_path / "big.npy", big)
    mapped = np.load(tmp_path / "big.npy", mmap_mode="r")
    with sklearn.config_context(working_memory=1):
        lazy = Standardize().fit_transform(mapped)
    assert isinstance(lazy, RecordArray)
    assert_array_equal(np.asarray(lazy), Standardize().transform(big))


def test_lazy_input_with_a_hole_raises_when_it_is_read(X):
    X[4, 1, 7] = np.nan
    lazy = BandPass().transform(RecordArray(Reader(X), X.shape))
    assert np.isfinite(lazy.read([0, 1])).all()
    with pytest.raises(ValueError, match="1 of the 2 records read together.*in record 4"):
        lazy.read([3, 4])


def test_cross_validation_of_lazy_recordings(X):
    y = np.arange(7) % 2
    read = FunctionTransformer(np.asarray)
    few = FunctionTransformer(_first_samples)
    model = make_pipeline(Notch(), Standardize(), read, few, LogisticRegression())
    eager = cross_val_predict(model, X, y, cv=3)
    assert_array_equal(cross_val_predict(model, RecordArray(Reader(X), X.shape), y, cv=3), eager)


def test_parameters_are_validated_in_transform_and_can_be_trusted(X):
    with pytest.raises(ValueError, match="'order' parameter of BandPass"):
        BandPass(order=0).transform(X)
    with sklearn.config_context(skip_parameter_validation=True):
        assert CropPad(5.0).set_params(n_samples=np.int64(5)).transform(X).shape == (7, 3, 5)


def test_fit_on_other_recordings_forgets_the_first(X):
    pandas = pytest.importorskip("pandas")
    fitted = Standardize().fit(pandas.DataFrame(X[:, 0]).add_prefix("t"))
    assert fitted.feature_names_in_[1] == "t1"
    fitted.fit(RecordArray(Reader(X), X.shape))
    assert not hasattr(fitted, "feature_names_in_")
    assert (fitted.n_features_in_, fitted.n_samples_in_) == (3, 50)


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_holes_are_counted(method, value, X):
    X[4, 1, 7:9] = X[6, 0, 0] = value
    message = "3 NaN or infinite samples .* in 2 of 7 records, the first in record 4"
    with pytest.raises(ValueError, match=message):
        getattr(Standardize(), method)(X)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5,), "Reshape your data"),
        ((1, 2, 3, 4), "4 dimension"),
        ((0, 12, 9), "0 sample"),
        ((2, 0, 9), "is empty: 2 records, 0 leads"),
        ((2, 12, 0), "is empty: 2 records, 12 leads, 0 samples"),
    ],
)
def test_wrong_shapes(shape, message):
    with pytest.raises(ValueError, match=message):
        Standardize().transform(np.zeros(shape))


def test_other_layout_than_in_fit(X):
    fitted = Standardize().fit(X)
    with pytest.raises(ValueError, match="X has 2 leads, but Standardize was fitted on 3"):
        fitted.transform(X[:, :2])
    with pytest.raises(ValueError, match="X has 2 leads, but Standardize was fitted on 3"):
        fitted.transform(RecordArray(Reader(X[:, :2]), X[:, :2].shape))
    with pytest.raises(ValueError, match="X has 2 dimensions, but Standardize was fitted on 3"):
        fitted.transform(X[:, 0])
    with pytest.raises(ValueError, match="X has 3 dimensions, but Standardize was fitted on 2"):
        Standardize().fit(X[:, 0]).transform(X)
    assert fitted.transform(X[..., :20]).shape == (7, 3, 20)


def chain():
    return make_pipeline(
        SelectLeads(["II", "aVF"], input_leads=["I", "II", "V1"]),
        Resample(500, 250),
        Notch(sampling_rate=250),
        BandPass(sampling_rate=250),
        MedianBaseline(sampling_rate=250),
        CropPad(40),
        Standardize(),
    )


def test_pipeline(X):
    step_by_step = X
    for _, step in chain().steps:
        step_by_step = step.transform(step_by_step)
    assert step_by_step.shape == (7, 2, 40)
    assert_array_equal(chain().fit_transform(X), step_by_step)
    lazy = chain().fit_transform(RecordArray(Reader(X), X.shape))
    assert_array_equal(np.asarray(lazy), step_by_step)


@pytest.mark.parametrize("whole_session", [False, True])
@pytest.mark.filterwarnings("ignore:When `set_output` is configured:UserWarning")
def test_pandas_output_leaves_recordings_an_array(X, whole_session):
    y = np.arange(7) % 2
    flatten = FunctionTransformer(_first_samples)
    pipeline = make_pipeline(*(step for _, step in chain().steps), flatten, LogisticRegression())
    expected = clone(pipeline).fit(X, y).predict_proba(X)
    with sklearn.config_context(transform_output="pandas" if whole_session else "default"):
        if not whole_session:
            pipeline.set_output(transform="pandas")
        assert isinstance(pipeline[:7].fit_transform(X), np.ndarray)
        assert_array_equal(pipeline.fit(X, y).predict_proba(X), expected)


def _first_samples(X):
    return X[:, 0, :5]


@every
def test_pandas_output_of_two_dimensions(transformer, X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:, 0], columns=[f"t{i}" for i in range(50)])
    fitted = clone(transformer).set_output(transform="pandas").fit(frame)
    out = fitted.transform(frame)
    assert isinstance(out, pandas.DataFrame) and out.index.equals(frame.index)
    same_length = out.shape[1] == 50
    prefix = "t" if same_length else type(transformer).__name__.lower()
    assert list(out.columns) == [f"{prefix}{i}" for i in range(out.shape[1])]
    assert_array_equal(out, transformer.transform(X[:, 0]))
    assert not hasattr(fitted.fit(X), "get_feature_names_out")
    assert not hasattr(fitted, "feature_names_in_")


def test_set_output_of_none_changes_nothing(X):
    transformer = Standardize().set_output(transform="pandas").set_output().fit(X[:, 0])
    assert hasattr(transformer.transform(X[:, 0]), "columns")


def test_parameters_can_be_searched():
    assert set(BandPass().get_params()) == {"low", "high", "sampling_rate", "order", "n_jobs"}
