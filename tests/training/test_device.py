"""Which devices a machine has, which of them a name means, and what is computed on it."""

import pytest
import torch

from ecgsk._training import available_devices, resolve_device, resolve_precision
from tests._devices import machine

TWO_GPUS = {"cuda": 2, "xpu": 1}
MAC = {"mps": True}


@pytest.mark.parametrize(
    "here, devices",
    [
        ({}, ["cpu"]),
        (MAC, ["mps", "cpu"]),
        ({"xpu": 2}, ["xpu:0", "xpu:1", "cpu"]),
        (TWO_GPUS, ["cuda:0", "cuda:1", "xpu:0", "cpu"]),
        ({"cuda": 1, **MAC}, ["cuda:0", "mps", "cpu"]),
    ],
)
def test_the_first_device_is_the_fastest(here, devices):
    with machine(**here) as changes:
        assert available_devices() == devices
        assert resolve_device("auto") == devices[0]
        assert [resolve_device(device) for device in devices] == devices
        assert [resolve_device(torch.device(device)) for device in devices] == devices
    assert changes == []


@pytest.mark.parametrize(
    "here, named, meant",
    [
        (TWO_GPUS, "cuda", "cuda:0"),
        (TWO_GPUS, torch.device("cuda"), "cuda:0"),
        ({**TWO_GPUS, "current": 1, "initialized": True}, "cuda", "cuda:1"),
        ({**TWO_GPUS, "current": 1, "initialized": True}, "auto", "cuda:1"),
        # Asking torch for the current device would start cuda.
        ({**TWO_GPUS, "current": 1, "initialized": False}, "cuda", "cuda:0"),
        (TWO_GPUS, "xpu", "xpu:0"),
        (MAC, "mps:0", "mps"),
        (MAC, torch.device("mps", 0), "mps"),
        ({}, "cpu:0", "cpu"),
    ],
)
def test_a_name_without_a_number_means_one_device(here, named, meant):
    with machine(**here) as changes:
        assert resolve_device(named) == meant
    assert changes == []


@pytest.mark.parametrize("missing", ["cuda:2", "xpu:1", "mps", "gpu", "cuda:x", "cpu:1", ""])
def test_the_error_for_a_missing_device_names_those_that_are_there(missing):
    with machine(**TWO_GPUS), pytest.raises(ValueError) as caught:
        resolve_device(missing)
    said = str(caught.value)
    assert said.startswith(f"device={missing!r} is not available; here there are cuda:0, cuda:1, ")
    assert "device='auto'" in said


def test_precision_follows_the_hardware():
    for capability, precision in {(7, 5): "float32", (8, 0): "bf16", (9, 0): "bf16"}.items():
        with machine(cuda=1, capability=capability):
            assert resolve_precision("auto", "cuda:0", training=True) == precision
            assert resolve_precision("auto", "cuda:0", training=False) == "float32"
    with machine(mps=True):
        assert resolve_precision("auto", "mps", training=True) == "float32"
        with pytest.raises(ValueError, match="precision='float64' is not allowed on device='mps'"):
            resolve_precision("float64", "mps", training=True)
