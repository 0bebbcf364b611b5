"""Masked recordings, filled by a fitted masked autoencoder."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ecgsk._training.prediction import in_batches
from ecgsk._training.skorch_net import MaskedNet


def masked_losses(net: MaskedNet, X, batch_size: int, seed: int) -> np.ndarray:
    """Return the mean squared error over each record's masked segments, of shape (n_records,).

    The masks depend on the seed, and not on the size of batches.
    """

    def losses(records, predicted, wanted):
        return (predicted - wanted).square().mean(dim=(1, 2))

    batches = _masked_batches(net, X, batch_size, seed, losses)
    return np.concatenate([found.cpu().numpy() for _, _, _, found in batches])


def fill_masked(net: MaskedNet, X, batch_size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask recordings as `masked_losses` does; return them filled, mV, and what was masked.

    The mask is boolean, of shape (n_records, n_samples).
    """
    module, n_samples = net.module_, X.shape[2]
    filled = np.empty(X.shape, dtype=np.float32)
    masks = np.empty((len(X), n_samples), dtype=bool)

    def segments_and_guess(records, predicted, wanted):
        return module.segments(records.to(predicted)), predicted

    for rows, records, order, (segments, guess) in _masked_batches(
        net, X, batch_size, seed, segments_and_guess
    ):
        masked = np.zeros(order.shape, dtype=bool)
        np.put_along_axis(masked, order[:, -module.n_masked :], True, axis=1)
        shape = (*masked.shape, module.n_leads, -1)
        segments = segments.cpu().numpy().reshape(shape).copy()
        guess = guess.cpu().numpy().reshape(len(masked), module.n_masked, *shape[2:])
        hidden = order[:, -module.n_masked :, None, None]
        if module.target == "normalized":
            guess = guess * _between(segments.std(axis=3), masked, order, module.n_masked)
        np.put_along_axis(segments, hidden, guess, axis=1)
        if module.target != "raw":
            _join(segments, masked)
        whole = segments.transpose(0, 2, 1, 3).reshape(len(masked), module.n_leads, -1)
        whole = whole[..., :n_samples] * float(module.encoder.input_scale)
        masks[rows] = np.repeat(masked, module.encoder.patch_size, axis=1)[:, :n_samples]
        filled[rows] = np.where(masks[rows][:, None], whole, records.numpy())
    return filled, masks


def _masked_batches(net, X, batch_size, seed, compute: Callable) -> Iterator[tuple]:
    """Yield rows, recordings, order, and what is computed from recordings, prediction and truth.

    All that needs the device's memory is computed where its end is noticed.
    """
    random, shape = np.random.default_rng(seed), (len(X), net.module_.encoder.n_tokens)
    order, n_drawn = np.empty(shape, dtype=np.int32), 0

    def fill(records: torch.Tensor, rows: slice):
        nonlocal n_drawn
        # Half of a batch for which the memory did not suffice comes again, with the same order.
        missing = max(rows.stop - n_drawn, 0)
        order[n_drawn : n_drawn + missing] = random.random((missing, shape[1])).argsort(axis=1)
        n_drawn += missing
        filled = net.fill(records, torch.from_numpy(order[rows].astype(np.int64)))
        return compute(records, *filled)

    for rows, records, found in in_batches(net, fill, X, np.arange(len(X)), batch_size):
        yield rows, records, order[rows].astype(np.int64), found


def _between(deviation, masked, order, n_masked) -> np.ndarray:
    """Return the deviations of masked segments, interpolated between those that were seen."""
    out = np.empty((len(order), n_masked, deviation.shape[2], 1))
    for record, hidden in enumerate(order[:, -n_masked:]):
        seen = np.flatnonzero(~masked[record])
        for lead, values in enumerate(deviation[record].T):
            out[record, :, lead, 0] = np.interp(hidden, seen, values[seen])
    return out


def _join(segments: np.ndarray, masked: np.ndarray) -> None:
    """Add a level to masked segments, which are deflections about an unknown one.

    A run of them starts where the segment before it ends, each goes on where the last one ended,
    and what is missing to the segment after the run is shared out evenly over the joints.
    """
    n_tokens = masked.shape[1]
    for record, hidden in zip(segments, masked, strict=True):
        edges = np.flatnonzero(np.diff(hidden, prepend=False, append=False))
        for first, after in edges.reshape(-1, 2):
            run = record[first:after]  # (segments, leads, samples)
            steps = run[:-1, :, -1] - run[1:, :, 0]
            level = np.concatenate([np.zeros((1, run.shape[1])), np.cumsum(steps, axis=0)])
            before = None if first == 0 else record[first - 1, :, -1] - run[0, :, 0]
            behind = None if after == n_tokens else record[after, :, 0] - run[-1, :, -1] - level[-1]
            level += behind if before is None else before
            if before is not None and behind is not None:
                share = np.arange(1, len(run) + 1) / (len(run) + 1)
                level += share[:, None] * (behind - before)
            run += level[..., None]
