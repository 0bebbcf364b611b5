"""Logits of a fitted net, a batch at a time."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._training.dataset import read_batch
from ecgsk._training.device import (
    current_device,
    device_type,
    free_memory,
    refuse_after_fork,
    release_cached_memory,
)
from ecgsk._training.memory import clear_failed_frames, is_out_of_memory
from ecgsk._training.random_state import new_tensors_on_cpu
from ecgsk._training.read_ahead import read_ahead
from ecgsk._training.skorch_net import ECGNet

# A GPU computes few records no faster than many. Batches on it are as large as this many bytes of
# recordings allow, and at most so many records.
_BYTES_AT_ONCE, _RECORDS_AT_ONCE = 1 << 26, 1024
# The memory that a prediction takes for a record, in units of the recording; ours take less.
_MEMORY_FACTOR = 64


def predict_logits(net: ECGNet, X, *, batch_size: int, engine=None) -> np.ndarray:
    """Return logits of shape (n_records, n_outputs), float64.

    A RecordArray is read a batch at a time. An ``engine``, see `ecgsk._training.compiled`, computes
    logits and features of a batch in the place of the net.
    """
    function = net.infer if engine is None else lambda x: torch.as_tensor(engine(x)[0])
    width = net.module_.head.out_features
    return _predict(net, function, X, width, batch_size, np.float64, engine=engine)


def predict_features(
    net: ECGNet, X, *, width: int, batch_size: int, rows=None, engine=None
) -> np.ndarray:
    """Return what the head reads, of shape (n_records, width), float32.

    As `predict_logits`, of all records or of some ``rows``.
    """
    function = net.embed if engine is None else lambda x: torch.as_tensor(engine(x)[1])
    return _predict(net, function, X, width, batch_size, np.float32, rows, engine)


def _predict(net, function, X, width, batch_size, dtype, rows=None, engine=None) -> np.ndarray:
    rows = np.arange(len(X)) if rows is None else rows
    # One array for all results: many small ones that stay, between large ones that go, would
    # break the heap into pieces too small for the next batch, and memory would grow with X.
    out = np.empty((len(rows), width), dtype=dtype)
    batches = in_batches(
        net, lambda x, places: function(x), X, rows, batch_size, on_cpu=engine is not None
    )
    # A result is fetched when the next batch is under way, so that a GPU need not wait.
    last = None
    for places, _, result in batches:
        if last is not None:
            out[last[0]] = last[1].cpu()
        last = places, result
    if last is not None:
        out[last[0]] = last[1].cpu()
    return out


def in_batches(
    net: ECGNet,
    function: Callable[[torch.Tensor, slice], Any],
    X,
    rows: np.ndarray,
    batch_size: int,
    *,
    on_cpu: bool = False,
) -> Iterator[tuple[slice, torch.Tensor, Any]]:
    """Yield places in ``rows``, the recordings there and what the function returns for both.

    A device that lacks the memory for a batch gets half of it, with a warning, and so on; the
    OutOfMemoryError comes when a single record is too large. ``on_cpu`` is for functions that do
    not use the net's device.
    """
    device = "cpu" if on_cpu else net.device
    if device_type(device) == "cuda":
        refuse_after_fork(device)
    size = batch_size
    if device != "cpu" and len(rows) > batch_size:
        size = max(size, _size_on(device, X.shape[1:]))
    net.module_.eval()

    def recordings() -> Iterator[tuple[int, torch.Tensor]]:
        for start in range(0, len(rows), size):
            yield start, read_batch(X, rows[start : start + size])

    # One batch leaves nothing to read while it is computed.
    source = recordings() if len(rows) <= size else read_ahead(recordings(), device)
    for start, x in source:
        yield from _in_parts(net, function, x, start, device)


def _in_parts(net, function, x, start, device) -> Iterator[tuple[slice, torch.Tensor, Any]]:
    """Compute a batch, whose first record is number ``start``, in parts as memory requires."""
    done = 0
    while done < len(x):
        part = x[done : done + (net.records_at_once or len(x))]
        places = slice(start + done, start + done + len(part))
        failure = None
        try:
            with (
                torch.inference_mode(),
                new_tensors_on_cpu(),
                current_device(device),
                net.products(),
            ):
                result = function(part, places)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failure = error
        if failure is None:
            yield places, part, result
            done += len(part)
            continue
        clear_failed_frames(failure)
        if len(part) == 1:
            raise torch.OutOfMemoryError(
                f"The memory of {device} does not suffice for one record of shape "
                f"{tuple(x.shape[1:])}. End other programs that use it, or predict with "
                f"device='cpu'. torch's error: {failure}"
            ) from failure
        _halve(net, len(part), device)


def _halve(net, at_once: int, device: str) -> None:
    net.records_at_once = at_once // 2
    release_cached_memory(device)
    warnings.warn(
        f"The memory of {device} does not suffice for {at_once} records at once: the prediction "
        f"goes on with {at_once // 2}. End other programs that use it, or lower batch_size.",
        stacklevel=stacklevel_of_user(),
    )


def _size_on(device: str, shape: tuple[int, ...]) -> int:
    """Return how many records an accelerator computes at once."""
    record = 4 * int(np.prod(shape))
    size = min(_BYTES_AT_ONCE // record, _RECORDS_AT_ONCE)
    free = free_memory(device)
    if free is not None:
        size = min(size, free // (_MEMORY_FACTOR * record))
    return size
