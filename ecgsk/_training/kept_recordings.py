"""Prepared recordings that are kept between the epochs of a fit."""

import errno
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
import sklearn

from ecgsk._core.records import RecordArray, is_prepared
from ecgsk._training.dataset import ECGDataset


@contextmanager
def keep_recordings(datasets: Sequence[ECGDataset], n_reads: int) -> Iterator[None]:
    """Let data sets of the same recordings prepare each record only once inside the block.

    ``n_reads`` is how often each record will be read. Nothing changes for a single read, for
    recordings in memory, for those that are read as they are stored, and where there is no room.
    """
    X = datasets[0].X
    sharing = [dataset for dataset in datasets if dataset.X is X]
    kept = None
    if n_reads > 1 and isinstance(X, RecordArray) and is_prepared(X):
        kept = KeptRecordings.with_room_for(X, sum(map(len, sharing)))
    if kept is None:
        yield
        return
    n_records, n_leads, n_samples = X.shape
    records = RecordArray(kept, (n_records, n_leads, n_samples))
    try:
        for dataset in sharing:
            dataset.X = records
        yield
    finally:
        for dataset in sharing:
            dataset.X = X
        kept.close()


class KeptRecordings:
    """Reads records of a RecordArray, and keeps them for the next time, as float32.

    An instance is the ``read`` of another RecordArray. The ``store`` has room for ``n_records``;
    others are read from X each time, and all are after `close`.
    """

    def __init__(self, X: RecordArray, n_records: int, store: "_InMemory | _InFile"):
        self.X = X
        self.n_records = n_records
        self.store = store
        self.n_kept = 0
        # Where in the store each record of X is; -1 for those that are not kept.
        self.places = np.full(len(X), -1, dtype=np.intp)
        # Another thread may still be reading when an interrupted fit closes the store.
        self.lock = threading.Lock()

    @classmethod
    def with_room_for(cls, X: RecordArray, n_records: int) -> "KeptRecordings | None":
        """Keep so many of the records: in scikit-learn's working memory, or in a temporary file.

        Returns None if neither has room. Half of the free disk is left to others.
        """
        n_bytes = n_records * X[:1].nbytes
        with suppress(OSError, MemoryError):
            if n_bytes <= sklearn.get_config()["working_memory"] * 2**20:
                return cls(X, n_records, _InMemory(n_records, X.shape[1:]))
            if 2 * n_bytes <= shutil.disk_usage(tempfile.gettempdir()).free:
                return cls(X, n_records, _InFile())
        return None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return records of shape (len(rows), n_leads, n_samples)."""
        with self.lock:
            places = self.places[rows]
            new = places < 0
            records = np.empty((len(rows), *self.X.shape[1:]), dtype=np.float32)
            if new.any():
                records[new] = self.X.read(rows[new])
            try:
                for i in np.flatnonzero(~new):
                    self.store.read(places[i], records[i])
                for i in np.flatnonzero(new)[: self.n_records - self.n_kept]:
                    self.store.write(self.n_kept, records[i])
                    self.places[rows[i]] = self.n_kept
                    self.n_kept += 1
            except OSError as error:
                self._drop()
                warnings.warn(
                    f"The temporary folder {tempfile.gettempdir()!r} does not hold the prepared "
                    f"recordings any longer ({error}): they are now prepared in each epoch, which "
                    "takes time. Free disk space, or set the environment variable TMPDIR to "
                    "another folder.",
                    stacklevel=2,
                )
                records[~new] = self.X.read(rows[~new])
        return records

    def close(self) -> None:
        """Give memory and disk back; from now on records are read from X."""
        with self.lock:
            self._drop()

    def _drop(self) -> None:
        self.store.close()
        self.n_records = self.n_kept = 0
        self.places[:] = -1


class _InMemory:
    """Records in memory that is taken as it is filled."""

    def __init__(self, n_records: int, shape: tuple[int, ...]):
        self.records = np.empty((n_records, *shape), dtype=np.float32)

    def read(self, place: int, record: np.ndarray) -> None:
        record[...] = self.records[place]

    def write(self, place: int, record: np.ndarray) -> None:
        self.records[place] = record

    def close(self) -> None:
        self.records = np.empty(0, dtype=np.float32)


class _InFile:
    """Records in a file without a name, which vanishes with the process, however that ends.

    The file is not mapped: mapped pages count as memory of the process, and a disk that is full
    would kill it instead of raising OSError.
    """

    def __init__(self) -> None:
        # Unbuffered: an error belongs to the record that it meets.
        self.file = tempfile.TemporaryFile(prefix="ecgsk-", buffering=0)

    def read(self, place: int, record: np.ndarray) -> None:
        self.file.seek(place * record.nbytes)
        if self.file.readinto(record.data) != record.nbytes:
            raise OSError(errno.EIO, "A record of the temporary file is incomplete")

    def write(self, place: int, record: np.ndarray) -> None:
        self.file.seek(place * record.nbytes)
        if self.file.write(record.data) != record.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        # Some file systems report a full disk late; the records are not needed any more.
        with suppress(OSError):
            self.file.close()
