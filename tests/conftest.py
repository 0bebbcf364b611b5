import os
from pathlib import Path

import matplotlib
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker is one of as many as there are cores: threads and processes of its own that
    # wait for a core only cost time. NumPy and torch read this when they are imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

matplotlib.use("Agg")


# Each worker runs whole files: the longest go first, so that all workers end at about one time.
_LONGEST_FIRST = [
    "test_site.py",
    "test_documents.py",
    "test_estimator_checks.py",
    "test_report.py",
    "test_backends.py",
    "test_estimators_3d.py",
    "test_lef_misuse.py",
    "test_pretrainer.py",
]


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable, Path(__file__).parent.parent / ".data" / default))


@pytest.fixture(scope="session")
def ptbxl_path() -> Path:
    """Return the folder of a PTB-XL download: $ECGSK_PTBXL or .data/ptbxl."""
    path = _folder("ECGSK_PTBXL", "ptbxl")
    if not (path / "ptbxl_database.csv").exists():
        pytest.skip("no PTB-XL: set ECGSK_PTBXL to the folder that holds ptbxl_database.csv")
    return path


@pytest.fixture(scope="session")
def cinc_path() -> Path:
    """Return a folder of CinC 2020/2021 records: $ECGSK_CINC or .data/cinc2021."""
    path = _folder("ECGSK_CINC", "cinc2021")
    if not any(path.glob("*.hea")):
        pytest.skip("no CinC records: set ECGSK_CINC to a folder of .hea and .mat files")
    return path
