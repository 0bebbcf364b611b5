"""Searches that are killed, and searches that share a study."""

import subprocess
import sys
from collections import Counter

import pytest

from ecgsk.model_selection._worker import Worker
from tests._processes import DEAD, HANG, SERVER, start, wait_until
from tests._search_script import fits_of, run, search

N_TRIALS = 12
FOLD = "80"  # records that a fold learns from


class Process:
    """A search in a process of its own."""

    def __init__(self, storage, log, **options):
        self.results, other = SERVER.Pipe(duplex=False)
        self.process = start(run, other, storage, log, **options)
        other.close()

    def found(self):
        assert self.results.poll(HANG)
        found = self.results.recv()
        self.process.join()
        return found


@pytest.fixture(params=["sqlite", "journal"])
def storage(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    return f"journal:{tmp_path / 'study.log'}"


def test_a_killed_search_ends_as_if_nothing_had_happened(storage, tmp_path):
    log = tmp_path / "fits"
    killed = Process(storage, log, dies_after=11)
    killed.process.join()
    assert killed.process.exitcode == DEAD
    done = Process(storage, log).found()
    whole = search(None, tmp_path / "other").cv_results_
    assert done["number"] == list(range(N_TRIALS))
    assert done["C"] == whole["param_C"].tolist()
    assert done["score"] == whole["mean_test_score"].tolist()
    # The trial lost the fold it was in, and no other.
    counts = Counter(C for _, n, C in fits_of(log) if n == FOLD)
    assert sorted(counts.values()) == [3] * (N_TRIALS - 1) + [4]


def test_two_processes_share_a_search(storage, tmp_path):
    log = tmp_path / "fits"
    processes = [Process(storage, log, together=True) for _ in range(2)]
    answers = [process.found() for process in processes]
    assert answers[0] == answers[1]
    assert answers[0]["number"] == list(range(N_TRIALS))
    assert set(answers[0]["state"]) == {"COMPLETE"}
    assert len(set(answers[0]["C"])) == N_TRIALS
    done = [(pid, C) for pid, n, C in fits_of(log) if n == FOLD]
    assert set(Counter(C for _, C in done).values()) == {3}
    # Each trial is one process's, and both had some.
    assert len(set(done)) == N_TRIALS and len({pid for pid, _ in done}) == 2


def test_one_of_two_is_killed(tmp_path):
    storage, log = f"sqlite:///{tmp_path / 'study.db'}", tmp_path / "fits"
    killed, other = (Process(storage, log, together=True, dies_after=n) for n in (2, None))
    answer = other.found()
    assert killed.process.exitcode == DEAD
    assert answer["number"] == list(range(N_TRIALS)) and set(answer["state"]) == {"COMPLETE"}
    assert len(set(answer["C"])) == N_TRIALS


def test_dead_workers_are_recognized(monkeypatch):
    worker = Worker()
    assert worker.is_alive(worker.token, "a trial", None)
    assert not worker.is_alive(None, "a trial", None)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    token = {**worker.token, "pid": child.pid, "started": None}
    from ecgsk.model_selection import _worker

    token["started"] = _worker._start_time(child.pid)
    assert worker.is_alive(token, "a trial", None)
    # A later process with the same number is another worker.
    assert not worker.is_alive({**token, "started": "1"}, "a trial", None)
    child.kill()
    # Its exit status is not collected yet.
    wait_until(lambda: not worker.is_alive(token, "a trial", None))
    child.wait()
    assert not worker.is_alive(token, "a trial", None)
    # For a process on another machine, only the heartbeat counts.
    now = [0.0]
    monkeypatch.setattr(_worker.time, "monotonic", lambda: now[0])
    token["host"] = "elsewhere"
    assert worker.is_alive(token, "its trial", 1)
    now[0] = 140
    assert worker.is_alive(token, "its trial", 1)
    now[0] = 160
    assert not worker.is_alive(token, "its trial", 1)
    assert worker.is_alive(token, "its trial", 2)
