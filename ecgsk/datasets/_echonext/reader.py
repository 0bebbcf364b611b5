"""Reading recordings of EchoNext from their file."""

import os

import numpy as np

from ecgsk._core.records import _release_pages
from ecgsk.datasets._echonext.files import NpyFile
from ecgsk.datasets._echonext.layout import ECHONEXT_SCALING

# Records read at once: what is mapped and converted at a time stays within a processor's cache
# and does not count up in memory.
_AT_ONCE = 16
_MEAN = ECHONEXT_SCALING["mean"].to_numpy(copy=True)
_STD = ECHONEXT_SCALING["std"].to_numpy(copy=True)


class EchoNextReader:
    """Reads rows (None: all) for a RecordArray: (n, 12, 2500) float32 mV.

    The path is kept and not the map, so that it pickles; each process maps the file for itself.
    Without ``microvolt_per_count`` the values stay z-scores.
    """

    def __init__(self, file: NpyFile, rows: np.ndarray | None, microvolt_per_count: float | None):
        self.file = file
        self.rows = rows
        self.microvolt_per_count = microvolt_per_count
        self._map: np.memmap | None = None

    def __getstate__(self) -> dict:
        return {**vars(self), "_map": None}

    def __call__(self, places: np.ndarray) -> np.ndarray:
        rows = np.asarray(places if self.rows is None else self.rows[places])
        array = self._open()
        n_samples, n_leads = array.shape[2:]
        out = np.empty((len(rows), n_leads, n_samples), dtype=np.float32)
        if self.microvolt_per_count is None:
            scale, shift = np.ones(n_leads), np.zeros(n_leads)
        else:
            millivolt = self.microvolt_per_count / 1000
            scale, shift = _STD * millivolt, _MEAN * millivolt
        order = np.argsort(rows, kind="stable")
        # Where the next record is not the next of the file, a new stretch begins.
        begins = np.flatnonzero(np.diff(rows[order], prepend=-2) != 1)
        for begin, end in zip(begins, np.append(begins, len(rows))[1:], strict=True):
            for start in range(begin, end, _AT_ONCE):
                chosen = order[start : min(start + _AT_ONCE, end)]
                first = rows[chosen[0]]
                block = array[first : first + len(chosen), 0] * scale + shift
                out[chosen] = block.transpose(0, 2, 1)
                _release_pages(array)
        return out

    def _open(self) -> np.memmap:
        if self._map is None:
            size = os.stat(self.file.path).st_size
            if size != self.file.size:
                raise ValueError(
                    f"{self.file.path} has {size} bytes but had {self.file.size} when it was "
                    "loaded. Load it again."
                )
            self._map = np.memmap(
                self.file.path,
                dtype=self.file.dtype,
                mode="r",
                offset=self.file.offset,
                shape=self.file.shape,
            )
        return self._map
