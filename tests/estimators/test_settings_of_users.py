"""What a user has set in torch, and what a user's own classes do, changes no fit and no file."""

import os
import pickle
import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from ecgsk import MTECGClassifier, NetworkClassifier, make_ecg
from ecgsk._training import Checkpoint, random_state
from ecgsk._training.read_ahead import _page_locked
from ecgsk.estimators import FullTraining
from ecgsk.estimators._device_in_use import place
from ecgsk.model_selection._search_fingerprint import _Content
from tests._devices import machine

X = make_ecg(8, sampling_rate=100, random_state=0)
y = np.arange(8) % 2
NANO = partial(MTECGClassifier, "nano")


class ReadsNumbers(nn.Module):
    """Computes numbers in its constructor, as timm's networks do."""

    def __init__(self, n_leads, n_samples, n_outputs):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
        window = torch.from_numpy(np.hanning(n_samples)) * torch.ones(n_samples)
        self.register_buffer("window", window)
        self.conv = nn.Conv1d(n_leads, 4, 25, stride=25)
        self.head = nn.Linear(4, n_outputs)

    def features(self, x):
        return self.conv(x * self.window.to(x.dtype)).mean(-1)


class OwnStrategy:
    def stages(self, numbers):
        return FullTraining().stages(numbers)


def fitted(cls=NANO, **params):
    params = {"sampling_rate": 100, "batch_size": 4, "max_epochs": 2, "random_state": 0, **params}
    return cls(**params).fit(X, y)


def test_network_that_reads_numbers_while_it_is_built_comes_back_from_a_pickle():
    model = fitted(partial(NetworkClassifier, ReadsNumbers))
    other = pickle.loads(pickle.dumps(model))
    assert np.array_equal(other.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_default_dtype_of_the_user_does_not_change_a_fit(dtype):
    expected = fitted(precision="float32").predict_proba(X)
    torch.set_default_dtype(dtype)
    try:
        model = fitted(precision="float32")
        weights = MTECGClassifier.from_pretrained("ptbxl", sampling_rate=100)
        assert weights.net_.module_.head.weight.dtype == torch.float32
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_autocast_of_the_user_changes_neither_fit_nor_prediction(precision):
    expected = fitted(precision=precision).predict_proba(X)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = fitted(precision=precision).predict_proba(X)
    assert np.array_equal(found, expected)


def test_same_fit_has_the_same_checkpoint(tmp_path, monkeypatch):
    names = []

    def start(checkpoint, folder, identity):
        names.append(identity)
        original(checkpoint, folder, identity)

    original = Checkpoint.__init__
    monkeypatch.setattr(Checkpoint, "__init__", start)
    path = tmp_path / "a.safetensors"
    fitted().save_weights(path)
    alike = [
        [{"random_state": 0}, {"random_state": np.int64(0)}],
        [{"class_weight": {0: 1.0, 1: 2.0}}, {"class_weight": {1: 2.0, 0: 1.0}}],
        [{"strategy": "full"}, {"strategy": FullTraining()}],
        [{"strategy": OwnStrategy()}, {"strategy": OwnStrategy()}],
        [{"weights": path}, {"weights": str(path)}],
    ]
    for one, other in alike:
        names.clear()
        cls = MTECGClassifier if "weights" in one else NANO
        fitted(cls, checkpoint_dir=tmp_path, **one)
        fitted(cls, checkpoint_dir=tmp_path, **other)
        assert names[0] == names[1], (one, other)
    fitted(checkpoint_dir=tmp_path, strategy=FullTraining(dropout=0.1))
    assert names[-1] not in names[:-1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_does_not_wait_for_a_thread_that_it_lacks():
    held, done = threading.Event(), threading.Event()

    def fit():
        with random_state._GENERATORS:
            held.set()
            done.wait()

    thread = threading.Thread(target=fit)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        os._exit(0 if random_state._GENERATORS.acquire(blocking=False) else 1)
    status = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_network_stays_on_its_gpu_when_another_one_is_current(device):
    model = fitted(device="cpu").set_params(device=device)
    model.net_.device = "cuda:1"  # where it was fitted; a move of it would fail here
    with machine(cuda=2, current=0, initialized=True):
        place(model, model.net_)
    assert model.net_.device == "cuda:1"


def test_cpu_is_found_without_counting_gpus():
    # torch.cuda.is_available() keeps forks of the process from using cuda.
    with machine(cuda=2), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: pytest.fail("counted GPUs"))
        fitted(device="cpu").predict(X)


def test_batches_are_read_where_page_locked_memory_is_used_up(monkeypatch):
    def fail(tensor):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.Tensor, "pin_memory", fail)
    batch = torch.ones(2), [torch.zeros(1)]
    assert _page_locked(batch)[0] is batch[0]


def test_search_with_a_teacher_goes_on_on_another_device():
    teacher = fitted(device="cpu").set_params(device="auto")
    here = _Content(True)._digest("teacher", teacher)
    assert _Content(True)._digest("teacher", teacher.set_params(compile=True)) == here
    with machine(cuda=1):
        teacher.net_.device = "cuda:0"
        there = _Content(True)._digest("teacher", teacher)
    assert here == there
