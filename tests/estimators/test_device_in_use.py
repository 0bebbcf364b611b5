"""A fitted network is where the parameter ``device`` says when it is used."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from ecgsk import MTECGClassifier, MTECGPretrainer
from ecgsk._core.content import content_digest
from ecgsk.estimators import _device_in_use
from ecgsk.model_selection._search_fingerprint import search_fingerprint
from ecgsk.tabular import ProbabilityTransformer
from tests._device_stand_in import DeviceStandIn
from tests._models import RATE, recordings, small_models

X, Y = recordings(8)
QUICK = {"max_epochs": 1, "batch_size": 4, "device": "cpu"}


def where(model) -> set:
    module = model.net_.module_
    return {str(value.device) for value in [*module.parameters(), *module.buffers()]}


def fitted(name="mtecg", **params):
    return small_models()[name].set_params(**QUICK, **params).fit(X, Y)


@pytest.mark.parametrize("name", small_models())
def test_set_params_moves_the_network_at_the_next_prediction(name):
    model = fitted(name)
    assert where(model) == {"cpu"} and model.device_ == "cpu"
    with DeviceStandIn("cuda"):
        model.set_params(device="auto")
        for method in (model.predict_proba, model.transform):
            method(X)
            assert where(model) == {"meta"} and model.device_ == model.net_.device == "meta"


def test_it_moves_back_and_answers_as_before():
    model = fitted()
    before = model.predict_proba(X)
    state = {name: value.clone() for name, value in model.net_.module_.state_dict().items()}
    with DeviceStandIn("cuda"):
        model.set_params(device="auto").predict_proba(X)
    # The stand-in keeps no values; a GPU does.
    model.net_.module_.to_empty(device="cpu")
    model.net_.module_.load_state_dict(state)
    model.net_.device = "cpu"
    np.testing.assert_array_equal(model.set_params(device="cpu").predict_proba(X), before)
    assert model.device_ == "cpu"


def test_weights_are_read_once_for_all_devices():
    model = MTECGClassifier.from_pretrained(sampling_rate=RATE, device="cpu")
    ecg = np.zeros((2, 12, 1000), np.float32) + np.sin(np.arange(1000) / 9).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # twelve leads alike
        model.predict_proba(ecg)
        net = model.net_
        assert model.device_ == "cpu"
        with DeviceStandIn("cuda"):
            model.set_params(device="auto").predict_proba(ecg)
            assert model.device_ == "meta" and model.net_ is net and where(model) == {"meta"}


def test_pretrainers_move_too():
    model = MTECGPretrainer("nano", sampling_rate=RATE, random_state=0, **QUICK).fit(X)
    with DeviceStandIn("mps"):
        model.set_params(device="auto")
        model.transform(X)
        assert where(model) == {"meta"} and model.device_ == "meta"
        model.score(X)
        model.reconstruct(X)


def test_a_device_that_is_not_here_is_refused_once_it_is_set():
    model = fitted().set_params(device="cuda:7")
    with pytest.raises(ValueError, match="device='cuda:7' is not available; here there are"):
        model.predict_proba(X)
    assert where(model) == {"cpu"}
    model.set_params(device="gpu")
    with pytest.raises(ValueError, match="Names of devices are 'cpu', 'cuda'"):
        model.predict_proba(X)
    model.set_params(device="cpu").predict_proba(X)


def test_another_engine_computes_on_the_cpu(monkeypatch):
    model = fitted().set_params(device="auto", backend="onnxruntime")
    monkeypatch.setattr(_device_in_use, "resolve_device", lambda device: "meta")
    assert _device_in_use.device_for_prediction(model) == "cpu"


def test_a_pickle_does_not_say_where_it_was_made():
    model = fitted()
    state = model.__getstate__()
    again = pickle.loads(pickle.dumps(model))
    assert "_device_loaded" not in again.__getstate__() and set(again.__getstate__()) == set(state)
    assert isinstance(again.device_, str)
    again.set_params(device=torch.device("cpu")).predict_proba(X)
    assert again.device_ == "cpu"


def test_the_content_of_a_model_may_be_compared_without_its_device():
    model = fitted()
    here, anywhere = content_digest(model), content_digest(model, anywhere=True)
    with DeviceStandIn("cuda"):
        moved = model.set_params(device="auto")
        moved.predict_proba(X)
        there = content_digest(moved)
    assert there != here
    assert content_digest(fitted(), anywhere=True) == anywhere


def test_of_a_device_only_its_kind_belongs_to_the_content_and_nothing_to_a_search(monkeypatch):
    monkeypatch.setattr("ecgsk.estimators._estimator.place", lambda estimator, net: None)
    model = fitted()
    contents, searches = [], []
    for device in ("cpu", "cuda:0", "cuda:1"):
        model.net_.device = device
        contents.append(content_digest(model))
        searches.append(
            search_fingerprint(
                X=X, y=Y, folds=[], params={}, space={}, scoring=[],
                estimator=ProbabilityTransformer(FrozenEstimator(model)), strict=True,
            )
        )  # fmt: skip
    assert contents[0] != contents[1] == contents[2]
    assert searches[0] == searches[1] == searches[2]
