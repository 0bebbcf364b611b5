"""Results under a default device of torch: torch.set_default_device("cuda") of a user."""

import pickle
import threading

import numpy as np
import pytest
import torch
from _networks import WithBranches
from sklearn.base import clone

import ecgsk
from ecgsk import ECGFounderClassifier, MTECGClassifier, MTECGPretrainer, NetworkClassifier
from ecgsk._training import Checkpoint
from ecgsk.estimators import Distillation, ECGAugmentation, FullTraining, LinearProbe

X = np.random.default_rng(0).normal(scale=0.2, size=(8, 12, 1000)).astype(np.float32)
y = np.arange(8) % 2
SETTINGS = {
    "sampling_rate": 100,
    "max_epochs": 2,
    "batch_size": 4,
    "precision": "float32",
    "random_state": 0,
    "device": "cpu",
}
ALL = {
    "strategy": FullTraining(dropout=0.1, stochastic_depth=0.1),
    "augmentation": ECGAugmentation(),
    "weight_averaging": 0.9,
    "head_init": "prior",
    "class_weight": "balanced",
    "early_stopping": True,
    "distillation": Distillation(MTECGClassifier("nano", **SETTINGS).fit(X, y)),
}
MODELS = {
    "mtecg": MTECGClassifier("nano", **SETTINGS, **ALL),
    "linear probe": MTECGClassifier("nano", **SETTINGS, strategy=LinearProbe()),
    "from weights": MTECGClassifier(weights="ptbxl", **{**SETTINGS, "max_epochs": 1}),
    "ecgfounder": ECGFounderClassifier("nano", preprocessing="none", **SETTINGS, **ALL),
    "user's": NetworkClassifier(WithBranches, **SETTINGS, **ALL),
    "pre-trainer": MTECGPretrainer("nano", **SETTINGS, augmentation=ECGAugmentation()),
}


@pytest.fixture
def elsewhere():
    """Return a function that calls another while new tensors have no values."""

    def call(function, *args, **kwargs):
        torch.set_default_device("meta")
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_default_device(None)

    return call


def predictions(model, path):
    """Return what a model predicts, itself, pickled and from a file."""
    ecgsk.save(model, path)
    loaded = ecgsk.load(path, trusted=["_networks.WithBranches"])
    found = []
    for copy in (model, pickle.loads(pickle.dumps(model)), loaded):
        found.append(copy.transform(X))
        found.append(copy.score(X, y))
        predict = getattr(copy, "predict_proba" if hasattr(copy, "classes_") else "reconstruct")
        found.append(predict(X))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_fits_predictions_and_files_are_the_same(name, elsewhere, tmp_path):
    model = MODELS[name]
    expected = predictions(clone(model).fit(X, y), tmp_path / "here.ecgsk")
    fitted = elsewhere(clone(model).fit, X, y)
    found = elsewhere(predictions, fitted, tmp_path / "there.ecgsk")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [MTECGClassifier, MTECGPretrainer])
def test_weights_are_the_same(kind, elsewhere, tmp_path):
    def load_and_write(name):
        model = kind.from_pretrained("ptbxl", sampling_rate=100, device="cpu")
        model.save_weights(tmp_path / name)
        copy = kind(weights=tmp_path / name, sampling_rate=100, device="cpu")
        return model.transform(X), copy.transform(X)

    np.testing.assert_array_equal(elsewhere(load_and_write, "there"), load_and_write("here"))


def test_a_fit_goes_on_from_its_checkpoint(elsewhere, tmp_path, monkeypatch):
    model = clone(MODELS["mtecg"])
    expected = clone(model).fit(X, y).predict_proba(X)
    model.set_params(checkpoint_dir=tmp_path)
    save = Checkpoint.save

    def save_and_die(self, *args):
        save(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        elsewhere(model.fit, X, y)
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed = elsewhere(model.fit, X, y)
    np.testing.assert_array_equal(resumed.predict_proba(X), expected)


def test_another_engine_is_the_same(elsewhere):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = MTECGClassifier("nano", **SETTINGS).fit(X, y).set_params(backend="onnxruntime")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(elsewhere(again.predict_proba, X), model.predict_proba(X))


def test_a_thread_has_a_default_device_of_its_own(elsewhere):
    model = MTECGClassifier("nano", **SETTINGS).fit(X, y)
    expected, found = model.predict_proba(X), []

    def predict():
        torch.set_default_device("meta")
        found.append(model.predict_proba(X))
        assert torch.empty(1).is_meta

    def in_a_thread():
        thread = threading.Thread(target=predict)
        thread.start()
        thread.join()

    in_a_thread()
    elsewhere(in_a_thread)
    assert torch.empty(1).device.type == "cpu"
    for one in found:
        np.testing.assert_array_equal(one, expected)
    assert len(found) == 2
