"""Searches that are killed, and searches that share a study."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from _search_script import search

from ecgsk.model_selection._owner import Owner

SCRIPT = Path(__file__).parents[1] / "_search_script.py"
N_TRIALS = 12
FOLD = "80"  # records that a fold learns from


def start(storage, log, **options):
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    return subprocess.Popen(
        [sys.executable, SCRIPT, storage, log, *words], stdout=subprocess.PIPE, env=env
    )


def fits(log):
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(params=["sqlite", "journal"])
def storage(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    return f"journal:{tmp_path / 'study.log'}"


def test_a_killed_search_ends_as_if_nothing_had_happened(storage, tmp_path):
    log = tmp_path / "fits"
    process = start(storage, log)
    while len(fits(log)) < 11:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = json.loads(start(storage, log).communicate(timeout=120)[0])
    whole = search(None, tmp_path / "other", seconds=0).cv_results_
    assert done["number"] == list(range(N_TRIALS))
    assert done["C"] == whole["param_C"].tolist()
    assert done["score"] == whole["mean_test_score"].tolist()
    # A trial lost at most the fold it was in.
    counts = Counter(C for _, n, C in fits(log) if n == FOLD)
    assert sorted(counts.values())[:-1] == [3] * (N_TRIALS - 1) and max(counts.values()) <= 4


def test_two_processes_share_a_search(storage, tmp_path):
    log = tmp_path / "fits"
    processes = [start(storage, log, seconds=0.1) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert answers[0] == answers[1]
    assert answers[0]["number"] == list(range(N_TRIALS))
    assert set(answers[0]["state"]) == {"COMPLETE"}
    assert len(set(answers[0]["C"])) == N_TRIALS
    done = [(pid, C) for pid, n, C in fits(log) if n == FOLD]
    assert set(Counter(C for _, C in done).values()) == {3}
    # Each trial is one process's, and both had some.
    assert len(set(done)) == N_TRIALS and len({pid for pid, _ in done}) == 2


@pytest.mark.slow
def test_one_of_two_is_killed(tmp_path):
    storage, log = f"sqlite:///{tmp_path / 'study.db'}", tmp_path / "fits"
    processes = [start(storage, log, seconds=0.15) for _ in range(2)]
    while len({pid for pid, *_ in fits(log)}) < 2:
        time.sleep(0.01)
    processes[0].send_signal(signal.SIGKILL)
    processes[0].communicate()
    answer = json.loads(processes[1].communicate(timeout=120)[0])
    assert answer["number"] == list(range(N_TRIALS)) and set(answer["state"]) == {"COMPLETE"}
    assert len(set(answer["C"])) == N_TRIALS


def test_the_dead_are_told_from_the_living(monkeypatch):
    us = Owner()
    assert us.lives(us.token, "a trial", None)
    assert not us.lives(None, "a trial", None)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    token = {**us.token, "pid": child.pid, "started": None}
    from ecgsk.model_selection import _owner

    token["started"] = _owner._started(child.pid)
    assert us.lives(token, "a trial", None)
    # Another process that got its number is not it.
    assert not us.lives({**token, "started": "1"}, "a trial", None)
    child.kill()
    time.sleep(0.2)
    assert not us.lives(token, "a trial", None)  # dead, not yet collected
    child.wait()
    assert not us.lives(token, "a trial", None)
    # Elsewhere there is only the sign of life.
    now = [0.0]
    monkeypatch.setattr(_owner.time, "monotonic", lambda: now[0])
    token["host"] = "elsewhere"
    assert us.lives(token, "its trial", 1)
    now[0] = 140
    assert us.lives(token, "its trial", 1)
    now[0] = 160
    assert not us.lives(token, "its trial", 1)
    assert us.lives(token, "its trial", 2)
