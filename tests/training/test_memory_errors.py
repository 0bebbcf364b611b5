"""Errors at the end of memory: recognized, explained, and keeping nothing alive."""

import itertools
import pickle
import sys
import warnings
import weakref

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from ecgsk import MTECGClassifier, MTECGPretrainer
from ecgsk._training import ECGNet, Trainer, is_out_of_memory, on_device
from ecgsk._training.memory import clear_failed_frames
from tests._models import RATE, recordings, small_models

# As the libraries write them.
OUT_OF_MEMORY = [
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "CUDA driver error: out of memory",
    "HIP out of memory. Tried to allocate 2.00 GiB",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`",
    "GET was unable to find an engine to execute this computation",
    "FIND was unable to find an engine to execute this computation",
    "Unable to find a valid cuDNN algorithm to run convolution",
    "MPS backend out of memory (MPS allocated: 5.50 GB, other allocations: 14.76 GB, max allowed: "
    "20.40 GB). Tried to allocate 147.24 MB on private pool.",
    "Invalid buffer size: 70.70 GiB",
    "XPU out of memory. Tried to allocate 4.66 GiB. GPU 0 has a total capacity of 5.65 GiB",
    "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
    "UR backend failed. UR backend returns:40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)",
    "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you tried "
    "to allocate 3600000000 bytes.",
    "std::bad_alloc",
]
OTHERS = [
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "Expected all tensors to be on the same device, but found at least two devices",
    "DataLoader worker (pid 1) is killed by signal: Bus error. Workers are out of shared memory",
    "level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)",
]


def test_memory_errors_are_distinguished_from_others():
    for text in OUT_OF_MEMORY:
        assert is_out_of_memory(RuntimeError(text)), text
    assert is_out_of_memory(torch.OutOfMemoryError())
    for text in OTHERS:
        assert not is_out_of_memory(RuntimeError(text)), text
    assert not is_out_of_memory(ValueError("out of memory")) and not is_out_of_memory(None)


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ("cuda:1", "CUDA out of memory. Tried to allocate 20.00 GiB"),
        ("cuda:0", "GET was unable to find an engine to execute this computation"),
        ("mps", "MPS backend out of memory (MPS allocated: 5.50 GB)"),
        ("xpu:0", "UR backend failed. UR backend returns:40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)"),
        ("cpu", "DefaultCPUAllocator: not enough memory: you tried to allocate 3600000000 bytes"),
    ],
)
def test_every_memory_error_becomes_one_class_with_a_remedy(device, text, monkeypatch):
    monkeypatch.delenv("ECGSK_JOBS_PER_DEVICE", raising=False)
    with pytest.raises(torch.OutOfMemoryError) as caught, on_device(device, 16):
        raise RuntimeError(text)
    message = str(caught.value)
    assert message.startswith(f"The memory of {device}") and message.endswith(text)
    assert "does not suffice for batch_size=16. Lower batch_size" in message
    # cuDNN finds no engine for other reasons as well.
    assert (" probably " in message) == ("nable to find" in text)
    assert ("n_jobs" in message) == device.startswith("cuda")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_other_errors_pass_unchanged():
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")
    with pytest.raises(RuntimeError) as caught, on_device("cpu", 16):
        raise error
    assert caught.value is error


def test_the_cpu_has_such_an_error():
    with pytest.raises(torch.OutOfMemoryError, match="memory of cpu does not suffice"):
        with on_device("cpu", 4):
            torch.empty(2**60, dtype=torch.uint8)


def test_an_error_is_explained_once():
    with pytest.raises(torch.OutOfMemoryError) as caught:
        with on_device("cpu", 16), on_device("cpu", 8):
            raise RuntimeError("std::bad_alloc")
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert message.count("batch_size=") == 1 and "for batch_size=8. Lower batch_size." in message


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize("name", ["mtecg", "ecgfounder", "pretrainer"])
def test_a_kept_memory_error_keeps_neither_net_nor_optimizer_nor_batch(name, error, monkeypatch):
    X, y = recordings(16)
    model = {
        **small_models(),
        "pretrainer": MTECGPretrainer("nano", sampling_rate=RATE, random_state=0),
    }[name]
    model.set_params(device="cpu", max_epochs=2)
    alive, count, train_step_single = [], itertools.count(), ECGNet.train_step_single

    def fails(net, batch, **options):
        if next(count) < 1:
            return train_step_single(net, batch, **options)  # so that the optimizer has a state
        module = net.module_
        alive[:] = map(weakref.ref, [net, net.optimizer_, module, *module.parameters(), batch[0]])
        alive.extend(weakref.ref(value["exp_avg"]) for value in net.optimizer_.state.values())
        activations = torch.zeros(8)
        alive.append(weakref.ref(activations))
        raise error("MPS backend out of memory (MPS allocated: 5.50 GB)")

    for kind in {ECGNet, *ECGNet.__subclasses__()}:
        if "train_step_single" in vars(kind) or kind is ECGNet:
            monkeypatch.setattr(kind, "train_step_single", fails)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        model.fit(X, y)
    assert len(alive) > 10 and not any(reference() is not None for reference in alive)
    assert caught.value.__traceback__ is not None
    # A second fit after the error works.
    monkeypatch.undo()
    assert len(model.fit(X, y).history_) == 2


def test_frames_that_failed_become_text():
    def fails():
        kept = torch.zeros(3)
        references.append(weakref.ref(kept))
        (lambda: 1 / (0 * len(kept)))()  # a function that holds it as well

    references: list = []
    try:
        try:
            fails()
        except ZeroDivisionError as inner:
            raise torch.OutOfMemoryError("outer") from inner
    except torch.OutOfMemoryError as error:
        outer = error
    outer.__cause__.__context__ = outer
    clear_failed_frames(outer)
    assert references[0]() is None
    if sys.version_info >= (3, 11):
        (note,) = outer.__cause__.__notes__
        assert note.startswith("It was raised in\n") and "(lambda: 1 /" in note
    assert not hasattr(outer, "__notes__")  # its frame still runs
    try:
        fails()
    except ZeroDivisionError as error:
        clear_failed_frames(error)  # a debugger may want to see it
        assert references[1]() is not None


def test_a_search_goes_on_after_a_fit_without_memory(monkeypatch):
    X, y = recordings(16)
    execute = Trainer.execute

    def too_large(trainer):
        if trainer.net.batch_size == 8:
            return execute(trainer)
        raise torch.OutOfMemoryError("Tried to allocate 20 GiB.")

    monkeypatch.setattr(Trainer, "execute", too_large)
    model = MTECGClassifier("nano", sampling_rate=RATE, max_epochs=1, device="cpu", random_state=0)
    search = GridSearchCV(model, {"batch_size": [8, 16]}, cv=2, error_score=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two fits that failed
        search.fit(X, y)
    assert search.best_params_ == {"batch_size": 8}
