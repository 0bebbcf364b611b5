import os
import sys
from pathlib import Path

import matplotlib
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker is one of as many as there are cores: threads and processes of its own that
    # wait for a core only cost time. NumPy and torch read this when they are imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

# Tests and the processes that they start compute on the CPU, also where there are GPUs: what they
# compare was computed there. With a device in this variable, only the tests of devices run, there.
_DEVICE = os.environ.get("ECGSK_TEST_DEVICE")
if not _DEVICE:
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["HIP_VISIBLE_DEVICES"] = "-1"
    os.environ["ONEAPI_DEVICE_SELECTOR"] = "*:cpu"
    if sys.platform == "darwin":
        import torch

        torch.backends.mps.is_available = lambda: False

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


def pytest_collection_modifyitems(config, items):
    if _DEVICE:
        chosen = [item for item in items if item.get_closest_marker("real_device")]
        others = [item for item in items if not item.get_closest_marker("real_device")]
        config.hook.pytest_deselected(items=others)
        items[:] = chosen
    order = {name: place for place, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def real_device() -> str:
    """Return the device on which tests of devices run: $ECGSK_TEST_DEVICE."""
    if not _DEVICE:
        pytest.skip("no device to test: set ECGSK_TEST_DEVICE to cuda, cuda:1, xpu, mps or cpu")
    return _DEVICE


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
