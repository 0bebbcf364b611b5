"""What is distributed is whole, and what is stated twice agrees."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ecgsk
from tests._floors import requirements

ROOT = Path(__file__).parent.parent
REQUIREMENTS = requirements()


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def pins():
    lines = [line for line in read("constraints.txt").splitlines() if line[:1] != "#"]
    return {pin.name: next(iter(pin.specifier)).version for pin in map(Requirement, lines)}


def test_every_requirement_has_one_floor():
    for found in REQUIREMENTS.values():
        for requirement in found:
            assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement)


def test_make_installs_what_setup_allows():
    pinned = pins()
    # The extras that the extra "dev" does not include are not installed by make.
    for extra in REQUIREMENTS.keys() - {"hub", "data", "interpret"}:
        for requirement in map(Requirement, REQUIREMENTS[extra]):
            assert pinned[requirement.name] in requirement.specifier
    oldest = {Requirement(line).name for found in REQUIREMENTS.values() for line in found}
    assert pinned.keys() <= oldest


def test_hooks_run_the_versions_that_make_installs():
    found = dict(re.findall(r"\[(ruff|mypy)==([\d.]+)\]", read(".pre-commit-config.yaml")))
    assert found["ruff"] == pins()["ruff"]


def test_the_citation_is_of_this_version():
    assert f"\nversion: {ecgsk.__version__}\n" in read("CITATION.cff")


def test_workflows_and_classifiers_name_the_same_pythons():
    classified = re.search(r"for minor in range\((\d+), (\d+)\)", read("setup.py"))
    expected = [f"3.{minor}" for minor in range(*map(int, classified.groups()))]
    matrix = re.search(r"python: \[(.*)\]", read(".github/workflows/ci.yml")).group(1)
    assert re.findall(r"[\d.]+", matrix) == expected
    assert f'python_requires=">={expected[0]}"' in read("setup.py")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Build from a copy, so that nothing is written into the repository."""
    pytest.importorskip("setuptools", "77.0.3")
    folder = tmp_path_factory.mktemp("distributions")
    # Built, local or hidden by a link: what a checkout does not have.
    local = shutil.ignore_patterns(
        *(".git", ".venv*", ".data", "build", "dist", "demo-output", "*.egg-info"),
        *("__pycache__", ".*_cache", "_build", "auto_examples", "generated"),
    )
    shutil.copytree(ROOT, folder / "source", ignore=local)
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "sdist", "bdist_wheel"],
        cwd=folder / "source",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)


def test_the_wheel_holds_the_package_and_no_tests(distributions):
    (wheel,) = (distributions / "source" / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith("/METADATA"))).decode()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"ecgsk", f"ecgsk-{ecgsk.__version__}.dist-info"}
    source = distributions / "source"
    expected = {
        path.relative_to(source).as_posix()
        for suffix in ("py", "safetensors", "md", "txt", "typed")
        for path in (source / "ecgsk").rglob(f"*.{suffix}")
    }
    assert expected == {name for name in names if name.startswith("ecgsk/")}
    assert "ecgsk/py.typed" in expected
    assert "License-Expression: BSD-3-Clause" in metadata


@pytest.mark.slow
def test_the_sdist_holds_everything_and_its_tests_run(distributions):
    source = distributions / "source"
    (sdist,) = (source / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(distributions / "unpacked", filter="data")
    (unpacked,) = (distributions / "unpacked").iterdir()
    built = {"build", "dist", "ecgsk.egg-info", ".ci", ".gitignore"}
    for path in source.rglob("*"):
        path = path.relative_to(source)
        if path.parts[0] not in built and path.suffix not in ("", ".pyc"):
            assert (unpacked / path).exists(), path
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + ["tests/core/test_signal.py", "tests/metrics/test_metrics_labels.py"],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
