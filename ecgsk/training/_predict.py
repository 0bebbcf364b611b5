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
    net.module_.eval()
    # One array for all answers: many small ones that stay, between large ones that go, would
    # break the heap into pieces too small for the next batch, and memory would grow with X.
    logits = np.empty((len(X), net.module_.head.out_features), dtype=np.float64)
    with torch.inference_mode():
        for start in range(0, len(X), batch_size):
            rows = np.arange(start, min(start + batch_size, len(X)))
            logits[rows] = net.infer(read_batch(X, rows)).cpu().numpy()
    return logits
