"""The estimators on a device, such as ECGSK_TEST_DEVICE=cuda, compared with the CPU."""

import pickle
import tempfile
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone

import ecgsk
from ecgsk import (
    ECGAugmentation,
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
    NetworkClassifier,
)
from ecgsk._training import Checkpoint, on_device, resolve_device
from ecgsk.estimators import Distillation
from tests._models import RATE, recordings
from tests._networks import SmallCNN

pytestmark = pytest.mark.real_device

X, Y = recordings(40)
PRECISE = {
    "sampling_rate": RATE,
    "max_epochs": 3,
    "batch_size": 16,
    "precision": "float32",
    "random_state": 0,
}
MODELS = {
    "mtecg": MTECGClassifier("nano", **PRECISE),
    "ecgfounder": ECGFounderClassifier("nano", preprocessing="none", **PRECISE),
    "network": NetworkClassifier(SmallCNN, **PRECISE),
    "pretrainer": MTECGPretrainer("nano", **PRECISE),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_classifier = pytest.mark.parametrize("model", list(MODELS.values())[:3], ids=list(MODELS)[:3])


def answers(model) -> np.ndarray:
    """Return all that an estimator computes of recordings, side by side."""
    found = [model.transform(X)]
    if isinstance(model, MTECGPretrainer):
        found += [model.reconstruct(X).reshape(len(X), -1)]
    else:
        found += [model.predict_proba(X), model.decision_function(X).reshape(len(X), -1)]
    return np.concatenate(found, axis=1)


def is_on(model, device) -> bool:
    places = {parameter.device for parameter in model.net_.module_.parameters()}
    places |= {buffer.device for buffer in model.net_.module_.buffers()}
    return places == {torch.device(resolve_device(device))}


@every_model
def test_a_fit_is_that_of_the_cpu(model, real_device):
    own = clone(model).set_params(device=real_device).fit(X, Y)
    assert is_on(own, real_device) and own.device_ == resolve_device(real_device)
    other = clone(model).set_params(device="cpu").fit(X, Y)
    losses = [[row["train_loss"] for row in fitted.history_] for fitted in (own, other)]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    np.testing.assert_allclose(answers(own), answers(other), atol=2e-2)


@every_model
def test_predictions_are_those_of_the_cpu(model, real_device):
    model = clone(model).set_params(device="cpu").fit(X, Y)
    expected = answers(model)
    model.set_params(device=real_device)
    np.testing.assert_allclose(answers(model), expected, rtol=1e-4, atol=1e-5)
    assert is_on(model, real_device)
    model.set_params(device="cpu")
    np.testing.assert_array_equal(answers(model), expected)
    assert is_on(model, "cpu")


@every_model
def test_models_travel_without_the_device(model, real_device, tmp_path):
    model = clone(model).set_params(device=real_device).fit(X, Y)
    expected = answers(model)
    path = tmp_path / "model.ecgsk"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*types that ecgsk does not know.*SmallCNN")
        ecgsk.save(model, path)
    trusted = ["tests._networks.SmallCNN"] if isinstance(model, NetworkClassifier) else []
    for loaded in (pickle.loads(pickle.dumps(model)), ecgsk.load(path, trusted=trusted)):
        np.testing.assert_allclose(answers(loaded), expected, rtol=1e-6, atol=1e-7)
        loaded.set_params(device="cpu")
        np.testing.assert_allclose(answers(loaded), expected, rtol=1e-4, atol=1e-5)


class _Killed(Exception):
    pass


@every_model
def test_a_killed_fit_goes_on(model, real_device, tmp_path, monkeypatch):
    model = clone(model).set_params(device=real_device)
    if "weight_averaging" in model.get_params():
        model.set_params(weight_averaging=0.9)
    expected = answers(clone(model).fit(X, Y))
    save = Checkpoint.save

    def save_and_die(self, *state):
        save(self, *state)
        raise _Killed

    model.set_params(checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(_Killed):
            clone(model).fit(X, Y)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = clone(model).fit(X, Y)
    assert [row["epoch"] for row in resumed.history_] == [1, 2, 3]
    # Bit-equal on the CPU; kernels of GPUs may add in another order in each run.
    tolerance = 0 if real_device == "cpu" else 1e-3
    np.testing.assert_allclose(answers(resumed), expected, rtol=0, atol=tolerance)


@every_classifier
def test_all_options_work_together(model, real_device):
    teacher = clone(model).set_params(device=real_device).fit(X, Y)
    model = clone(model).set_params(
        device=real_device,
        precision="auto",
        augmentation=ECGAugmentation(),
        class_weight="balanced",
        distillation=Distillation(teacher),
        early_stopping=True,
        weight_averaging=0.9,
    )
    targets = {"binary": Y, "multiclass": np.arange(len(X)) % 3, "multilabel": np.c_[Y, 1 - Y]}
    for kind, y in targets.items():
        options = {} if kind == "binary" else {"distillation": None}
        weights = np.linspace(0, 1, len(X))
        fitted = clone(model).set_params(**options).fit(X, y, sample_weight=weights)
        assert np.isfinite(answers(fitted)).all()


@pytest.mark.parametrize("precision", ["auto", "float32", "bf16", "float64"])
@every_model
def test_every_precision_trains(model, real_device, precision):
    model = clone(model).set_params(device=real_device, precision=precision)
    if real_device == "mps" and precision == "float64":
        with pytest.raises(ValueError, match="float64"):
            model.fit(X, Y)
        return
    found = answers(model.fit(X, Y))
    assert np.isfinite(found).all() and is_on(model, real_device)


@every_model
def test_a_fit_leaves_nothing_behind(model, real_device):
    device = torch.device(resolve_device(real_device))
    module = torch if device.type == "cpu" else getattr(torch, device.type)
    arguments = [device] if device.index is not None else []
    before = [torch.get_rng_state(), module.get_rng_state(*arguments)]
    model = clone(model).set_params(device=real_device).fit(X, Y)
    answers(model)
    after = [torch.get_rng_state(), module.get_rng_state(*arguments)]
    assert all(torch.equal(*states) for states in zip(before, after, strict=True))
    assert all(parameter.grad is None for parameter in model.net_.module_.parameters())


def test_the_end_of_memory_has_a_remedy(real_device):
    device = resolve_device(real_device)
    with pytest.raises(torch.OutOfMemoryError, match=f"The memory of {device} does not suffice"):
        with on_device(device, 16):
            torch.empty(2**60, dtype=torch.uint8, device=device)


@pytest.fixture
def little_memory(real_device):
    """Limit this process to 300 MB of the device."""
    device = torch.device(resolve_device(real_device))
    if device.type != "cuda":
        pytest.skip("only cuda limits the memory of a process")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(300e6 / total, device)
    yield device
    torch.cuda.set_per_process_memory_fraction(1.0, device)


def test_a_fit_without_memory_leaves_all_of_it_free(little_memory):
    before = torch.cuda.memory_allocated(little_memory)
    records = np.random.default_rng(0).normal(0, 0.2, (1024, 12, 1000)).astype(np.float32)
    large = clone(MODELS["mtecg"]).set_params(
        preset="ti_12_25", batch_size=1024, device=str(little_memory)
    )
    with pytest.raises(torch.OutOfMemoryError, match="batch_size=1024. Lower batch_size") as kept:
        large.fit(records, np.arange(1024) % 2)
    # The error is alive, and nothing that the fit had on the device is.
    assert kept.value is not None
    assert torch.cuda.memory_allocated(little_memory) - before < 1_000_000


def test_a_prediction_goes_on_with_what_memory_there_is(little_memory):
    records = np.random.default_rng(0).normal(0, 0.2, (2048, 12, 1000)).astype(np.float32)
    model = clone(MODELS["mtecg"]).set_params(preset="ti_12_25", device="cpu", max_epochs=1)
    model.fit(records[:64], np.arange(64) % 2)
    expected = model.predict_proba(records)
    model.set_params(device=str(little_memory), batch_size=2048)
    with pytest.warns(UserWarning, match="does not suffice for .* records at once"):
        found = model.predict_proba(records)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_device_of_which_processes_take_turns(real_device, tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSK_JOBS_PER_DEVICE", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = clone(MODELS["mtecg"]).set_params(device=real_device).fit(X, Y)
    locks = list(tmp_path.glob("ecgsk-*/cuda-*.0"))
    assert len(locks) == real_device.startswith("cuda")
    assert np.isfinite(answers(model)).all()


def test_a_distributed_fit_of_one_process(real_device, monkeypatch):
    kind, _, number = resolve_device(real_device).partition(":")
    variables = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    for name, value in {**variables, "LOCAL_RANK": number or "0"}.items():
        monkeypatch.setenv(name, value)
    model = clone(MODELS["pretrainer"]).set_params(distributed=True, device=kind)
    if kind not in ("cuda", "cpu"):
        with pytest.raises(ValueError, match=f"device='{kind}' is not allowed"):
            model.fit(X)
        return
    model.fit(X)
    assert model.device_ == resolve_device(real_device) and is_on(model, real_device)
    alone = clone(MODELS["pretrainer"]).set_params(device=real_device).fit(X)
    np.testing.assert_allclose(answers(model), answers(alone), atol=1e-3)
