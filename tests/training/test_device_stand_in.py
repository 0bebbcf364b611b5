"""The stand-in for a GPU catches what a GPU would refuse, and counts what costs time on one."""

import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests._device_stand_in import DEVICE, DeviceFault, DeviceStandIn
from tests._devices import machine

CPU, HERE = torch.ones(3), torch.ones(3, device=DEVICE)


@pytest.mark.parametrize(
    "mix",
    [
        lambda: HERE + CPU,
        lambda: torch.cat([HERE, CPU]),
        lambda: F.linear(HERE, torch.ones(2, 3)),
        lambda: CPU[HERE.long()],
        lambda: CPU.where(HERE > 0, CPU),
        lambda: torch._foreach_lerp_([HERE], [CPU], 0.5),
        lambda: nn.CrossEntropyLoss(weight=CPU)(HERE[None], HERE[:1].long()),
    ],
)
def test_tensors_of_two_devices_do_not_mix(mix):
    with pytest.raises(DeviceFault, match="mixes devices"), DeviceStandIn():
        mix()
    # Also where the program goes on after the error.
    with pytest.raises(DeviceFault, match="mixes devices"), DeviceStandIn():
        try:
            mix()
        except DeviceFault:
            pass


def test_a_generator_draws_on_its_own_device():
    with pytest.raises(DeviceFault, match="generator of the CPU"), DeviceStandIn():
        torch.randperm(3, generator=torch.Generator("cpu"), device=DEVICE)
    with DeviceStandIn() as device:
        torch.randperm(3, device=DEVICE)
    assert device.operations == {"randperm": 1}


def test_numbers_on_the_cpu_mix_with_tensors_of_any_device():
    with DeviceStandIn() as device:
        assert (HERE * torch.tensor(2.0) + 1).is_meta
    assert device.cost() == {"operations": 2, "copies": 0, "syncs": 0}


def test_backward_passes_are_watched():
    weight = torch.ones(3, device=DEVICE, requires_grad=True)

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return x * 2

        @staticmethod
        def backward(context, gradient):
            return gradient * CPU

    with pytest.raises(DeviceFault, match="mul mixes"), DeviceStandIn():
        Wrong.apply(weight).sum().backward()


@pytest.mark.parametrize(
    "read",
    [
        lambda: HERE.sum().item() == 0.5,
        lambda: int(HERE.long().sum()) == 0,
        lambda: not bool((HERE > 0).any()),
        lambda: HERE.tolist() == [0.5] * 3,
        lambda: HERE.cpu().equal(CPU / 2),
        lambda: HERE.to("cpu", torch.float64).equal(CPU.double() / 2),
        lambda: HERE.cpu().numpy().shape == (3,),
        lambda: torch.zeros(3).copy_(HERE).equal(CPU / 2),
        lambda: not torch.equal(HERE, HERE),
        lambda: nn.Linear(3, 2).to(DEVICE).weight.cpu().shape == (2, 3),
    ],
)
@pytest.mark.parametrize("inference", [False, True])
def test_what_is_read_from_the_device_stands_in_and_counted(read, inference):
    with DeviceStandIn() as device, torch.inference_mode(inference):
        assert read()
    assert device.cost()["syncs"] == 1


@pytest.mark.parametrize("inference", [False, True])
def test_copies_to_the_device_are_counted(inference):
    with DeviceStandIn() as device, torch.inference_mode(inference):
        CPU.to(DEVICE)
        CPU.double().to(DEVICE, torch.float32)
        torch.tensor([1, 2], device=DEVICE)
        assert torch.tensor(1).device.type == torch.as_tensor([1]).device.type == "cpu"
        torch.empty(3, device=DEVICE).copy_(CPU)
        HERE[torch.tensor([0, 1])]
    assert device.copies == {
        ("torch.float32", (3,)): 2,
        ("torch.float64", (3,)): 1,
        ("torch.int64", (2,)): 2,
    }
    assert device.cost() == {"operations": 0, "copies": 5, "syncs": 0}


def test_views_are_no_operations():
    with DeviceStandIn() as device:
        HERE[None].expand(2, 3).transpose(0, 1)[1:].detach()
        torch.empty(3, device=DEVICE)
    assert not device.operations


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_float64_is_refused(kind):
    with pytest.raises(DeviceFault, match=f"float64 on {kind}"), DeviceStandIn(kind):
        CPU.double().to(DEVICE)
    with DeviceStandIn(float64=True):
        assert HERE.double().dtype == torch.float64
    with pytest.raises(DeviceFault, match="float64 on mps"), DeviceStandIn("mps", float64=True):
        HERE.double()


def test_autocast_changes_the_types_of_products_and_of_sums():
    linear = nn.Linear(3, 3, device=DEVICE)
    x = torch.ones(2, 3, device=DEVICE)
    with DeviceStandIn():
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            product = linear(x)
            assert product.dtype == (product @ linear.weight).dtype == torch.bfloat16
            assert F.layer_norm(product, (3,)).dtype == torch.float32
            assert product.softmax(0).dtype == product.sum().dtype == torch.float32
            assert product.relu().dtype == F.gelu(product).dtype == torch.bfloat16
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=False):
            assert linear(x).dtype == torch.float32
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert nn.Linear(3, 3)(CPU).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, y: x @ y,
        lambda x, y: nn.Linear(3, 3, device=DEVICE)(x),
        lambda x, y: F.conv1d(x[None], y[:, :, None]),
        lambda x, y: F.layer_norm(x, (3,), y[0], y[0]),
        lambda x, y: F.scaled_dot_product_attention(x[None, None], y[None, None], y[None, None]),
        lambda x, y: y.lerp_(x, 0.5),
    ],
)
def test_products_of_two_types_are_refused(mix):
    x, y = (torch.ones(3, 3, device=DEVICE, dtype=d) for d in (torch.bfloat16, torch.float32))
    with pytest.raises((DeviceFault, RuntimeError), match="type"), DeviceStandIn():
        mix(x, y)


def test_saved_tensors_are_on_the_cpu():
    file = io.BytesIO()
    with DeviceStandIn():
        torch.save({"a": [HERE, CPU], "b": 1}, file)
        file.seek(0)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    assert loaded["a"][0].equal(CPU / 2) and loaded["a"][1].equal(CPU)


def test_everything_is_as_before_afterwards():
    before = torch.autocast, torch.save
    with DeviceStandIn():
        assert torch.autocast is not before[0]
    assert (torch.autocast, torch.save) == before
    with pytest.raises(RuntimeError):
        HERE.sum().item()


def test_a_machine_of_a_test_has_the_devices_that_it_is_given():
    with machine(cuda=2, current=1) as changes:
        assert torch.cuda.is_available() and torch.cuda.device_count() == 2
        assert torch.cuda.current_device() == 1 and not torch.xpu.is_available()
        torch.manual_seed(0)
        torch.cuda.empty_cache()
    assert ("cuda.empty_cache",) in changes and ("cuda.manual_seed_all", 0) in changes
    assert not torch.cuda.is_available() or torch.cuda.device_count() != 2
    with machine(mps=True, xpu=1):
        assert torch.backends.mps.is_available() and torch.xpu.is_available()
