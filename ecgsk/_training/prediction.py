"""Logits of a fitted net, a batch at a time."""

import numpy as np
import torch

from ecgsk._training.dataset import read_batch
from ecgsk._training.device_lock import on_device
from ecgsk._training.skorch_net import ECGNet


def predict_logits(net: ECGNet, X, *, batch_size: int, engine=None) -> np.ndarray:
    """Return logits of shape (n_records, n_outputs), float64.

    A RecordArray is read a batch at a time. An ``engine``, see `ecgsk._training.compiled`, computes
    logits and features of a batch in the place of the net.
    """
    function = net.infer if engine is None else lambda x: engine(x)[0]
    width = net.module_.head.out_features
    with _place(net, engine, batch_size):
        return _in_batches(net, function, X, width, batch_size, np.float64)


def predict_features(
    net: ECGNet, X, *, width: int, batch_size: int, rows=None, engine=None
) -> np.ndarray:
    """Return what the head reads, of shape (n_records, width), float32.

    As `predict_logits`, of all records or of some ``rows``.
    """
    function = net.embed if engine is None else lambda x: engine(x)[1]
    with _place(net, engine, batch_size):
        return _in_batches(net, function, X, width, batch_size, np.float32, rows)


def _place(net, engine, batch_size):
    # Engines compute on the CPU, wherever the net is.
    return on_device(net.device if engine is None else "cpu", batch_size)


def _in_batches(net, function, X, width, batch_size, dtype, rows=None) -> np.ndarray:
    rows = np.arange(len(X)) if rows is None else rows
    net.module_.eval()
    # One array for all results: many small ones that stay, between large ones that go, would
    # break the heap into pieces too small for the next batch, and memory would grow with X.
    out = np.empty((len(rows), width), dtype=dtype)
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            batch = slice(start, start + batch_size)
            out[batch] = torch.as_tensor(function(read_batch(X, rows[batch]))).cpu()
    return out
