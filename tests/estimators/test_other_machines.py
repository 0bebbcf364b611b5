"""Models on a machine with other devices than the one where they were fitted."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

import ecgsk
from ecgsk import MTECGClassifier
from tests._device_stand_in import DEVICE, DeviceStandIn
from tests._devices import machine
from tests._models import RATE, recordings

X, Y = recordings(12)
QUICK = {"sampling_rate": RATE, "max_epochs": 1, "random_state": 0, "precision": "float32"}
MODEL = MTECGClassifier({"preset": "nano", "width": 16, "depth": 1}, **QUICK)


def pickled(model, folder):
    return pickle.loads(pickle.dumps(model))


def by_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def saved(model, folder):
    ecgsk.save(model, folder / "model.ecgsk")
    return ecgsk.load(folder / "model.ecgsk")


WAYS = pytest.mark.parametrize("copied", [pickled, by_joblib, saved])


@WAYS
def test_a_model_of_a_gpu_predicts_where_there_is_none(copied, tmp_path):
    with DeviceStandIn():
        fitted = clone(MODEL).fit(X, Y)
        state = pickle.dumps(fitted)
    # The net was on a device that is not here; the parameter is "auto".
    model = copied(pickle.loads(state), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.predict_proba(X).shape == (12, 2)
    assert model.device_ == model.net_.device == "cpu" and isinstance(model.device_, str)


@WAYS
@pytest.mark.parametrize("device", ["cuda:1", "cuda", "mps", "xpu:3", torch.device("cuda:1")])
def test_a_model_that_names_a_missing_device_predicts_on_the_cpu(copied, device, tmp_path):
    fitted = clone(MODEL).set_params(device="cpu").fit(X, Y)
    wanted = fitted.predict_proba(X)
    with machine():
        model = copied(fitted.set_params(device=device), tmp_path)
        with pytest.warns(UserWarning, match=f"on device='cpu' instead: device='{device}'"):
            np.testing.assert_array_equal(model.predict_proba(X), wanted)
        assert model.device_ == "cpu"
        # Nobody but the user can have set this one.
        model.set_params(device="cuda:7")
        with pytest.raises(ValueError, match="'cuda:7' is not available"):
            model.predict_proba(X)


@WAYS
def test_a_model_moves_to_the_gpu_of_the_machine_that_predicts(copied, tmp_path):
    fitted = clone(MODEL).set_params(device="cpu").fit(X, Y)
    model = copied(fitted.set_params(device="auto"), tmp_path)
    with DeviceStandIn():
        assert model.predict_proba(X).shape == (12, 2)
        assert model.device_ == model.net_.device == DEVICE
        assert model.set_params(device="cpu").transform(X).shape == (12, 16)
        assert model.device_ == model.net_.device == "cpu"


def test_a_forked_process_predicts_on_the_cpu(tmp_path):
    fitted = clone(MODEL).set_params(device="cpu").fit(X, Y)
    wanted = fitted.predict_proba(X)
    for device in ("auto", "cuda"):
        content = pickle.dumps(fitted.set_params(device=device))
        with machine(cuda=1, initialized=True, forked=True):
            model = pickle.loads(content)
            with pytest.warns(UserWarning, match="forked"):
                np.testing.assert_array_equal(model.predict_proba(X), wanted)
            assert model.device_ == "cpu"
