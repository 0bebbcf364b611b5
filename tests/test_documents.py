"""The README's code, the examples and the benchmarks run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ecgsk.estimators._ecgfounder_checkpoint import _published_name
from ecgsk.networks import Net1D

ROOT = Path(__file__).parent.parent


def run(*command, timeout=300):
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(code) == 5
    run("-c", code[0] + "\nassert probability.shape == (300,)")
    run("-c", code[1] + "\nassert probability.shape == (20, 71) and embedding.shape == (20, 32)")
    # In the place of the published weights, a file laid out like theirs.
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "cache"))
    state = {_published_name(k): v for k, v in Net1D(12, 150).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "12_lead.pth")
    code = code[2].replace('"12-lead"', repr(str(tmp_path / "12_lead.pth")))
    run("-c", code + "\nassert probability.shape == (20, 150)")


@pytest.mark.slow
def test_the_code_of_the_readme_on_low_ejection_fraction(tmp_path):
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[3]
    code = code.replace("demo-output", str(tmp_path))
    run("-c", code + "\nassert figures.loc['AUROC', 'value'] > 0.7")
    assert (tmp_path / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_the_code_of_the_readme_on_tuning(tmp_path):
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[4]
    code = code.replace("demo-output", str(tmp_path))
    run("-c", code + "\nassert model.predict_proba(cohort.data).shape == (200, 2)")
    run("-m", "ecgsk", "info", tmp_path / "lef.ecgsk")


def test_the_benchmark_of_intervals():
    said = run(ROOT / "benchmarks" / "bootstrap_speed.py", "--records", 200, "--resamples", 20)
    assert "ratio" in said


def test_the_benchmark_of_the_glass_box():
    said = run(
        ROOT / "benchmarks" / "ebm_settings.py", "--ours-only",
        *("--records", 600, "--patients", 200, "--predictors", 16, "--test-records", 400),
    )  # fmt: skip
    assert json.loads(said.splitlines()[-1])["ours"]["auroc"] > 0.7


@pytest.mark.slow
def test_the_benchmarks_of_low_ejection_fraction(tmp_path):
    out = tmp_path / "lef.json"
    run(
        ROOT / "benchmarks" / "lef_framework.py", "--out", out,
        *("--records", 250, "--network-records", 120, "--epochs", 1),
    )  # fmt: skip
    found = json.loads(out.read_text())["extractors"]
    assert len(found) == 2
    assert set(found["shipped MTECG"]["answers"]) >= {"ebm", "best possible"}
    said = run(ROOT / "benchmarks" / "echonext_memory.py", "--records", 120)
    assert float(re.search(r"peak ([\d.]+) GB", said).group(1)) < 2


def test_links_of_the_documents_lead_somewhere():
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/results.md",
        "docs/low_ef.md",
    ):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text()):
            assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"


def test_what_the_documents_name_exists():
    import ecgsk
    from ecgsk import (
        datasets,
        inspection,
        metrics,
        model_selection,
        preprocessing,
        tabular,
        weights,
    )

    known = {
        name
        for room in (
            ecgsk,
            datasets,
            inspection,
            metrics,
            model_selection,
            preprocessing,
            tabular,
            weights,
        )
        for name in room.__all__
    }
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for name in re.findall(r"`([A-Z][A-Za-z]+|load_\w+|make_\w+|check_\w+)`", changelog):
        assert name in known, name


@pytest.mark.real_data
@pytest.mark.slow
def test_the_example_on_ptbxl(ptbxl_path):
    said = run(ROOT / "examples" / "plot_02_ptbxl.py", ptbxl_path, "--epochs", 1)
    area = float(re.search(r"macro AUROC on fold 9: ([\d.]+)", said).group(1))
    assert 0.5 < area < 1
    assert "NORM" in said


@pytest.mark.real_data
def test_the_benchmark_of_reading(ptbxl_path):
    said = run(ROOT / "benchmarks" / "read_ptbxl.py", ptbxl_path, "--records", 20)
    assert "ratio" in said.lower()


def test_the_benchmark_of_memory():
    said = run(ROOT / "benchmarks" / "predict_memory.py", "--records", 64, "--preset", "nano")
    assert len(re.findall(r"peak [\d.]+ GB", said)) == 2


def test_the_benchmark_of_training():
    said = run(
        ROOT / "benchmarks" / "training_overhead.py",
        *("--preset", "nano", "--records", 64, "--turns", 1, "--precision", "float32"),
    )
    results = json.loads(said.splitlines()[-1])
    assert set(results) == {"pre-training", "fine-tuning"}
    assert all(result["ratio"] > 0 for result in results.values())
