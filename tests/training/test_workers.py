"""Fits in several processes: locks of a GPU, threads of a CPU, workers of a cluster."""

import importlib.util
import json
import multiprocessing
import os
import pickle
import shutil
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import joblib
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils import gen_batches

from ecgsk import MTECGClassifier, RecordArray
from ecgsk._training import Trainer, device_lock, on_device, resolve_device
from ecgsk._training.device import worker_number
from ecgsk.preprocessing import Standardize
from ecgsk.tabular import ProbabilityTransformer
from tests._models import RATE, recordings
from tests._processes import HANG, wait_until


@contextmanager
def cpu_as_gpu(folder):
    """Treat the CPU as a GPU."""
    cuda = torch.cuda
    with (
        mock.patch.object(device_lock, "_LOCKED_TYPES", ("cpu",)),
        mock.patch.object(tempfile, "tempdir", str(folder)),
        mock.patch.object(cuda, "current_device", return_value=0),
        mock.patch.object(cuda, "device", nullcontext),
        mock.patch.object(cuda, "get_device_properties", return_value=SimpleNamespace(uuid="U")),
        # With a torch that is built for CUDA, a question for its devices spoils every fork.
        mock.patch.object(cuda, "_is_in_bad_fork", return_value=False),
    ):
        yield


def lodger(folder, name, stays):
    """Take a place, stay there until the file "leave" is written, and write down all of it."""
    with cpu_as_gpu(folder):
        (folder / f"{name}.waits").touch()
        with on_device("cpu", 8), on_device("cpu", 8):
            left = [path.stem for path in folder.glob("*.left")]
            (folder / f"{name}.in").write_text(" ".join(left))
            if stays:
                wait_until((folder / "leave").exists)
            (folder / f"{name}.left").touch()


def start(folder, name, *, stays=False, wait_for="in"):
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    process = multiprocessing.get_context("fork").Process(target=lodger, args=(folder, name, stays))
    process.start()
    wait_until((folder / f"{name}.{wait_for}").exists, process)
    return process


def ended(*processes):
    for process in processes:
        process.join(HANG)
        assert process.exitcode == 0
    return True


def spans(folder):
    return sorted(tuple(map(float, path.read_text().split())) for path in folder.glob("*.span"))


def overlaps(found):
    return sum(later[0] < earlier[1] for earlier, later in zip(found, found[1:], strict=False))


@pytest.fixture
def one_job(monkeypatch):
    monkeypatch.setenv("ECGSK_JOBS_PER_DEVICE", "1")


def test_processes_wait_for_the_only_place(tmp_path, one_job):
    first = start(tmp_path, "first", stays=True)
    second = start(tmp_path, "second", wait_for="waits")
    time.sleep(0.1)  # for a second process that would not wait
    assert not (tmp_path / "second.in").exists()
    (tmp_path / "leave").touch()
    assert ended(first, second)
    assert (tmp_path / "second.in").read_text() == "first"


def test_two_places_are_for_two_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGSK_JOBS_PER_DEVICE", "2")
    first = start(tmp_path, "first", stays=True)
    second = start(tmp_path, "second", stays=True)
    third = start(tmp_path, "third", wait_for="waits")
    time.sleep(0.1)
    assert not (tmp_path / "third.in").exists()
    (tmp_path / "leave").touch()
    assert ended(first, second, third)
    assert (tmp_path / "second.in").read_text() == ""
    assert (tmp_path / "third.in").read_text() != ""


def test_processes_wait_only_where_the_user_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.delenv("ECGSK_JOBS_PER_DEVICE", raising=False)
    processes = [start(tmp_path, name, stays=True) for name in ("first", "second", "third")]
    (tmp_path / "leave").touch()
    assert ended(*processes)


def test_the_lock_of_a_killed_process_is_released(tmp_path, one_job):
    first = start(tmp_path, "first", stays=True)
    second = start(tmp_path, "second", wait_for="waits")
    time.sleep(0.1)
    assert not (tmp_path / "second.in").exists()
    first.kill()
    assert ended(second)


def test_a_forked_child_does_not_own_its_parents_lock(tmp_path, one_job):
    with cpu_as_gpu(tmp_path), on_device("cpu", 8):
        child = start(tmp_path, "child", wait_for="waits")
        time.sleep(0.1)
        assert not (tmp_path / "child.in").exists()
    assert ended(child)


@pytest.mark.parametrize("n_jobs", ["some", "0", "-1", ""])
def test_another_number_of_jobs_is_refused(tmp_path, monkeypatch, n_jobs):
    monkeypatch.setenv("ECGSK_JOBS_PER_DEVICE", n_jobs)
    match = f"ECGSK_JOBS_PER_DEVICE='{n_jobs}' is not allowed"
    with cpu_as_gpu(tmp_path), pytest.raises(ValueError, match=match):
        with on_device("cpu", 8):
            pass


def test_who_waits_warns_once(tmp_path, monkeypatch, one_job):
    first, messages = start(tmp_path, "first", stays=True), []

    def warn(message, **kwargs):
        messages.append(message)
        (tmp_path / "leave").touch()

    monkeypatch.setattr(device_lock, "_PATIENCE", 0.0)
    monkeypatch.setattr(warnings, "warn", warn)
    with cpu_as_gpu(tmp_path), on_device("cpu", 8):
        assert ended(first)
    (message,) = messages
    assert "Waiting for cuda-U: 1 other" in message and "Unset the variable" in message


@pytest.mark.parametrize("locked", [True, False])
def test_memory_is_given_back_only_where_others_may_wait(tmp_path, monkeypatch, locked):
    monkeypatch.delenv("ECGSK_JOBS_PER_DEVICE", raising=False)
    if locked:
        monkeypatch.setenv("ECGSK_JOBS_PER_DEVICE", "3")
    with cpu_as_gpu(tmp_path), mock.patch.object(torch.cuda, "empty_cache") as empty:
        with on_device("cpu", 8), on_device("cpu", 8):
            pass
        with on_device("cpu", 8, in_turn=False):
            pass
    assert empty.call_count == locked
    assert (tmp_path / f"ecgsk-{os.getuid()}").exists() == locked


def test_memory_is_given_back_on_the_locks_own_device(tmp_path, one_job):
    current, calls = [0], []

    @contextmanager
    def device(index):
        before, current[0] = current[0], index
        yield
        current[0] = before

    cuda = torch.cuda
    with (
        cpu_as_gpu(tmp_path),
        mock.patch.object(device_lock, "_LOCKED_TYPES", ("cuda",)),
        mock.patch.object(cuda, "device", device),
        mock.patch.object(cuda, "empty_cache", lambda: calls.append(current[0])),
        mock.patch.object(cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=f"U{i}")),
    ):
        with on_device("cuda:2", 8):
            assert current == [0]
        with pytest.raises(ZeroDivisionError), on_device("cuda:1", 8), on_device("cuda:2", 8):
            1 / 0  # noqa: B018
    assert calls == [2, 2, 1] and current == [0]


def test_a_thread_that_waits_for_a_gpu_stops_nobody_else(tmp_path, one_job, monkeypatch):
    waiting, free, ended_ = threading.Event(), threading.Event(), []

    def acquire(name):
        if name == "cuda-U0":
            waiting.set()
            assert free.wait(HANG)

    monkeypatch.setattr(device_lock, "_acquire", acquire)
    monkeypatch.setattr(device_lock, "_LOCKED_TYPES", ("cuda",))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=f"U{i}")
    )
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(device_lock, "_LOCKS", {})

    def fit(device):
        with on_device(device, 8):
            ended_.append(device)

    threads = [threading.Thread(target=fit, args=("cuda:0",)) for _ in range(2)]
    with on_device("cuda:1", 8):
        for thread in threads:
            thread.start()
        assert waiting.wait(HANG)
        fit("cuda:2")
        fit("cpu")
    # Predicting and loading take no lock, and this thread has given its own back.
    assert ended_ == ["cuda:2", "cpu"]
    free.set()
    for thread in threads:
        thread.join(HANG)
    assert ended_[2:] == ["cuda:0", "cuda:0"]


def test_where_files_cannot_be_locked_nobody_waits(tmp_path, monkeypatch, one_job):
    with cpu_as_gpu(tmp_path / "missing"):
        with pytest.warns(UserWarning, match="ECGSK_JOBS_PER_DEVICE has no effect on cuda-U.*TMP"):
            with on_device("cpu", 8):
                pass
        monkeypatch.setattr(device_lock, "fcntl", None)
        with on_device("cpu", 8):
            pass


def test_devices_have_names_of_their_own(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=f"U{i}")
    )
    assert device_lock.device_name(1) == "cuda-U1"
    # Versions without the number of the device see what CUDA_VISIBLE_DEVICES says.
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7")
    assert [device_lock.device_name(i) for i in (0, 1)] == ["cuda-3", "cuda-GPU-7"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    none = SimpleNamespace(uuid="00000000-0000-0000-0000-000000000000")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: none)
    assert device_lock.device_name(2) == "cuda-2"


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("MainProcess", None),
        ("Dask Worker process (from Nanny)", None),
        ("LokyProcess-1", 0),
        ("ForkPoolWorker-4", 3),
        ("LokyProcess-2:3", 3),
    ],
)
def test_workers_are_numbered(name, number):
    assert worker_number(name) == number


def test_workers_share_out_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    process = multiprocessing.current_process()
    assert resolve_device("auto") == resolve_device("cuda") == "cuda:0"
    found = []
    for number in (1, 2, 3):
        monkeypatch.setattr(process, "name", f"LokyProcess-{number}")
        found.append(resolve_device("auto"))
    assert found == ["cuda:0", "cuda:1", "cuda:0"]
    assert resolve_device("cuda:1") == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == "cuda:0"


def test_cuda_in_a_forked_process_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    for device in ("auto", "cuda", torch.device("cuda:0")):
        with pytest.raises(RuntimeError, match="forked from one that has used cuda.*loky"):
            resolve_device(device)
    with pytest.raises(RuntimeError, match="forked"), on_device("cuda", 8):
        pass
    assert resolve_device("cpu") == "cpu"


class OnItsTurn(MTECGClassifier):
    """Believes that the CPU is a GPU, in whichever process, and writes down when it trains."""

    def fit(self, X, y, *, sample_weight=None, groups=None):
        folder = os.environ["TURNS"]
        execute = Trainer.execute

        def noted(trainer):
            begun = time.monotonic()
            rows = execute(trainer)
            name = f"{folder}/{os.getpid()}-{begun}.span"
            with open(name, "w") as stream:
                stream.write(f"{begun} {time.monotonic()}")
            return rows

        with cpu_as_gpu(folder), mock.patch.object(Trainer, "execute", noted):
            return super().fit(X, y, sample_weight=sample_weight, groups=groups)


def threads_of_a_worker():
    return os.getpid(), torch.get_num_threads()


@pytest.mark.slow
def test_folds_in_workers_neither_meet_nor_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("TURNS", str(tmp_path))
    monkeypatch.setenv("ECGSK_JOBS_PER_DEVICE", "1")
    # Workers that other tests have left do not know of it.
    get_reusable_executor().shutdown(wait=True, kill_workers=True)
    X, y = recordings(24)
    model = OnItsTurn(
        "nano", sampling_rate=RATE, max_epochs=4, precision="float32", device="cpu", random_state=0
    )
    step = ProbabilityTransformer(model, cv=2, n_jobs=2, random_state=0)
    found = step.fit_transform(X, y)
    assert np.isfinite(np.asarray(found)).all()
    done = spans(tmp_path)
    assert len(done) == 3 and not overlaps(done)
    assert len({path.name.split("-")[0] for path in tmp_path.glob("*.span")}) == 3
    # Together, workers have no more threads than there are cores.
    said = Parallel(n_jobs=2)(delayed(threads_of_a_worker)() for _ in range(4))
    assert os.getpid() not in {pid for pid, _ in said}
    assert all(2 * n_threads <= max(2, joblib.cpu_count()) for _, n_threads in said)


def test_memory_maps_travel_as_paths(tmp_path):
    random = np.random.default_rng(0)
    X = np.asfortranarray(random.integers(-9, 9, (40, 3, 500)).astype(np.int16))
    np.save(tmp_path / "X.npy", X)
    with open(tmp_path / "raw", "wb") as stream:
        stream.write(b"head" + X.tobytes("C"))
    raw = np.memmap(tmp_path / "raw", np.int16, "r", 4, X.shape)
    for array in (np.load(tmp_path / "X.npy", mmap_mode="r"), raw):
        sent = pickle.dumps(RecordArray.wrap(array)[5:30].map(np.abs, (3, 500)))
        assert len(sent) < 2_000 < X.nbytes
        np.testing.assert_array_equal(pickle.loads(sent).read([0, 3]), abs(X[[5, 8]]))
    # What is not in the file as it is has to be sent.
    changed = np.load(tmp_path / "X.npy", mmap_mode="c")
    changed[0] = 7
    for array in (raw[10:], raw[:, 1:], changed):
        got = pickle.loads(pickle.dumps(RecordArray.wrap(array)))
        np.testing.assert_array_equal(got, array)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_benchmark_fills_in_its_tables(tmp_path, monkeypatch, one_thread):
    path = Path(__file__).parents[2] / "benchmarks" / "scaling.py"
    spec = importlib.util.spec_from_file_location("scaling", path)
    scaling = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scaling)
    # Starting torchrun and clusters has tests of its own.
    monkeypatch.setattr(scaling, "pretraining", lambda folder, n, *rest: 100.0 * n)
    monkeypatch.setattr(scaling, "validation", lambda X, n, *rest: 50.0)
    results = scaling.measure(scaling.QUICK, 0, tmp_path)
    results = json.loads(json.dumps(results))
    shutil.copy(path.parent.parent / "docs" / "scaling.md", tmp_path)
    for _ in range(2):
        scaling.write_documents(results, tmp_path)
    text = (tmp_path / "scaling.md").read_text()
    assert "| pre-training, torchrun | 100 | 200 | 2.00 | 2.00 |" in text
    assert "| parameters of encoder and decoder | 5,723,116 |" in text
    assert text.count("records/s | ratio |") == 1 and "Not measured yet" not in text
    # 4 bytes of a parameter, and 3.86 GFLOP: three times the products of the forward pass.
    count = scaling.arithmetic()
    assert count["bytes_of_gradient"] == 4 * 5_723_116
    tokens, width = 101, 192
    block = tokens * 12 * width**2 + 2 * tokens**2 * width
    assert count["flop_per_record"] == pytest.approx(3 * 2 * 12 * block, rel=0.15)


@pytest.mark.slow
def test_workers_of_a_cluster_say_what_one_process_says(tmp_path, one_thread):
    distributed = pytest.importorskip("distributed")
    X, y = recordings(48)
    np.save(tmp_path / "X.npy", X)
    lazy = RecordArray.wrap(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert len(pickle.dumps(lazy[:40])) < 2_000 < X.nbytes
    model = make_pipeline(
        Standardize(),
        MTECGClassifier(
            "nano", sampling_rate=RATE, max_epochs=2, precision="float32", device="cpu",
            random_state=0,
        ),
    )  # fmt: skip

    def ask():
        scores = cross_validate(model, lazy, y, cv=2, return_estimator=True, n_jobs=2)
        fitted = scores["estimator"][0]
        parts = Parallel(n_jobs=2)(
            delayed(fitted.predict_proba)(lazy[rows]) for rows in gen_batches(len(lazy), 20)
        )
        return scores["test_score"], np.concatenate(parts)

    with joblib.parallel_config(backend="sequential"):
        expected = ask()
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        found = ask()
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, other)
