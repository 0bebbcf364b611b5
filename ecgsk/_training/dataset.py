"""Batches of records, read when their turn comes."""

import copy

import numpy as np
import torch
from torch.utils.data import Dataset

from ecgsk._core.records import RecordArray


def read_batch(X: np.ndarray | RecordArray, rows) -> torch.Tensor:
    """Return records as a float32 tensor of shape (len(rows), n_leads, n_samples)."""
    records = X.read(rows) if isinstance(X, RecordArray) else X[rows]
    # torch warns of arrays that it cannot write to, such as read-only memory maps.
    return torch.from_numpy(np.require(records, np.float32, ["C", "W"]))


def signal_scale(X: np.ndarray | RecordArray, rows: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted median of the records' standard deviations, mV.

    The median, because one record of artifacts must not decide how all others are seen. At most 512
    of the ``rows`` are read, spread evenly; it is 1 for recordings without any deflection.
    """
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, 512).astype(int))]
    deviations = np.concatenate(
        [
            read_batch(X, rows[start : start + 64]).numpy().std(axis=(1, 2), dtype=np.float64)
            for start in range(0, len(rows), 64)
        ]
    )
    order = np.argsort(deviations)
    reached = np.cumsum(weights[rows][order])
    return float(deviations[order][np.searchsorted(reached, reached[-1] / 2)]) or 1.0


class ECGDataset(Dataset):
    """Recordings X, mV, with their targets and weights, fetched a batch at a time.

    ``rows`` are the records of X that belong to it; ``y`` is encoded, ``teacher`` (n_records,
    n_outputs) holds a teacher's logits; these and ``weights`` have an entry for each record of X.
    """

    def __init__(
        self,
        X: np.ndarray | RecordArray,
        y: np.ndarray,
        weights: np.ndarray,
        rows: np.ndarray,
        teacher: np.ndarray | None = None,
    ):
        self.X = X
        self.targets = [torch.tensor(y), torch.tensor(weights)]
        if teacher is not None:
            self.targets.append(torch.tensor(teacher, dtype=torch.float32))
        self.rows = np.asarray(rows)

    def with_features(self, features: np.ndarray) -> "ECGDataset":
        """Return the data set with a row of features in the place of each record."""
        other = copy.copy(self)
        other.X, other.rows = features, np.arange(len(self))
        other.targets = [part[self.rows] for part in self.targets]
        return other

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]):
        """Fetch a batch: torch passes all of its indices at once."""
        rows = self.rows[indices]
        return read_batch(self.X, rows), tuple(part[rows] for part in self.targets)

    def __getitem__(self, index: int):
        records, targets = self.__getitems__([index])
        return records[0], tuple(part[0] for part in targets)


def keep_batch(batch):
    """Collate nothing: `ECGDataset` hands out whole batches."""
    return batch
