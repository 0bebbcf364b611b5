"""Recordings that a fit prepares once instead of in each epoch."""

import tempfile
from collections import Counter
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import sklearn
import torch

from ecgsk import RecordArray
from ecgsk._training.dataset import ECGDataset
from ecgsk._training.distributed import SharedDataset
from ecgsk._training.kept_recordings import KeptRecordings, keep_recordings
from tests._models import RATE, recordings

N_RECORDS = 96


class Counted:
    """Recordings on disk that are halved as they are read, with counts of both."""

    def __init__(self, n_records=N_RECORDS):
        self.X, self.y = recordings(n_records)
        self.read, self.prepared = Counter(), 0

    def __call__(self, rows):
        self.read.update(rows.tolist())
        return self.X[rows]

    def records(self):
        return RecordArray(self, self.X.shape, sampling_rate=RATE)

    def halve(self, X):
        self.prepared += len(X)
        return X / 2

    def halved(self):
        return self.records().map(self.halve, self.X.shape[1:])


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Return the temporary files that are opened, with all of them in a folder of their own."""
    opened = []
    temporary_file = tempfile.TemporaryFile

    def spy(*args, **kwargs):
        opened.append(temporary_file(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", spy)
    return opened


def test_a_file_that_is_cut_short(files, recwarn):
    source = Counted()
    dataset, rows = dataset_of(source.halved()), list(range(N_RECORDS))
    with sklearn.config_context(working_memory=0), keep_recordings([dataset], 3):
        expected = dataset.__getitems__(rows)[0]
        files[0].truncate(10_000)
        for _ in range(2):
            assert torch.equal(dataset.__getitems__(rows)[0], expected)
        assert files[0].closed
    assert source.prepared == 3 * N_RECORDS
    assert len([w for w in recwarn if "incomplete" in str(w.message)]) == 1


def dataset_of(X):
    ones = np.ones(len(X))
    return ECGDataset(X, ones, ones, np.arange(len(X)))


def test_what_is_done_to_a_batch_does_not_change_what_is_kept():
    source = Counted()
    dataset = dataset_of(source.halved())
    with keep_recordings([dataset], 3):
        for _ in range(3):
            batch = dataset.__getitems__([5, 3, 5, 0])[0]
            np.testing.assert_array_equal(batch, source.X[[5, 3, 5, 0]] / 2)
            batch.zero_()
    assert source.prepared == 3


def test_after_the_block_data_sets_read_their_recordings_again():
    source = Counted()
    X = source.halved()
    train, valid, other = dataset_of(X), dataset_of(X), dataset_of(source.X)
    with keep_recordings([train, valid, other], 2):
        assert train.X is valid.X is not X
        assert other.X is source.X
        kept = train.X
        kept.read([0, 1])
    assert train.X is valid.X is X
    for _ in range(2):
        np.testing.assert_array_equal(kept.read(range(9)), source.X[:9] / 2)
    assert source.prepared == 2 + 2 * 9


def test_only_as_many_are_kept_as_there_is_room_for():
    source = Counted()
    X = source.halved()
    kept = KeptRecordings.with_room_for(X, 2)
    for rows in ([4, 7, 9], [4, 7, 9], [1]):
        np.testing.assert_array_equal(kept(np.array(rows)), source.X[rows] / 2)
    assert source.prepared == 3 + 1 + 1


def test_a_file_takes_no_memory():
    shape = (400, 12, 5000)
    X = RecordArray(lambda rows: np.ones((len(rows), *shape[1:]), np.float32), shape)
    before = psutil.Process().memory_info().rss
    with sklearn.config_context(working_memory=1):
        kept = KeptRecordings.with_room_for(X, len(X))
    for _ in range(2):
        for start in range(0, 400, 40):
            assert kept(np.arange(start, start + 40)).all()
    assert kept.n_kept == 400
    # It holds 96 MB.
    assert psutil.Process().memory_info().rss - before < 48e6
    kept.close()


def test_processes_that_fit_together_keep_their_shares():
    source = Counted()
    X = source.halved()
    ones = np.ones(N_RECORDS)
    ranks = SimpleNamespace(share=lambda n_records: slice(n_records // 2, n_records))
    dataset = SharedDataset(ranks, X, ones, ones, np.arange(N_RECORDS))
    with keep_recordings([dataset], 2):
        for _ in range(2):
            batch = dataset.__getitems__([3, 2, 1, 0])[0]
            np.testing.assert_array_equal(batch[2:], source.X[[1, 0]] / 2)
    assert source.read == {0: 1, 1: 1}
