"""What a fitted masked autoencoder makes of masked recordings."""

from collections.abc import Iterator

import numpy as np
import torch

from ecgsk.training._data import read_batch
from ecgsk.training._net import MaskedNet


def masked_segments(net: MaskedNet, X, batch_size: int, seed: int) -> Iterator[tuple]:
    """Mask recordings a batch at a time and fill them.

    Parameters
    ----------
    net : MaskedNet
        Fitted.
    X : ndarray or RecordArray of shape (n_records, n_leads, n_samples)
        Recordings, mV.
    batch_size : int
        Records that pass the network together; the masks do not depend on it.
    seed : int
        Of the masks.

    Yields
    ------
    rows : slice
        Records of the batch.
    loss : ndarray of shape (n,)
        Mean squared error over each record's masked segments.
    filled : ndarray of shape (n, n_leads, n_samples)
        The records with their masked parts filled, mV.
    mask : ndarray of bool of shape (n, n_samples)
        Samples that were masked.
    """
    module = net.module_.eval()
    random = np.random.default_rng(seed)
    for start in range(0, len(X), batch_size):
        rows = np.arange(start, min(start + batch_size, len(X)))
        order = random.random((len(rows), module.encoder.n_tokens)).argsort(axis=1)
        records = read_batch(X, rows)
        with torch.inference_mode():
            predicted, wanted = net.fill(records, torch.from_numpy(order))
            loss = (predicted - wanted).square().mean(dim=(1, 2)).cpu().numpy()
            segments = module.segments(records.to(predicted)).cpu().numpy()
        filled = _fill(segments, predicted.cpu().numpy(), order, module)
        filled *= float(module.encoder.input_scale)
        mask = np.zeros(order.shape, dtype=bool)
        np.put_along_axis(mask, order[:, -module.n_masked :], True, axis=1)
        mask = np.repeat(mask, module.encoder.patch_size, axis=1)[:, : X.shape[2]]
        records = records.numpy()
        records = np.where(mask[:, None], filled[..., : X.shape[2]], records)
        yield slice(start, start + len(rows)), loss, records, mask


def _fill(segments, predicted, order, module) -> np.ndarray:
    """Return records in units of the network, as (records, leads, tokens * samples)."""
    n_records, n_tokens = order.shape
    shape = (n_records, n_tokens, module.n_leads, -1)
    segments = segments.reshape(shape).copy()
    hidden = order[:, -module.n_masked :]
    predicted = predicted.reshape(n_records, module.n_masked, module.n_leads, -1)
    if module.target != "raw":
        level, deviation = segments.mean(axis=3), segments.std(axis=3)
        for record, masked in enumerate(hidden):
            seen = np.sort(order[record, : -module.n_masked])
            for lead in range(module.n_leads):
                # Their own level would be a look at what is hidden.
                for values in (level, deviation):
                    values[record, masked, lead] = np.interp(
                        masked, seen, values[record, seen, lead]
                    )
        pick = np.take_along_axis
        if module.target == "normalized":
            predicted = predicted * pick(deviation, hidden[..., None], axis=1)[..., None]
        predicted = predicted + pick(level, hidden[..., None], axis=1)[..., None]
    np.put_along_axis(segments, hidden[..., None, None], predicted, axis=1)
    return segments.transpose(0, 2, 1, 3).reshape(n_records, module.n_leads, -1)
