"""Recordings that a fit prepares once instead of in each epoch."""

import errno
import os
import tempfile
import threading
from collections import Counter
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import sklearn
import torch
from sklearn.base import clone

from ecgsk import (
    ECGAugmentation,
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
    RecordArray,
)
from ecgsk._training import Trainer, kept_recordings
from ecgsk._training.dataset import ECGDataset
from ecgsk._training.distributed import SharedDataset
from ecgsk._training.kept_recordings import KeptRecordings, keep_recordings
from ecgsk.estimators import EarlyStopping, LinearProbe, PostTraining
from tests._device_stand_in import DeviceStandIn
from tests._models import RATE, recordings

# Prepared, they take 12 kB each, and 0.55 MB together.
N_RECORDS = 48
EPOCHS = 3


class Counted:
    """Recordings on disk that are halved as they are read, with counts of both."""

    def __init__(self, n_records=N_RECORDS):
        self.X, self.y = recordings(n_records)
        self.read, self.prepared, self.threads = Counter(), 0, set()

    def __call__(self, rows):
        self.read.update(rows.tolist())
        self.threads.add(threading.current_thread())
        return self.X[rows]

    def records(self):
        return RecordArray(self, self.X.shape, sampling_rate=RATE)

    def halve(self, X):
        self.prepared += len(X)
        return X / 2

    def halved(self):
        return self.records().map(self.halve, self.X.shape[1:])

    def n_reads(self):
        """Return how often a record was read, which must be the same for all."""
        assert len(self.read) == len(self.X)
        (n_reads,) = set(self.read.values())
        return n_reads


class FullDisk:
    """A temporary file on a disk that is full after some records."""

    def __init__(self, file, n_records, n_bytes_more=None):
        self.file, self.n_records, self.n_bytes_more = file, n_records, n_bytes_more
        self.seek, self.readinto = file.seek, file.readinto

    def write(self, record):
        self.n_records -= 1
        if self.n_records >= 0:
            return self.file.write(record)
        if self.n_bytes_more is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(record.tobytes()[: self.n_bytes_more])

    def close(self):
        self.file.close()
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def founder(**params):
    quick = {"max_epochs": EPOCHS, "batch_size": 16, "learning_rate": 1e-3, "random_state": 0}
    model = ECGFounderClassifier("nano", sampling_rate=RATE, precision="float32", device="cpu")
    return model.set_params(**{**quick, **params})


def mtecg(**params):
    model = MTECGClassifier("nano", sampling_rate=RATE, precision="float32", device="cpu")
    return model.set_params(**{"max_epochs": EPOCHS, "random_state": 0, **params})


@pytest.fixture
def never_kept(monkeypatch):
    """Return what switches keeping off, and counts how often it would have been tried."""
    tried = []

    def switch_off():
        monkeypatch.setattr(
            KeptRecordings, "with_room_for", lambda *args: tried.append(args) or None
        )
        return tried

    return switch_off


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


@pytest.fixture
def small_memory():
    with sklearn.config_context(working_memory=0.5):
        yield


def weights(model):
    return {name: value.numpy() for name, value in model.net_.module_.state_dict().items()}


def assert_same(model, other):
    assert [{**row, "dur": 0} for row in model.history_] == [
        {**row, "dur": 0} for row in other.history_
    ]
    for name, value in weights(model).items():
        np.testing.assert_array_equal(value, weights(other)[name], err_msg=name)


@pytest.mark.parametrize(
    ("params", "n_reads"),
    [
        ({}, EPOCHS),
        ({"early_stopping": EarlyStopping(n_iter_no_change=EPOCHS)}, EPOCHS),
        ({"strategy": PostTraining(head_epochs=4), "max_epochs": 2}, 1 + 2),
        ({"strategy": LinearProbe(max_epochs=2), "augmentation": ECGAugmentation()}, 2),
    ],
    ids=["full", "early stopping", "post-training", "augmented head"],
)
def test_filters_run_once_for_each_record(params, n_reads, never_kept, files):
    model, sources = founder(**params), [Counted() for _ in range(3)]
    X, y = [source.records() for source in sources], sources[0].y
    in_memory = clone(model).fit(X[0], y)
    assert not files
    with sklearn.config_context(working_memory=0.5):
        in_file = clone(model).fit(X[1], y)
    assert [file.closed for file in files] == [True]
    never_kept()
    model.fit(X[2], y)
    # Recordings are checked before a fit; that reads them as well.
    assert [source.n_reads() for source in sources] == [1 + 1, 1 + 1, 1 + n_reads]
    assert_same(in_memory, model)
    assert_same(in_file, model)


@pytest.mark.parametrize("estimator", [mtecg, MTECGPretrainer])
def test_what_a_pipeline_does_before_the_network_is_kept_as_well(estimator):
    source = Counted()
    model = mtecg() if estimator is mtecg else MTECGPretrainer("nano", max_epochs=EPOCHS)
    model.set_params(sampling_rate=RATE, device="cpu").fit(source.halved(), source.y)
    # The scale of the input was measured on records before the first epoch.
    assert source.prepared == source.read.total() == (1 + 1 + 1) * N_RECORDS


@pytest.mark.parametrize("working_memory", [1024, 0.5])
def test_a_thread_that_reads_ahead_keeps_what_it_reads(working_memory, files):
    source = Counted()
    model = founder(device="auto", early_stopping=EarlyStopping(n_iter_no_change=EPOCHS))
    with DeviceStandIn(), sklearn.config_context(working_memory=working_memory):
        model.fit(source.records(), source.y)
    assert source.n_reads() == 1 + 1
    assert len(files) == (working_memory < 1)
    # The checks read in the fit's own thread.
    assert len(source.threads - {threading.main_thread()}) > 0


def test_groups_of_early_stopping():
    source = Counted()
    groups = np.arange(N_RECORDS) // 4
    model = founder(early_stopping=EarlyStopping(n_iter_no_change=EPOCHS))
    kept = clone(model).fit(source.records(), source.y, groups=groups)
    assert source.n_reads() == 2
    assert_same(kept, clone(model).fit(source.X, source.y, groups=groups))


def test_records_without_weight_take_no_room(monkeypatch):
    source = Counted()
    seen = []
    with_room_for = KeptRecordings.with_room_for

    def spy(X, n_records):
        seen.append(n_records)
        return with_room_for(X, n_records)

    monkeypatch.setattr(KeptRecordings, "with_room_for", spy)
    used = np.arange(N_RECORDS) % 3 > 0
    founder().fit(source.records(), source.y, sample_weight=used)
    assert seen == [used.sum()]
    assert [source.read[row] for row in range(4)] == [1, 2, 2, 1]


@pytest.mark.parametrize(
    ("params", "prepared"),
    [
        ({"strategy": "linear_probe"}, True),
        ({"max_epochs": 1}, True),
        ({"preprocessing": "none"}, False),
    ],
    ids=["features are constant", "one epoch", "nothing to prepare"],
)
def test_nothing_is_kept_where_that_saves_nothing(params, prepared, never_kept):
    tried = never_kept()
    source = Counted()
    founder(**params).fit(source.records(), source.y)
    assert source.n_reads() == (2 if prepared else 1 + EPOCHS)
    assert not tried


def test_arrays_in_memory_are_prepared_once_as_before(never_kept):
    tried = never_kept()
    source = Counted()
    founder().fit(source.X, source.y)
    assert not tried


def test_predictions_keep_nothing(never_kept):
    source = Counted()
    model = founder().fit(source.X, source.y)
    tried = never_kept()
    expected = model.predict_proba(source.X)
    for _ in range(2):
        np.testing.assert_array_equal(model.predict_proba(source.records()), expected)
    assert source.n_reads() == 2
    assert not tried


@pytest.mark.parametrize("missing_bytes", [0, 1])
def test_half_of_the_disk_stays_free(small_memory, files, monkeypatch, missing_bytes):
    source = Counted()
    needed = N_RECORDS * 3 * 1000 * 4
    free = SimpleNamespace(free=2 * needed - missing_bytes)
    monkeypatch.setattr(kept_recordings.shutil, "disk_usage", lambda folder: free)
    founder().fit(source.records(), source.y)
    assert len(files) == 1 - missing_bytes
    assert source.n_reads() == 1 + (EPOCHS if missing_bytes else 1)


def test_without_a_temporary_folder_nothing_is_kept(small_memory, monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(kept_recordings.tempfile, "gettempdir", none)
    source = Counted()
    founder().fit(source.records(), source.y)
    assert source.n_reads() == 1 + EPOCHS


@pytest.mark.parametrize("n_bytes_more", [None, 100], ids=["error", "incomplete"])
def test_a_disk_that_fills_up(small_memory, files, monkeypatch, n_bytes_more, recwarn):
    spy = tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda *args, **kwargs: FullDisk(spy(**kwargs), 20, n_bytes_more)
    )
    source = Counted()
    model = founder().fit(source.records(), source.y)
    assert files[0].closed
    (warning,) = [w for w in recwarn if "temporary folder" in str(w.message)]
    assert os.strerror(errno.ENOSPC) in str(warning.message)
    # The second batch does not fit any more: that epoch reads each record once all the same.
    assert source.n_reads() == 1 + EPOCHS
    assert_same(model, founder().fit(source.X, source.y))


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_file_has_no_name_and_ends_with_an_interrupted_fit(
    small_memory, files, monkeypatch, tmp_path, error
):
    source, folder = Counted(), tmp_path / "checkpoints"
    names = []
    model = founder(checkpoint_dir=folder)
    after_epoch = Trainer.after_epoch

    def stops(trainer):
        after_epoch(trainer)
        names.extend(path.name for path in tmp_path.iterdir())
        if trainer.epoch == 2:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "after_epoch", stops)
        with pytest.raises(error):
            model.fit(source.records(), source.y)
    assert [file.closed for file in files] == [True]
    if os.name == "posix":
        # What has no name cannot be left behind by a process that is killed.
        assert set(names) == {"checkpoints"}
    assert len(list(folder.iterdir())) == 1
    model.fit(source.records(), source.y)
    assert not list(folder.iterdir())
    assert_same(model, founder().fit(source.X, source.y))


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
