"""Logits of a fitted net, a batch at a time."""

import numpy as np
import torch

from ecgsk.training._data import read_batch
from ecgsk.training._net import ECGNet


def predict_logits(net: ECGNet, X, *, batch_size: int) -> np.ndarray:
    """Return logits of shape (n_records, n_outputs), float64.

    Parameters
    ----------
    net : ECGNet
        Fitted.
    X : ndarray or RecordArray of shape (n_records, n_leads, n_samples)
        Recordings, mV. A RecordArray is read a batch at a time.
    batch_size : int
        Records that pass the network together.
    """
    return _in_batches(net, net.infer, X, net.module_.head.out_features, batch_size, np.float64)


def predict_features(net: ECGNet, X, *, width: int, batch_size: int) -> np.ndarray:
    """Return what the head reads, of shape (n_records, width), float32.

    Parameters
    ----------
    net : ECGNet
        Fitted.
    X : ndarray or RecordArray of shape (n_records, n_leads, n_samples)
        Recordings, mV. A RecordArray is read a batch at a time.
    width : int
        Of the features.
    batch_size : int
        Records that pass the network together.
    """
    return _in_batches(net, net.embed, X, width, batch_size, np.float32)


def _in_batches(net, function, X, width, batch_size, dtype) -> np.ndarray:
    net.module_.eval()
    # One array for all answers: many small ones that stay, between large ones that go, would
    # break the heap into pieces too small for the next batch, and memory would grow with X.
    out = np.empty((len(X), width), dtype=dtype)
    with torch.inference_mode():
        for start in range(0, len(X), batch_size):
            rows = np.arange(start, min(start + batch_size, len(X)))
            out[rows] = function(read_batch(X, rows)).cpu().numpy()
    return out
