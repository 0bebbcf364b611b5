"""Checkpoints of torch that do not hold the network of ECGFounder."""

import pytest
import torch

from ecgsk.networks import NET1D_PRESETS
from tests._ecgfounder_files import (
    assert_holds,
    converted,
    nano_state,
    refused,
)

FULL = NET1D_PRESETS["12-lead"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_values_that_are_not_finite(path, tmp_path, value):
    state = nano_state(3, 2)
    broken = state["stage_list.1.block_list.0.conv2.conv.weight"].double()
    broken[3, 2, 1] = value
    state["stage_list.1.block_list.0.conv2.conv.weight"] = broken
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    said = refused(tmp_path / "bad.pth")
    assert "not finite" in said and "stages.1.0.conv2.weight" in said


def test_values_that_nobody_uses_may_be_anything(nano, tmp_path):
    state = nano_state(3, 2)
    state["first_bn.running_var"].fill_(float("nan"))
    torch.save({"state_dict": state}, tmp_path / "file.pth")
    assert_holds(converted(tmp_path / "file.pth"), state)


@pytest.mark.parametrize("name", [name for name in nano_state(3, 2) if "bn" not in name])
def test_every_tensor_has_to_be_there(nano, tmp_path, name):
    state = nano_state(3, 2)
    del state[name]
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    assert name in refused(tmp_path / "bad.pth")


def test_what_does_not_match_is_listed(path, tmp_path):
    state = nano_state(3, 2)
    del state["stage_list.2.block_list.1.se_fc2.bias"]
    state["stage_list.9.block_list.0.conv1.conv.bias"] = torch.zeros(2)
    state["first_conv.conv.bias"] = torch.zeros(7)
    state["dense.bias"] = torch.zeros(2, 1)
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    said = refused(tmp_path / "bad.pth")
    assert "Missing: stage_list.2.block_list.1.se_fc2.bias;" in said
    assert "unexpected: stage_list.9.block_list.0.conv1.conv.bias;" in said
    assert "first_conv.conv.bias (7,) instead of (16,)" in said
    assert "dense.bias (2, 1) instead of (2,)" in said


@pytest.mark.parametrize("size", ["small", "12-lead"])
def test_a_network_of_another_size_is_refused_in_a_few_words(nano, sized, tmp_path, size):
    state = {"state_dict": nano_state(3, 2)}
    torch.save(state, tmp_path / "bad.pth")
    sized(FULL if size == "12-lead" else NET1D_PRESETS[size])
    said = refused(tmp_path / "bad.pth")
    assert "Missing: stage_list.0.block_list" in said or "Missing: stage_list.3" in said
    assert " more;" in said and len(said) < 2000


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_names_of_another_network_are_refused(path, tmp_path, prefix):
    state = {prefix + name: value for name, value in nano_state(3, 2).items()}
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    said = refused(tmp_path / "bad.pth")
    assert "first_conv.conv.weight" in said and f"{prefix}dense.bias" in said and " more" in said


@pytest.mark.parametrize(
    "changed",
    [
        {"dense.weight": torch.zeros(2)},
        {"first_conv.conv.weight": torch.zeros(16, 24)},
        {"dense.bias": torch.zeros(3)},
        {"stage_list.1.block_list.0.conv2.conv.weight": torch.zeros(32, 8, 16)},
        {"stage_list.1.block_list.2.conv2.conv.bias": torch.zeros(32)},
        {"first_bn.weights": torch.zeros(16)},
        {3: torch.zeros(1)},
        pytest.param({"dense.bias": torch.zeros(2).to_sparse()}, id="sparse"),
        pytest.param({"dense.bias": torch.zeros(2, device="meta")}, id="meta"),
        pytest.param({"dense.bias": torch.full((2,), 1j)}, id="complex"),
        pytest.param(
            {"dense.weight": torch.zeros(0, 32), "dense.bias": torch.zeros(0)}, id="no outputs"
        ),
        pytest.param({"first_conv.conv.weight": torch.zeros(16, 0, 8)}, id="no leads"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_no_network_has(path, tmp_path, changed):
    torch.save({"state_dict": nano_state(3, 2) | changed}, tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    "saved",
    [
        None,
        {},
        [1, 2],
        torch.zeros(3),
        {"state_dict": None},
        {"state_dict": [1]},
        {"state_dict": {"dense.weight": "text"}},
        {"epoch": 3, "optimizer": {}},
        pytest.param({3: torch.zeros(2), "a": torch.zeros(2)}, id="mixed names"),
    ],
)
def test_saves_of_torch_that_are_no_checkpoints(path, tmp_path, saved):
    torch.save(saved, tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth")
