"""Where the tests compute."""

import os
import subprocess
import sys


def test_gpus_are_hidden_from_tests_and_their_processes():
    # Also in processes that tests start: they inherit the variables.
    script = "import torch; print(torch.cuda.is_available(), torch.xpu.is_available())"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.split() == ["False", "False"], found.stderr
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert os.environ["ONEAPI_DEVICE_SELECTOR"] == "*:cpu"


def test_a_device_runs_only_its_own_tests():
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*command, "tests/training/test_real_device.py", __file__],
        env={**os.environ, "ECGSK_TEST_DEVICE": "cpu"},
        capture_output=True,
        text=True,
    )
    names = [line for line in found.stdout.splitlines() if "::" in line]
    assert names and all("test_real_device.py::" in name for name in names), found.stdout[-2000:]
