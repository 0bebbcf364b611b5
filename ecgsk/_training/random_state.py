"""Random numbers of a fit, and of networks that are built to be overwritten."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# torch's generators belong to the process: threads that fit at once would draw from, and put
# back, each other's.
_GENERATORS = threading.RLock()


def generator_states(device: str) -> dict[str, torch.Tensor]:
    """Return the states of the generators that a computation on a device draws from."""
    states = {"cpu": torch.get_rng_state()}
    kind = torch.device(device).type
    if kind == "mps":
        states[kind] = torch.mps.get_rng_state()
    elif kind in ("cuda", "xpu"):
        states[kind] = getattr(torch, kind).get_rng_state(device)
    return states


def set_generator_states(states: dict[str, torch.Tensor], device: str) -> None:
    """Set the generators to states; those of another kind of device are ignored."""
    torch.set_rng_state(states["cpu"])
    kind = torch.device(device).type
    if kind == "mps" and kind in states:
        torch.mps.set_rng_state(states[kind])
    elif kind in ("cuda", "xpu") and kind in states:
        getattr(torch, kind).set_rng_state(states[kind], device)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch's generators of the CPU and of a device in the block; then put them back.

    ``torch.manual_seed`` would seed those of all devices, also of those that others use. New
    tensors are on the CPU by default.
    """
    with _GENERATORS, new_tensors_on_cpu():
        before = generator_states(device)
        try:
            set_generator_states(_seeded_states(seed, device), device)
            yield
        finally:
            set_generator_states(before, device)


def _seeded_states(seed: int, device: str) -> dict[str, torch.Tensor]:
    kind = torch.device(device).type
    drawing = {"cpu": "cpu"} | ({kind: device} if kind in ("cuda", "mps", "xpu") else {})
    return {
        name: torch.Generator(device=place).manual_seed(seed).get_state()
        for name, place in drawing.items()
    }


@contextmanager
def new_tensors_on_cpu() -> Iterator[None]:
    """Create tensors on the CPU in the block, also where a user has set another default device."""
    if torch.get_default_device().type == "cpu":
        yield  # naming it once more would cost time in each of torch's functions
    else:
        with torch.device("cpu"):
            yield


class OwnRandomNumbers(TorchDispatchMode):
    """Inside the block, what this thread draws on the CPU comes from a generator of its own.

    No other thread has to wait for it, and no global generator moves. It costs some time for each
    operation, so it is for building networks and not for training them.
    """

    def __init__(self, seed: int = 0):
        super().__init__()
        self.generator = torch.Generator(device="cpu").manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        names = {argument.name for argument in func._schema.arguments}
        # torch.rand and its like take a generator under another name.
        other = f"{func._overloadname}_generator".removeprefix("default_")
        if "generator" not in names and other in func.overloadpacket.overloads():
            func, names = getattr(func.overloadpacket, other), {"generator"}
        on_cpu = (
            all(tensor.device.type == "cpu" for tensor in args if isinstance(tensor, torch.Tensor))
            and torch.device(kwargs.get("device") or "cpu").type == "cpu"
        )
        if on_cpu and "generator" in names and kwargs.get("generator") is None:
            kwargs["generator"] = self.generator
        return func(*args, **kwargs)


def _forget_threads() -> None:
    """Free the lock in a forked process, which lacks the thread that may have held it."""
    global _GENERATORS
    _GENERATORS = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
