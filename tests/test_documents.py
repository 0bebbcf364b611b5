"""The README's code, the examples and the benchmarks run."""

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils import all_estimators

import ecgsk
from ecgsk._cli.main import main
from ecgsk.networks import NET1D_PRESETS
from tests._dicom_edf_files import write_dicom
from tests._ecgfounder_files import nano_state, published_checkpoint
from tests._processes import HANG
from tests._wfdb_files import write_record
from tests._xml_files import write_muse

ROOT = Path(__file__).parent.parent
README = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def block(tmp_path, monkeypatch):
    """Return what runs a block of the README, with parts replaced that take long."""
    monkeypatch.chdir(tmp_path)

    def run_block(number, **replaced):
        code, names = README[number], {}
        for old, new in replaced.items():
            assert code.count(old) == 1
            code = code.replace(old, new)
        exec(compile(code, f"README {number}", "exec"), names)
        plt.close("all")
        return names

    return run_block


def test_the_readme_has_the_blocks_that_are_tested():
    assert len(README) == 6


@pytest.mark.slow
def test_the_code_of_the_readme_on_recordings(block):
    names = block(0, **{"make_lef_cohort(300,": "make_lef_cohort(90,"})
    assert names["probability"].shape == (90,)


def write_export(folder):
    """Write a folder of recordings in three formats, and a spreadsheet on them."""
    cohort = ecgsk.make_lef_cohort(30, sampling_rate=500, random_state=0)
    fractions = cohort.ejection_fraction - np.median(cohort.ejection_fraction) + 40
    lines = ["file;mrn;age;sex;lvef"]
    for number, ecg in enumerate(cohort.data):
        name = folder / "export" / f"ward{number % 3}" / f"{number:04d}"
        name.parent.mkdir(parents=True, exist_ok=True)
        if number % 3 == 0:
            write_record(name.parent, name.name, np.rint(1000 * ecg).astype(int), rate=500)
        elif number % 3 == 1:
            write_muse(f"{name}.xml", ecg[[0, 1, *range(6, 12)]], 500)
        else:
            write_dicom(f"{name}.dcm", ecg, 500)
        sex, ef = "MF"[cohort.sex[number]], f"{fractions[number]:.1f}"
        patient, age = f"{cohort.groups[number]:05d}", f"{cohort.age[number]:.0f}"
        lines.append(f"{number:04d};{patient};{age};{sex};{ef.replace('.', ',')}")
    (folder / "export" / "17.pdf").write_bytes(b"%PDF-1.4")
    (folder / "echo.csv").write_bytes("\r\n".join(lines).encode("utf-16"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 files or recordings:ecgsk.datasets.RecordsLeftOutWarning")
def test_the_code_of_the_readme_on_a_hospital(block, tmp_path):
    pytest.importorskip("ecgdatakit")
    write_export(tmp_path)
    ebm = "GroupedEBMClassifier(outer_bags=2, max_rounds=20, n_jobs=1)"
    small = f"__import__('ecgsk.tabular').tabular.{ebm}"
    names = block(1, **{"KFold(5)": "KFold(2)", '"mtecg", ': f'"mtecg", classifier={small}, '})
    assert names["study"].data.shape == (30, 12, 5000) and len(names["ecgs"].left_out) == 1
    command = (
        "predict lef.ecgsk export --table echo.csv --table-on file -o predictions.csv --jobs 2"
    )
    assert command in (ROOT / "README.md").read_text()
    assert main(command.split()) == 1  # the PDF
    found = pd.read_csv("predictions.csv", keep_default_na=False, dtype={"record": str})
    assert (found["error"] == "").sum() == 30 and found["error"].iloc[0].startswith("a PDF")


@pytest.mark.slow
def test_the_code_of_the_readme_on_mtecg(block):
    names = block(2)
    assert names["probability"].shape == (20, 71) and names["embedding"].shape == (20, 32)


def test_the_code_of_the_readme_on_ecgfounder(block, tmp_path, monkeypatch):
    # In the place of the published weights, a file laid out like theirs of a smaller network.
    monkeypatch.setitem(NET1D_PRESETS, "12-lead", NET1D_PRESETS["nano"])
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "cache"))
    torch.save(published_checkpoint(nano_state()), tmp_path / "12_lead.pth")
    names = block(3, **{'from_pretrained("12-lead")': 'from_pretrained("12_lead.pth")',
                        'weights="12-lead"': 'weights="12_lead.pth"'})  # fmt: skip
    assert names["probability"].shape == (20, 150)


@pytest.mark.slow
def test_the_code_of_the_readme_on_low_ejection_fraction(block, tmp_path):
    names = block(4, **{"600,": "300,"})
    assert names["result"].table.loc["AUROC", "value"] > 0.7
    assert (tmp_path / "demo-output" / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_the_code_of_the_readme_on_tuning(block, tmp_path, capsys):
    names = block(5, **{"make_lef_cohort(200,": "make_lef_cohort(80,"})
    assert names["model"].predict_proba(names["cohort"].data).shape == (80, 2)
    assert main(["info", str(tmp_path / "demo-output" / "lef.ecgsk")]) == 0
    assert re.search(r"model: +Pipeline\(ProbabilityTransformer", capsys.readouterr().out)


def test_the_benchmark_of_intervals():
    said = run(ROOT / "benchmarks" / "bootstrap_speed.py", "--records", 200, "--resamples", 20)
    assert "ratio" in said


@pytest.mark.slow
def test_the_benchmark_of_a_search_with_memory():
    printed = run(
        ROOT / "benchmarks" / "tuning_memory.py",
        *("--records", 40, "--candidates", 2, "--folds", 2),
    )
    assert json.loads(printed)["scores are equal"]


def test_the_benchmark_of_kept_recordings(tmp_path):
    np.save(tmp_path / "ecgs.npy", ecgsk.make_ecg(6, random_state=0))
    task = json.dumps([str(tmp_path / "ecgs.npy"), "kept in a file", "nano", 2])
    printed = run(ROOT / "benchmarks" / "kept_recordings.py", "--one", task)
    found = json.loads(printed)
    assert found["epoch_cpu_s"] > 0 and len(found["weights"]) == 64


@pytest.mark.slow
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
        *("--records", 150, "--network-records", 60, "--epochs", 1),
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
    packages = [import_module(f"ecgsk.{module.name}") for module in iter_modules(ecgsk.__path__)
                if not module.name.startswith("_")]  # fmt: skip
    known = {name for package in [ecgsk, *packages] for name in getattr(package, "__all__", ())}
    known |= {name for name, _ in all_estimators()}  # of scikit-learn
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


@pytest.mark.slow
def test_the_benchmark_of_memory():
    said = run(ROOT / "benchmarks" / "predict_memory.py", "--records", 64, "--preset", "nano")
    assert len(re.findall(r"peak [\d.]+ GB", said)) == 2


@pytest.mark.slow
def test_the_benchmark_of_training():
    said = run(
        ROOT / "benchmarks" / "training_overhead.py",
        *("--preset", "nano", "--records", 64, "--turns", 1, "--precision", "float32"),
    )
    results = json.loads(said.splitlines()[-1])
    assert set(results) == {"pre-training", "fine-tuning"}
    assert all(result["ratio"] > 0 for result in results.values())


def test_the_benchmark_of_devices_on_a_cpu(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = import_module("devices_on_cpu")
    bench = script.Bench(0, True, ROOT)
    for way in (ways for choice in script.CHOICES.values() for ways in choice):
        assert bench.training("MTECG nano", way) > 0
    assert bench.prediction("Net1D nano", 1) > 0 and bench.loading("MTECG nano") > 0
    counted = bench.count("MTECG nano")
    assert counted["held after a fit, kB"] == counted["weights, kB"] > 0
    assert 0 < counted["operations of AdamW"] < counted["operations of a step"]
    row = script.with_ratios([1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
    assert row == {"before": 2.0, "now": 2.0, "ratio": 1.0, "ratios": [2.0, 1.0, 0.5]}


@pytest.mark.slow
def test_the_benchmark_of_devices_on_a_cpu_compares_checkouts(tmp_path):
    out = tmp_path / "cpu.json"
    script = ROOT / "benchmarks" / "devices_on_cpu.py"
    said = run(script, "--quick", "--turns", 2, "--only", "short fit", "--out", out)
    (row,) = json.loads(out.read_text())["speed"].values()
    assert row["ratio"] == pytest.approx(sum(row["ratios"]) / 2) and "| a short fit" in said
