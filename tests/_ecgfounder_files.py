"""Checkpoints of the layout in which ECGFounder was published, of any size."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from ecgsk.networks import NET1D_PRESETS
from ecgsk.weights import convert_checkpoint, read_ecgfounder
from ecgsk.weights._published import cache_folder

OWN = {
    "first_conv.conv": "stem",
    "stage_list": "stages",
    ".block_list": "",
    "conv1.conv": "conv1",
    "conv2.conv": "conv2",
    "conv3.conv": "conv3",
    "se_fc1": "squeeze",
    "se_fc2": "excite",
    "dense": "head",
}

NUMPY_SCALAR = np.float64(0).__reduce__()[0]


def published_state(size: dict, n_leads: int = 12, n_outputs: int = 150) -> dict:
    """Return tensors under the published names, no two alike.

    Parameters
    ----------
    size : dict
        A value of `ecgsk.networks.NET1D_PRESETS`.
    n_leads, n_outputs : int
        What the network reads and gives.
    """
    kernel, group = size["kernel_size"], size["group_width"]
    state = {}

    def add(name, *shape):
        values = torch.arange(int(np.prod(shape)), dtype=torch.float32)
        scale = 1e-3 + 1e-6 * len(state)
        state[name] = values.remainder_(97).sub_(48).mul_(scale).reshape(shape)

    def layer(name, *shape):
        add(f"{name}.weight", *shape)
        add(f"{name}.bias", shape[0])

    def normalization(name, width):
        for value in ("weight", "bias", "running_mean", "running_var"):
            add(f"{name}.{value}", width)
        state[f"{name}.num_batches_tracked"] = torch.tensor(0)

    width_in = size["stem_width"]
    layer("first_conv.conv", width_in, n_leads, kernel)
    normalization("first_bn", width_in)
    for stage, (width, depth) in enumerate(zip(size["widths"], size["depths"], strict=True)):
        for number in range(depth):
            block = f"stage_list.{stage}.block_list.{number}"
            normalization(f"{block}.bn1", width_in)
            layer(f"{block}.conv1.conv", width, width_in, 1)
            normalization(f"{block}.bn2", width)
            layer(f"{block}.conv2.conv", width, group, kernel)
            normalization(f"{block}.bn3", width)
            layer(f"{block}.conv3.conv", width, width, 1)
            layer(f"{block}.se_fc1", width // 2, width)
            layer(f"{block}.se_fc2", width, width // 2)
            width_in = width
    layer("dense", n_outputs, width_in)
    return state


def published_checkpoint(state: dict) -> dict:
    """Return what the published files hold around their state."""
    return {
        "epoch": 7,
        "step": 12345,
        "state_dict": state,
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}},
            "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0]}],
        },
        "scheduler": {"factor": 0.1, "best": np.float64(0.9), "mode": "max"},
        "val_auroc": np.float64(0.95),
    }


def nano_state(n_leads: int = 12, n_outputs: int = 150) -> dict:
    """Return a state of the published layout that is quick to read."""
    return published_state(NET1D_PRESETS["nano"], n_leads, n_outputs)


def save_as_numpy(saved, path, module: str) -> None:
    """Save as a NumPy would whose ``scalar`` is in this module: 1 and 2 differ in it."""

    class Pickler(pickle._Pickler):
        def save_global(self, obj, name=None):
            if obj is not NUMPY_SCALAR:
                return super().save_global(obj, name)
            self.write(f"c{module}\nscalar\n".encode())
            return self.memoize(obj)

    torch.save(saved, path, pickle_module=SimpleNamespace(Pickler=Pickler, __name__="numpy"))


def own_tensors(state: dict) -> dict:
    """Return what a conversion should hold."""
    tensors = {}
    for name, value in state.items():
        parts = name.split(".")
        if not any(part.startswith("bn") or part == "first_bn" for part in parts):
            for published, own in OWN.items():
                name = name.replace(published, own)
            tensors[name] = value.detach().float().numpy()
    return tensors


def assert_holds(weights, state: dict) -> None:
    expected = own_tensors(state)
    assert set(weights.tensors) == set(expected)
    for name, value in weights.tensors.items():
        assert value.dtype == np.float32
        assert_array_equal(value, expected[name], err_msg=name)


def contents(folder: Path) -> dict:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def converted(path, about=None):
    """Return the weights of a checkpoint."""
    return convert_checkpoint(path, about)[0]


def refused(source, function=read_ecgfounder) -> str:
    """Make sure that a source is refused as it should be, and return what is said."""
    before = contents(cache_folder())
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011
        function(source)
    # Subclasses would be errors that nobody has put into words, such as UnicodeDecodeError.
    assert caught.type in (ValueError, FileNotFoundError), repr(caught.value)
    assert str(source) in str(caught.value)
    assert contents(cache_folder()) == before
    return str(caught.value)
