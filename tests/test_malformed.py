"""Bad input gives a clear error or a right answer: a slice of the corpus of tests/fuzz."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ecgsk.weights import WeightFile, read_weights, write_weights
from tests._processes import HANG


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the harness watches processes by /proc")
def test_a_slice_of_the_corpus():
    # All of it: python -m tests.fuzz --all
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert int(re.search(r"^(\d+) inputs", done.stdout, re.M).group(1)) > 150


def test_the_harness_sees_what_must_not_be(tmp_path):
    # In a process of its own, because hooks of the interpreter stay.
    script = """
import os, sys, time
from types import SimpleNamespace as Reader
from pathlib import Path
from tests.fuzz._case import Case
from tests.fuzz._harness import run

def build(folder):
    (folder / "x").write_bytes(b"1")
    return folder / "x"

def canary(path):
    (path.parent.parent / "canary").write_text("")
    raise ValueError(f"{path} is bad")

def unnamed(path):
    raise KeyError("what")

readers = {
    "crashes": lambda path: os._exit(3),
    "hangs": lambda path: [None for _ in iter(int, 1)],
    "sleeps": lambda path: time.sleep(3600),
    "allocates": lambda path: bytearray(100 << 20) and None,
    "runs": lambda path: os.system("true") and None,
    "betrays": canary,
    "mumbles": unnamed,
    "answers": lambda path: 1,
}
kinds = {k: Reader(read=f, wrong=lambda path, answer: "") for k, f in readers.items()}
import tests.fuzz._harness as harness
harness.SECONDS, harness.ASLEEP = 1, 2
found = {r.case.kind: r.defects for r in run([Case(k, k, build) for k in kinds], kinds)}
assert not found.pop("answers"), found
assert all(found.values()), found
assert "processor time" in found["hangs"][0] and "sleeps" in found["sleeps"][0], found
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("change", [{"network": 7}, {"sampling_rate": -1.0}, {"kind": 3}])
def test_weights_of_other_fields_are_refused(tmp_path, change):
    said = {"kind": "mtecg-classifier", "network": {}, "tensors": {}, "sampling_rate": 100.0}
    write_weights(tmp_path / "x", WeightFile(**{**said, **change}))
    with pytest.raises(ValueError, match="x was changed, or written by another version of ecgsk"):
        read_weights(tmp_path / "x")
