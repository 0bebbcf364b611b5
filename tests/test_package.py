"""Promises that hold for the package as a whole."""

import ast
import importlib
import inspect
import pkgutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import ecgsk

ROOT = Path(ecgsk.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
# The order of docs/architecture.md: a room may use those above it.
ROOMS = [
    "_core",
    "_wfdb",
    "_formats",
    "datasets",
    "preprocessing",
    "networks",
    "_training",
    "weights",
    "estimators",
    "metrics",
    "tabular",
    "model_selection",
    "inspection",
    "persistence",
    "_cli",
]
KNOWS_NOTHING_OF = {
    "_core": {"torch", "skorch", "interpret"},
    "_formats": {"torch", "skorch", "interpret"},
    "networks": {"sklearn", "skorch", "interpret"},
    "tabular": {"torch", "skorch"},
    "model_selection": {"torch", "skorch", "interpret"},
    "weights": {"skorch", "interpret"},
    "metrics": {"torch", "skorch", "interpret"},
    "persistence": {"torch", "skorch", "interpret"},
    "datasets": {"torch", "skorch", "interpret"},
    "preprocessing": {"torch", "skorch", "interpret"},
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


def public_objects():
    for room in (name for name in ROOMS if not name.startswith("_")):
        module = importlib.import_module(f"ecgsk.{room}")
        yield from ((f"{room}.{name}", getattr(module, name)) for name in module.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_use_only_those_above_them(room):
    below = {f"ecgsk.{name}" for name in ROOMS[ROOMS.index(room) + 1 :]}
    for path in (ROOT / room).rglob("*.py"):
        names = imported(path)
        assert not {name for name in names if any(name.startswith(b) for b in below)}, path
        tops = {name.partition(".")[0] for name in names}
        assert not tops & KNOWS_NOTHING_OF.get(room, set()), path


# Packages that several others build on, and the command line.
SHARED = {"_core", "_wfdb", "_formats", "_training", "_cli", "_version"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_import_no_private_module_of_another_package(path):
    own = path.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            room, *inner = rest.split(".")
            if top != "ecgsk" or room in SHARED or room == own:
                continue
            private = [part for part in inner if part.startswith("_")]
            assert not private, f"{path} imports {name}"


def test_private_names_of_scikit_learn_stay_in_one_file():
    for path in MODULES:
        if path.name == "sklearn_compat.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn"):
                private = [part for part in node.module.split(".") if part.startswith("_")]
                private += [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{path}: {private}"


def test_the_top_holds_no_other_modules():
    assert {path.name for path in ROOT.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "_version.py",
    }


def test_modules_are_small():
    sizes = [len(path.read_text().splitlines()) for path in MODULES]
    assert statistics.median(sizes) < 300
    assert max(sizes) <= 450


def test_importing_the_package_does_not_import_torch():
    script = """
import sys
import ecgsk, ecgsk.datasets, ecgsk.preprocessing, ecgsk.weights
sys.exit('torch' in sys.modules or 'interpret' in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_promised_name_is_there():
    for name in ecgsk.__all__:
        assert getattr(ecgsk, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ecgsk.nonsense


@pytest.mark.parametrize(
    "name", ["ecgsk", *(f"ecgsk.{room}" for room in ROOMS if not room.startswith("_"))]
)
def test_star_imports_bring_what_is_promised(name):
    names: dict = {}
    exec(f"from {name} import *", names)
    assert set(importlib.import_module(name).__all__) <= set(names)


def test_all_modules_import():
    for module in pkgutil.walk_packages(ecgsk.__path__, "ecgsk."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@pytest.mark.parametrize(("name", "thing"), list(public_objects()))
def test_public_parameters_are_documented(name, thing):
    if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, (tuple, Exception))):
        return
    doc = inspect.getdoc(thing)
    assert doc and doc.splitlines()[0].endswith("."), name
    heading = "Parameters\n" if "Parameters\n" in doc else "Attributes\n"
    section = doc.partition(heading)[2].partition("\n\nReturns")[0]
    for parameter in inspect.signature(thing).parameters:
        assert f"{parameter}" in section, f"{name}: {parameter} is not documented"
