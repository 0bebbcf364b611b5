"""Models whose networks were on a device of another machine, wherever they are in a model."""

import copy
import functools
import pickle
import subprocess
import sys
import warnings
from pathlib import Path, PureWindowsPath

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import ecgsk
from ecgsk import MTECGClassifier, MTECGPretrainer, NetworkClassifier, ProbabilityTransformer
from ecgsk._core.fitted import is_network
from ecgsk._training import random_state
from ecgsk.estimators import Distillation
from ecgsk.persistence import ModelVersionWarning, describe, load, save, set_device
from ecgsk.persistence._parts import parts
from tests._device_stand_in import DEVICE, DeviceStandIn
from tests._devices import machine
from tests._fixtures import RELEASES
from tests._models import RATE, recordings, small_models
from tests._networks import SmallCNN

X, Y = recordings(16)
SMALL = {"preset": "nano", "width": 16, "depth": 1}
CNN = "tests._networks.SmallCNN"


def quick(**params):
    return small_models()["mtecg"].set_params(preset=SMALL, max_epochs=1, device="cpu", **params)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict:
    trained = quick().fit(X, Y)
    weights = tmp_path_factory.mktemp("weights") / "w.safetensors"
    trained.save_weights(weights)
    pretrainer = MTECGPretrainer(SMALL, sampling_rate=RATE, max_epochs=1, device="cpu").fit(X)
    folds = StratifiedKFold(2)
    two = [("a", quick()), ("b", quick(random_state=1))]
    options = {"sampling_rate": RATE, "max_epochs": 1, "device": "cpu", "random_state": 0}
    unfitted = {
        "pipeline": make_pipeline(FunctionTransformer(), quick()),
        "probabilities": make_pipeline(ProbabilityTransformer(quick(), cv=2), LogisticRegression()),
        "frozen": make_pipeline(
            ProbabilityTransformer(FrozenEstimator(trained)), LogisticRegression()
        ),
        "calibrated": CalibratedClassifierCV(quick(), cv=folds),
        "stacked": StackingClassifier(two, cv=folds),
        "voting": VotingClassifier(two, voting="soft"),
        "grid": GridSearchCV(quick(), {"learning_rate": [1e-2]}, cv=folds),
        "threshold": TunedThresholdClassifierCV(quick(), cv=folds),
        "taught": quick(distillation=Distillation(trained)),
        "pretrained": MTECGClassifier(pretrained=pretrainer, **options),
        "user's": NetworkClassifier(SmallCNN, **options),
        "method": make_pipeline(FunctionTransformer(trained.transform), LogisticRegression()),
        "partial": make_pipeline(
            FunctionTransformer(functools.partial(answer_of, model=trained)), LogisticRegression()
        ),
    }
    fitted = {name: model.fit(X, Y) for name, model in unfitted.items()}
    of_weights = MTECGClassifier(weights=weights, sampling_rate=RATE, device="cpu")
    return {**fitted, "trained": trained, "weights": of_weights}


def answer_of(X, model):
    return model.transform(X)


def networks_in(model) -> list:
    return [part for part in parts(model) if is_network(part)]


def as_fitted_on(device, model):
    """Return a copy that a fit on a device of another machine could have left."""
    model = copy.deepcopy(model)
    for network in networks_in(model):
        network.device = device
        if "net_" in vars(network):
            network.device_ = network.net_.device = device
    return model


def saved(model, folder, **options):
    save(model, folder / "model.ecgsk")
    return load(folder / "model.ecgsk", trusted=[CNN], **options)


def pickled(model, folder):
    return pickle.loads(pickle.dumps(model))


def by_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def copied(model, folder):
    return copy.deepcopy(model)


NAMES = (
    "pipeline probabilities frozen calibrated stacked voting grid threshold taught pretrained "
    "user's method partial trained weights"
).split()
ONLY_PICKLED = ("method", "partial")  # a file of ecgsk.save holds no functions with a state
PLACES = [(name, way) for name in NAMES for way in (saved, pickled)]
PLACES = [(name, way) for name, way in PLACES if way is not saved or name not in ONLY_PICKLED]


def with_warnings(function, *arguments):
    """Return the result, and the warnings that a user sees."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        result = function(*arguments)
    return result, [str(w.message) for w in caught], {w.filename for w in caught}


@pytest.mark.filterwarnings("ignore:.*contains types that ecgsk does not know")
@pytest.mark.parametrize(("name", "way"), PLACES)
def test_networks_anywhere_in_a_model_predict_elsewhere(name, way, models, tmp_path):
    model, expected = models[name], models[name].predict_proba(X)
    with machine():
        again = way(as_fitted_on("cuda:1", model), tmp_path)
        assert {network.device for network in networks_in(again)} == {"cuda:1"}
        found, messages, places = with_warnings(lambda: again.predict_proba(X))
        np.testing.assert_array_equal(found, expected)
        assert len(messages) == 1 and places == {__file__}
        assert "'cuda:1' is not available" in messages[0] and "set_device" in messages[0]
        assert with_warnings(again.predict_proba, X)[1] == []
        # What was fitted has moved, and so do networks that have not predicted yet.
        assert set_device(again, torch.device("cpu")) is again
        assert {network.device for network in networks_in(again)} == {"cpu"}
        again = set_device(way(as_fitted_on("mps", model), tmp_path), "auto")
        found, messages, _ = with_warnings(again.predict_proba, X)
        np.testing.assert_array_equal(found, expected)
        assert messages == []


@pytest.mark.parametrize("name", ["calibrated", "trained", "weights"])
@pytest.mark.parametrize("device", ["cpu", "auto", torch.device("cpu")])
def test_load_sets_the_device_of_all_networks(device, name, models, tmp_path):
    again = saved(as_fitted_on("cuda:1", models[name]), tmp_path, device=device)
    assert {network.device for network in networks_in(again)} == {str(device)}
    with machine():
        found, messages, _ = with_warnings(again.predict_proba, X)
    assert messages == []
    np.testing.assert_array_equal(found, models[name].predict_proba(X))
    used = [network for network in networks_in(again) if "net_" in vars(network)]
    assert {network.device_ for network in used} <= {"cpu"}
    assert all(type(network.device_) is str for network in used)


@pytest.mark.parametrize("name", ["pipeline", "stacked", "grid", "weights"])
def test_networks_move_to_the_device_of_load(name, models, tmp_path):
    with DeviceStandIn("cuda"):
        model = saved(models[name], tmp_path, device=DEVICE)
        model.predict_proba(X)
        used = [n for n in networks_in(model) if "net_" in vars(n) or n.weights is not None]
        assert {network.device_ for network in used} == {DEVICE}
        set_device(model, "cpu").predict_proba(X)
        assert {network.device_ for network in used} == {"cpu"}
        set_device(model, "auto").predict_proba(X)
        assert {network.device_ for network in used} == {DEVICE}


def test_a_device_that_is_not_here_is_refused_before_the_file_is_read(tmp_path):
    for device in ("cuda:2", torch.device("mps"), "xpu:1", "gpu", "", 0):
        with machine(cuda=2, xpu=1), pytest.raises(ValueError, match="cuda:0, cuda:1, xpu:0, cpu"):
            load(tmp_path / "missing.ecgsk", device=device)
        with machine(cuda=2, xpu=1), pytest.raises(ValueError, match="cuda:0, cuda:1, xpu:0, cpu"):
            set_device(quick(), device)
    for device in ("auto", "cuda", "cuda:1", "xpu:0"):
        with machine(cuda=2, xpu=1), pytest.raises(FileNotFoundError):
            load(tmp_path / "missing.ecgsk", device=device)
    forked = machine(cuda=1, initialized=True, forked=True)
    with forked, pytest.raises(RuntimeError, match="forked"):
        load(tmp_path / "missing.ecgsk", device="cuda")


def test_a_device_that_was_set_has_to_be_here(models, tmp_path):
    model = saved(as_fitted_on("cuda:1", models["trained"]), tmp_path)
    with machine(cuda=2):
        set_device(model, "cuda:1")
    with (
        machine(),
        pytest.raises(ValueError, match="'cuda:1' is not available; here.* cpu"),
    ):
        model.predict_proba(X)


def test_another_gpu_takes_the_place_of_one_that_is_missing(models):
    model = pickled(as_fitted_on("cuda:5", models["trained"]), None)
    with machine(cuda=2, initialized=True, current=1), pytest.warns(UserWarning, match="cuda:5"):
        assert ecgsk.estimators._device_in_use.device_for_prediction(model) == "cuda:1"


@pytest.mark.parametrize("way", [saved, pickled, by_joblib, copied])
@pytest.mark.parametrize("device", ["cuda:1", "cuda", "mps", "xpu:0", torch.device("cuda:1")])
def test_a_network_goes_wherever_models_go(device, way, models, tmp_path):
    model = models["trained"]
    away = as_fitted_on(device, model)
    away.net_.device = away.device_ = str(device)
    with machine():
        again = way(away, tmp_path)
        assert again.device_ == again.net_.device == "cpu"
        found, messages, _ = with_warnings(again.predict_proba, X)
        assert len(messages) == 1 and f"device='{device}'" in messages[0]
        np.testing.assert_array_equal(found, model.predict_proba(X))
        # It was never read from anywhere, so that the user has set its device.
        with pytest.raises(ValueError, match="not available"):
            away.predict_proba(X)


def test_clones_of_a_loaded_model_predict_like_it(models, tmp_path):
    again = saved(as_fitted_on("cuda:1", models["weights"]), tmp_path)
    with machine():
        found, messages, _ = with_warnings(clone(again).predict_proba, X)
        assert len(messages) == 1 and "cuda:1" in messages[0]
        np.testing.assert_array_equal(found, models["weights"].predict_proba(X))
        # A fit does not take another device without being asked to.
        with pytest.raises(ValueError, match="'cuda:1' is not available"):
            clone(again).fit(X, Y)


def test_shallow_copies_and_crafted_states_do_not_silence_the_warning(models):
    away = as_fitted_on("cuda:1", models["trained"])
    state = away.__getstate__()
    message = "The network predicts on device='cpu' instead"
    with machine():
        for again in (copy.copy(away), copy.copy(away), pickled(away, None)):
            assert message in with_warnings(again.predict_proba, X)[1][0]
        assert away.__getstate__()["_loaded_together"] == []
        for crafted in (None, "text", [message]):
            again = MTECGClassifier.__new__(MTECGClassifier)
            again.__setstate__({**state, "_loaded_together": crafted})
            assert message in with_warnings(again.predict_proba, X)[1][0]


class Untouchable:
    def __enter__(self):
        raise AssertionError("loading must not wait for the random numbers of a fit")

    def __exit__(self, *error):
        pass


@pytest.mark.filterwarnings("ignore:.*contains types that ecgsk does not know")
@pytest.mark.parametrize("name", ["trained", "user's", "weights", "probabilities"])
def test_loading_takes_no_lock_and_moves_no_generator(name, models, tmp_path, monkeypatch):
    content = pickle.dumps(models[name])
    save(models[name], tmp_path / "model.ecgsk")
    monkeypatch.setattr(random_state, "_GENERATORS", Untouchable())
    monkeypatch.setenv("ECGSK_JOBS_PER_DEVICE", "1")
    before, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    with machine(cuda=2, xpu=1, mps=True) as changes:
        load(tmp_path / "model.ecgsk", trusted=[CNN])
        load(tmp_path / "model.ecgsk", trusted=[CNN], device="cuda:1")
        set_device(pickle.loads(content), "auto")
    assert changes == []
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)


@pytest.mark.filterwarnings("ignore:.*contains types that ecgsk does not know")
@pytest.mark.parametrize("name", ["trained", "user's", "weights", "stacked"])
@pytest.mark.parametrize("device", ["cuda:0", "auto"])
def test_a_fork_of_a_process_that_has_used_cuda_loads_models(device, name, models, tmp_path):
    model = models[name]
    away = as_fitted_on(device, model)
    with machine(cuda=1, initialized=True, forked=True):
        again = saved(away, tmp_path)
        found, messages, _ = with_warnings(again.predict_proba, X)
        np.testing.assert_array_equal(found, model.predict_proba(X))
        assert len(messages) == 1 and "forked" in messages[0]
        again = saved(away, tmp_path, device="cpu")
        assert with_warnings(again.predict_proba, X)[1] == []


@pytest.mark.parametrize("expected", RELEASES, ids=lambda path: path.parent.name)
def test_models_of_earlier_releases_take_a_device(expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelVersionWarning)
        for path in sorted(expected.parent.glob("*.ecgsk")):
            with machine(cuda=2):
                networks = networks_in(load(path, device="cuda:1"))
            assert {network.device for network in networks} <= {"cuda:1"}
            assert networks or path.stem == "threshold"


def test_a_file_describes_no_machine(models, tmp_path):
    save(as_fitted_on("cuda:1", models["pipeline"]), tmp_path / "model.ecgsk")
    assert "cuda:1" not in str(describe(tmp_path / "model.ecgsk"))


def test_models_without_networks_stay_as_they_are(tmp_path):
    model = LogisticRegression().fit([[0], [1]], [0, 1])
    before = pickle.dumps(model)
    assert set_device(model, "auto") is model and pickle.dumps(model) == before
    save(model, tmp_path / "model.ecgsk")
    assert load(tmp_path / "model.ecgsk", device="cpu").get_params() == model.get_params()


@pytest.mark.parametrize("model", ["model.ecgsk", MTECGClassifier, None, 3])
def test_only_estimators_have_a_device(model):
    with pytest.raises(TypeError, match="is not an estimator.*ecgsk.load"):
        set_device(model, "cpu")


def test_paths_in_pickles_do_not_name_an_operating_system(models, tmp_path):
    model = clone(models["weights"]).set_params(checkpoint_dir=tmp_path)
    content = pickle.dumps(model)
    assert b"PosixPath" not in content.replace(b"PurePosixPath", b"")
    again = pickle.loads(content)
    assert again.get_params() == model.get_params() and type(again.weights) is type(model.weights)
    # As from the other system.
    state = {**model.__getstate__(), "checkpoint_dir": PureWindowsPath("folder")}
    model.__setstate__(state)
    assert isinstance(model.checkpoint_dir, Path)


@pytest.mark.slow
def test_saving_and_loading_do_not_import_torch_for_tables():
    script = "import sys, ecgsk.persistence; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
