"""The script that examines a GPU runs, here on the CPU."""

import json
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ON_CPU = ("--device", "cpu", "--records", "32")


@pytest.fixture
def gpu(monkeypatch):
    """Return the script as a module."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    gpu = import_module("gpu")
    yield gpu
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == ROOT / "benchmarks":
            del sys.modules[name]


def run(gpu, *arguments):
    """Return the script's exit status, what it wrote as JSON, and its path."""
    out = Path("device.json").resolve()
    status = gpu.main([*arguments, "--out", str(out)])
    return status, json.loads(out.read_text()), out


def test_the_benchmark_fills_in_its_tables(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu._gpu_figures, "PRECISIONS", ("tf32",))
    status, results, out = run(gpu, "resume", "syncs", "training", "prediction", *ON_CPU)
    assert status == 0
    assert {name: check["result"] for name, check in results["checks"].items()} == {
        "resume": "OK", "syncs": "SKIP"
    }  # fmt: skip
    assert results["checks"]["resume"]["found"]["averaging 0.9, the same device"] == 0
    for row in (*results["training"], *results["prediction"]):
        assert row["records_per_s"] > 0 and row["by_hand_records_per_s"] > 0
    shutil.copy(ROOT / "docs" / "gpu.md", tmp_path)
    for _ in range(2):
        assert gpu.main(["--out", str(out), "--docs", str(tmp_path)]) == 0
    text = (tmp_path / "gpu.md").read_text()
    assert text.count("| resume | OK |") == text.count("records/s predicted") == 1
    assert "| prediction, MTECG | cpu | float32 | 32 |" in text
    assert "Not measured yet" not in text
    documented = re.findall(r"^\| `(\w+)` \|", text, re.M)
    assert {*gpu.CHECKS} <= {*documented} and "`training`, `prediction` and `kernels`" in text


def test_a_check_that_fails_does_not_end_the_run(gpu, tmp_path, monkeypatch, capsys):
    def broken(machine):
        gpu._gpu_answers.check(False, "3 MB are left")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(gpu.CHECKS, "memory", broken)
    status, results, _ = run(gpu, "memory", "out_of_memory", *ON_CPU)
    assert status == 1
    assert results["checks"]["memory"]["result"] == "FAIL"
    assert "AssertionError: 3 MB are left" in results["checks"]["memory"]["found"]
    assert results["checks"]["out_of_memory"]["result"] == "SKIP"
    assert "Failed: memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["agreement", "batches", "generators", "repeats", "memory", "moves", "default_device"]
)
def test_checks_without_other_processes(gpu, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    status, results, _ = run(gpu, name, *ON_CPU)
    assert status == 0 and results["checks"][name]["result"] == "OK"


def test_differences_are_found(gpu):
    assert gpu._gpu_answers.difference([1.0, -2.0], [1.0, -2.5]) == 0.2
    with pytest.raises(AssertionError, match="0.2"):
        gpu._gpu_answers.check(0.2 < gpu._gpu_answers.ALIKE, 0.2)


@pytest.mark.real_device
def test_every_part_runs_on_a_device(gpu, tmp_path, monkeypatch, real_device):
    monkeypatch.chdir(tmp_path)
    # Compiling for the CPU takes minutes and has tests of its own.
    parts = [part for part in gpu.PARTS if part != "compiled" or real_device != "cpu"]
    status, results, _ = run(gpu, *parts, "--quick", "--device", real_device)
    failed = {name: found for name, found in results["checks"].items() if found["result"] == "FAIL"}
    assert status == 0 and not failed
