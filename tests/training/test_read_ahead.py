"""Batches that a thread reads while a device computes."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import sklearn
import torch

from ecgsk import MTECGClassifier, RecordArray
from ecgsk._training import prediction, skorch_net
from ecgsk._training.read_ahead import read_ahead, to_device
from tests._models import RATE, recordings


def test_the_cpu_reads_when_it_needs():
    read = []

    def batches():
        for number in range(3):
            read.append((number, threading.current_thread()))
            yield number

    for number in read_ahead(batches(), "cpu"):
        assert read[-1] == (number, threading.main_thread())


def test_an_accelerator_gets_batches_in_order_from_one_thread():
    threads = set()

    def batches():
        for number in range(20):
            threads.add(threading.current_thread())
            yield torch.full((2,), float(number))

    assert [int(batch[0]) for batch in read_ahead(batches(), "meta")] == list(range(20))
    (thread,) = threads
    assert thread is not threading.main_thread()
    thread.join(10)
    assert not thread.is_alive()


def test_it_reads_one_batch_ahead_and_no_more():
    read, wanted = [], threading.Semaphore(0)

    def batches():
        for number in range(5):
            read.append(number)
            yield number
            wanted.release()

    coming = read_ahead(batches(), "meta")
    assert next(coming) == 0 and read in ([0], [0, 1])
    wanted.acquire(timeout=10)  # the second batch is under way
    coming.close()
    assert read in ([0], [0, 1])


def test_errors_of_the_reader_reach_the_caller():
    def batches():
        yield 1
        raise OSError("the disk is gone")

    coming = read_ahead(batches(), "meta")
    assert next(coming) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(coming)


def test_the_thread_ends_when_the_caller_fails():
    threads = []

    def batches():
        while True:
            threads.append(threading.current_thread())
            yield 0

    with pytest.raises(ZeroDivisionError):
        for _ in read_ahead(batches(), "meta"):
            raise ZeroDivisionError
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_the_reader_has_the_callers_configuration():
    def batches():
        for _ in range(2):
            yield sklearn.get_config()["working_memory"]

    with sklearn.config_context(working_memory=7):
        assert list(read_ahead(batches(), "meta")) == [7, 7]


def test_batches_for_a_gpu_are_in_page_locked_memory(monkeypatch):
    locked = []

    def pin(tensor):
        locked.append(tensor)
        return tensor

    current = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(current.append(device)))
    batches = [(torch.ones(2), (torch.ones(1), torch.zeros(1))), (3, torch.ones(4))]
    found = list(read_ahead(batches, "cuda:1"))
    # Page-locked memory belongs to the GPU in use, and not to the first one as well.
    assert set(current) == {"cuda:1"}
    assert len(locked) == 4 and found[1][0] == 3 and isinstance(found[0][1], tuple)
    locked.clear()
    list(read_ahead(batches, "mps"))
    assert not locked


def test_floating_numbers_get_the_networks_type_before_they_move():
    for dtype in (torch.float64, torch.float32):
        for given in (torch.float64, torch.float32, torch.bfloat16):
            assert to_device(torch.ones(2, dtype=given), "cpu", dtype).dtype == dtype
        assert to_device(torch.ones(2, dtype=torch.int64), "cpu", dtype).dtype == torch.int64


def test_what_is_read_ahead_is_what_is_read_in_turn(monkeypatch):
    X, y = recordings(24)
    options = {"sampling_rate": RATE, "max_epochs": 2, "batch_size": 5, "random_state": 0}
    model = MTECGClassifier("nano", device="cpu", precision="float32", **options)
    stored = RecordArray.wrap(X, sampling_rate=RATE)
    in_turn = model.fit(stored, y).predict_proba(stored)
    for module in (skorch_net, prediction):
        # As an accelerator has it, with the values of the CPU.
        monkeypatch.setattr(module, "read_ahead", lambda batches, _: read_ahead(batches, "meta"))
    ahead = model.fit(stored, y).predict_proba(stored)
    np.testing.assert_array_equal(ahead, in_turn)
