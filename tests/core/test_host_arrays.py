import re

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import torch

from ecgsk import ECGFounderClassifier, MTECGClassifier, MTECGPretrainer, RecordArray, check_ecg
from ecgsk._core.host_arrays import on_host
from ecgsk._core.metadata import check_folds
from ecgsk.inspection import ECGDisplay, ReconstructionDisplay, lead_importance, saliency
from ecgsk.metrics import (
    bootstrap,
    choose_threshold,
    compare_models,
    evaluate_binary,
    evaluate_labels,
    shift_prevalence,
)
from ecgsk.model_selection import MultilabelStratifiedGroupKFold, OptunaSearchCV
from ecgsk.preprocessing import CropPad, Standardize
from ecgsk.tabular import GroupedEBMClassifier, ProbabilityTransformer


class OnDevice:
    """A tensor as it is on a GPU: NumPy cannot read it."""

    def __init__(self, tensor):
        self.tensor = torch.as_tensor(tensor)
        self.shape, self.dtype, self.ndim = tensor.shape, self.tensor.dtype, tensor.ndim
        self.device = torch.device("cuda:0")
        self.requires_grad = self.tensor.is_floating_point()

    def __len__(self):
        return len(self.tensor)

    def __getitem__(self, key):
        return OnDevice(self.tensor[key])

    def __array__(self, *args, **kwargs):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def detach(self):
        found = OnDevice(self.tensor)
        found.requires_grad = False
        return found

    def cpu(self):
        return self.tensor.requires_grad_(self.requires_grad)


class CuPyArray:
    """An array of CuPy."""

    __cuda_array_interface__ = {"version": 3}

    def __init__(self, array):
        self.array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __len__(self):
        return len(self.array)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self):
        return self.array


class OnlyDLPack:
    """An array of a library that NumPy does not know."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __dlpack__(self, **options):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


CONTAINERS = {
    "torch on a GPU": OnDevice,
    "torch with gradients": lambda a: (
        torch.tensor(a).requires_grad_() if a.dtype.kind == "f" else torch.tensor(a)
    ),
    "CuPy": CuPyArray,
    "DLPack": OnlyDLPack,
    "list of tensors": lambda a: [OnDevice(torch.tensor(row)) for row in a],
}


# The conversion is tested with each container, where it is used with some.
@pytest.fixture(params=["torch on a GPU", "list of tensors"])
def container(request):
    return CONTAINERS[request.param]


def recordings(n_records=12, n_leads=2, n_samples=100):
    random = np.random.default_rng(0)
    return random.normal(scale=0.2, size=(n_records, n_leads, n_samples)).astype(np.float32)


X, y, groups = recordings(), np.arange(12) % 2, np.arange(12) // 3
weight, labels = np.linspace(0.5, 1, 12), np.stack([np.arange(12) % 2, np.arange(12) // 6], axis=1)


@pytest.mark.parametrize("name", CONTAINERS)
def test_values_and_types_stay(name):
    for array in (X, y, weight):
        found = np.asarray(on_host(CONTAINERS[name](array)))
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "values", [X, [1, 2], (X[0], X[1]), [[0.5]], "text", None, pd.Series([1]), 3.0]
)
def test_what_numpy_reads_is_the_very_same(values):
    assert on_host(values) is values


@pytest.mark.parametrize("move", [torch.Tensor.cpu, OnDevice])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_types_that_numpy_lacks_become_float32(dtype, move):
    tensor = torch.tensor(X).to(dtype)
    found = on_host(move(tensor))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tensor.float().numpy())


def test_bfloat16_of_jax_becomes_float32():
    found = on_host(X.astype(ml_dtypes.bfloat16))
    assert found.dtype == np.float32
    assert np.abs(found - X).max() < 0.01
    assert check_ecg(X.astype(ml_dtypes.bfloat16), n_leads=2).dtype == np.float32


def test_half_precision_stays_half():
    assert on_host(torch.tensor(X).half()).dtype == np.float16


META = torch.empty(12, 2, 100, device="meta")


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("X", lambda: check_ecg(META)),
        ("X", lambda: check_ecg([META[0]])),
        ("X", lambda: Standardize().transform(META)),
        ("X", lambda: MTECGClassifier("nano", sampling_rate=100).fit(META, y)),
        ("array", lambda: RecordArray.wrap(META)),
        ("y", lambda: MTECGClassifier("nano", sampling_rate=100).fit(X, META[:, 0, 0])),
        ("groups", lambda: bootstrap(np.mean, weight, groups=META[:, 0, 0])),
        ("y_score", lambda: evaluate_binary(y, META[:, 0, 0])),
        ("X", lambda: ProbabilityTransformer(MTECGClassifier("nano")).fit(META, y)),
    ],
)
def test_a_tensor_without_values_is_refused_by_name(name, use):
    with pytest.raises(TypeError, match=f"^{name} is a tensor on the device 'meta'"):
        use()


def test_a_function_that_returns_a_tensor_without_values_is_named():
    def read(rows):
        return META[: len(rows)]

    with pytest.raises(TypeError, match=re.escape("What The function")) as error:
        RecordArray(read, META.shape).read([0])
    assert "read returned is a tensor on the device 'meta'" in str(error.value)


def equal(found, expected):
    if hasattr(expected, "equals"):
        assert found.equals(expected)
    else:
        np.testing.assert_array_equal(found, expected)


SETTINGS = {"sampling_rate": 100, "max_epochs": 1, "batch_size": 4, "random_state": 0}


@pytest.mark.parametrize("kind", [MTECGClassifier, ECGFounderClassifier])
def test_classifiers_take_arrays_of_a_device(kind, container):
    own = {"preprocessing": "none"} if kind is ECGFounderClassifier else {}
    model = kind("nano", early_stopping=True, **SETTINGS, **own)
    expected = model.fit(X, y, sample_weight=weight, groups=groups)
    p, z = expected.predict_proba(X), expected.transform(X)
    accuracy = expected.score(X, y, sample_weight=weight)
    found = kind(**model.get_params(deep=False)).fit(
        container(X), container(y), sample_weight=container(weight), groups=container(groups)
    )
    equal(found.predict_proba(container(X)), p)
    equal(found.transform(container(X)), z)
    assert found.score(container(X), container(y), container(weight)) == accuracy


def test_the_pretrainer_takes_arrays_of_a_device(container):
    model = MTECGPretrainer("nano", **SETTINGS)
    expected = model.fit(X).reconstruct(X), model.transform(X), model.score(X)
    found = MTECGPretrainer("nano", **SETTINGS).fit(container(X))
    equal(found.reconstruct(container(X)), expected[0])
    equal(found.transform(container(X)), expected[1])
    assert found.score(container(X)) == expected[2]


def test_two_dimensions_and_several_labels_may_be_on_a_device(container):
    model = MTECGClassifier("nano", **SETTINGS)
    expected = model.fit(X[:, 0], labels).predict_proba(X[:, 0])
    found = MTECGClassifier("nano", **SETTINGS).fit(container(X[:, 0]), container(labels))
    equal(found.predict_proba(container(X[:, 0])), expected)


def test_recordings_of_a_device_are_checked_and_transformed(container):
    equal(check_ecg(container(X), n_leads=2), X)
    equal(Standardize().transform(container(X)), Standardize().transform(X))
    equal(CropPad(50).fit(container(X)).transform(container(X)), CropPad(50).fit(X).transform(X))


@pytest.mark.parametrize("kind", [OnDevice, CuPyArray, OnlyDLPack])
def test_record_arrays_read_from_a_device(kind):
    equal(np.asarray(RecordArray.wrap(kind(X))), X)
    records = RecordArray(lambda rows: kind(X[rows]), X.shape)
    equal(records.read([3, 1]), X[[3, 1]])
    equal(np.asarray(check_ecg(records, n_leads=2)), X)


def test_metrics_take_arrays_of_a_device(container):
    score = np.random.default_rng(1).random(12)
    table = np.random.default_rng(2).random((12, 2))
    true, on_device = container(y), container(score)
    options = {"n_resamples": 20, "random_state": 0, "groups": groups}
    moved = options | {"groups": container(groups)}
    assert str(evaluate_binary(true, on_device, **moved)) == str(
        evaluate_binary(y, score, **options)
    )
    assert str(evaluate_labels(container(labels), container(table), **moved)) == str(
        evaluate_labels(labels, table, **options)
    )
    assert str(compare_models(true, on_device, on_device, **moved)) == str(
        compare_models(y, score, score, **options)
    )
    shift = {"trained_at": 0.2, "used_at": 0.1}
    equal(shift_prevalence(on_device, **shift), shift_prevalence(score, **shift))
    assert bootstrap(np.mean, on_device, stratify=true, **moved) == bootstrap(
        np.mean, score, stratify=y, **options
    )
    assert choose_threshold(true, on_device) == choose_threshold(y, score)


def test_tables_and_folds_take_arrays_of_a_device(container, tmp_path):
    network = MTECGClassifier("nano", **SETTINGS)
    transformer = ProbabilityTransformer(network, cv=2, random_state=0)
    equal(
        ProbabilityTransformer(network, cv=2, random_state=0).fit_transform(
            container(X), container(y), sample_weight=container(weight), groups=container(groups)
        ),
        transformer.fit_transform(X, y, sample_weight=weight, groups=groups),
    )
    table = X[:, 0, :3].astype(float)
    ebm = GroupedEBMClassifier(max_rounds=2, outer_bags=2, random_state=0)
    expected = ebm.fit(table, y, groups=groups).predict_proba(table)
    found = ebm.fit(container(table), container(y), groups=container(groups))
    equal(found.predict_proba(container(table)), expected)
    splitter = MultilabelStratifiedGroupKFold(2)
    folds = list(splitter.split(X, labels, groups))
    for (train, test), (others, other) in zip(
        splitter.split(container(X), container(labels), container(groups)), folds, strict=True
    ):
        equal(train, others)
        equal(test, other)
    whole = np.arange(3), np.arange(3, 12)
    check_folds([whole], container(groups), None)


def test_a_search_takes_arrays_of_a_device(container):
    search = OptunaSearchCV(
        MTECGClassifier("nano", **SETTINGS), n_trials=1, cv=2, random_state=0, refit=False
    )
    expected = search.fit(X, y, sample_weight=weight).best_score_
    found = search.fit(container(X), container(y), sample_weight=container(weight))
    assert found.best_score_ == expected


def test_explanations_and_plots_take_arrays_of_a_device(container):
    model = MTECGClassifier("nano", **SETTINGS).fit(X, y)
    options = {"sampling_rate": 100, "leads": ["I", "II"]}
    equal(
        saliency(model, container(X[0]), **options).values, saliency(model, X[0], **options).values
    )
    options = {"leads": ["I", "II"], "random_state": 0, "n_resamples": 0}
    equal(
        lead_importance(model, container(X), container(y), **options).table,
        lead_importance(model, X, y, **options).table,
    )
    ECGDisplay(container(X[0]), sampling_rate=100, leads=["I", "II"]).plot(layout="12x1")
    mask = np.ones(100, dtype=bool)
    ReconstructionDisplay(
        container(X[0]), container(X[0]), container(mask), sampling_rate=100, leads=["I", "II"]
    ).plot(shown=None)
