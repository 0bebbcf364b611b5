"""Whose random numbers a fit moves: its own."""

import sys
import threading
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch

import ecgsk
from ecgsk import MTECGClassifier, MTECGPretrainer
from ecgsk._training import OwnRandomNumbers, random_state, seeded
from ecgsk.estimators import NetworkClassifier
from tests._models import RATE, recordings
from tests._networks import SmallCNN
from tests._processes import HANG


def draws():
    like = torch.empty(3)
    return [
        torch.nn.Linear(3, 3).weight.detach(),
        torch.nn.Conv1d(2, 2, 3).weight.detach(),
        torch.nn.init.trunc_normal_(torch.empty(3)),
        torch.nn.init.orthogonal_(torch.empty(3, 3)),
        torch.rand(2),
        torch.randn(2),
        torch.randint(9, (4,)),
        torch.randint(2, 9, (4,)),
        torch.randperm(5),
        torch.rand_like(like),
        torch.randn_like(like),
        torch.randint_like(like, 9),
        torch.normal(0.0, 1.0, (3,)),
        torch.multinomial(torch.ones(5), 2),
        torch.empty(3).bernoulli_(0.5),
        torch.empty(3).exponential_(),
        torch.nn.functional.dropout(torch.ones(6)),
    ]


def test_own_random_numbers_are_those_of_the_seed_and_move_no_generator():
    before = torch.get_rng_state()
    with OwnRandomNumbers(3):
        own = draws()
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(3, "cpu"):
        drawn = draws()
    assert torch.equal(torch.get_rng_state(), before)
    for mine, other in zip(own, drawn, strict=True):
        assert torch.equal(mine, other)


def test_generators_that_are_passed_are_used():
    with OwnRandomNumbers():
        passed = torch.rand(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(passed, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_an_error_puts_generators_back():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(0, "cpu"):
        torch.rand(3)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", ["cuda:1", "mps", "xpu:0"])
def test_only_the_generator_of_the_device_in_use_is_seeded_and_put_back(device):
    """A fit on one GPU must not touch what a user draws on another."""
    kind = device.partition(":")[0]
    backend, held, states = getattr(torch, kind), torch.Generator, {device: torch.ones(4).byte()}

    def generator(device="cpu"):
        return held() if device == "cpu" else mock.Mock(manual_seed=lambda seed: seeded_to(seed))

    def seeded_to(seed):
        return mock.Mock(get_state=lambda: torch.full((4,), seed).byte())

    def set_state(state, place=device):
        states[place] = state

    with (
        mock.patch.object(torch, "Generator", generator),
        mock.patch.object(backend, "get_rng_state", lambda place=device: states[place]),
        mock.patch.object(backend, "set_rng_state", set_state),
        mock.patch.object(backend, "manual_seed", side_effect=AssertionError),
        mock.patch.object(torch, "manual_seed", side_effect=AssertionError),
    ):
        with seeded(7, device):
            assert states == {device: mock.ANY} and states[device].tolist() == [7] * 4
            written = random_state.generator_states(device)
        assert states[device].tolist() == [1] * 4
        random_state.set_generator_states(written, device)
        assert states[device].tolist() == [7] * 4
        # A fit with a checkpoint of a GPU goes on where a GPU is missing.
        random_state.set_generator_states(written, "cpu")
        random_state.set_generator_states({"cpu": torch.get_rng_state()}, device)
        assert states == {device: mock.ANY}


def forbidden(*args, **kwargs):
    raise AssertionError("a generator of all devices was seeded")


def test_fits_and_files_leave_all_generators_as_they_are(tmp_path, monkeypatch):
    X, y = recordings(16)
    for owner in (torch, torch.cuda, torch.mps, torch.xpu):
        monkeypatch.setattr(owner, "manual_seed", forbidden)
    for owner in (torch.cuda, torch.xpu):
        monkeypatch.setattr(owner, "manual_seed_all", forbidden)
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    options = {"sampling_rate": RATE, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    for model in (MTECGClassifier("nano", **options), NetworkClassifier(SmallCNN, **options)):
        model.fit(X, y)
        ecgsk.save(model, tmp_path / "model.ecgsk")
        trusted = [f"{SmallCNN.__module__}.{SmallCNN.__qualname__}"]
        again = ecgsk.load(tmp_path / "model.ecgsk", trusted=trusted)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    MTECGClassifier.from_pretrained(sampling_rate=RATE)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)


def test_loading_does_not_wait_for_a_fit(tmp_path):
    X, y = recordings(16)
    options = {"sampling_rate": RATE, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    model = MTECGClassifier("nano", **options).fit(X, y)
    ecgsk.save(model, tmp_path / "model.ecgsk")
    fits, ends, loaded = threading.Event(), threading.Event(), []

    def fit_for_long():
        with seeded(0, "cpu"):
            fits.set()
            ends.wait(HANG)

    thread = threading.Thread(target=fit_for_long)
    thread.start()
    assert fits.wait(HANG)
    load = threading.Thread(target=lambda: loaded.append(ecgsk.load(tmp_path / "model.ecgsk")))
    load.start()
    load.join(HANG)
    ends.set()
    thread.join()
    assert loaded


@pytest.mark.parametrize("model", [MTECGClassifier("nano"), MTECGPretrainer("nano")])
def test_a_fit_that_waits_for_a_gpu_holds_no_other_back(model, monkeypatch):
    X, y = recordings(16)

    def fit_elsewhere():
        with seeded(0, "cpu"):
            entered.set()

    @contextmanager
    def wait_for_gpu(*args, **kwargs):
        threading.Thread(target=fit_elsewhere, daemon=True).start()
        assert entered.wait(HANG)
        yield

    entered = threading.Event()
    monkeypatch.setattr(sys.modules[type(model).fit.__module__], "on_device", wait_for_gpu)
    model.set_params(sampling_rate=RATE, max_epochs=1, random_state=0, device="cpu").fit(X, y)
    assert entered.is_set()
