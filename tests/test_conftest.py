"""Where the tests compute."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace


def test_gpus_are_hidden_from_tests_and_their_processes():
    # Also in processes that tests start: they inherit the variables.
    script = "import torch; print(torch.cuda.is_available(), torch.xpu.is_available())"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.split() == ["False", "False"], found.stderr
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert os.environ["ONEAPI_DEVICE_SELECTOR"] == "*:cpu"


def test_a_device_runs_only_its_own_tests(pytestconfig, monkeypatch):
    conftest = pytestconfig.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    deselected, path = [], Path("test_a.py")
    items = [
        SimpleNamespace(get_closest_marker=lambda name, own=own: name == own, path=path)
        for own in ("slow", "real_device", None)
    ]
    own, hook = items[1], SimpleNamespace(pytest_deselected=lambda items: deselected.extend(items))
    for device, expected in [(None, items[:]), ("cuda", [own])]:
        monkeypatch.setattr(conftest, "_DEVICE", device)
        conftest.pytest_collection_modifyitems(SimpleNamespace(hook=hook), items)
        assert items == expected
    assert len(deselected) == 2 and own not in deselected
