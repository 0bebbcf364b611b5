"""Where and in which precision a network runs."""

import multiprocessing
import os
import re
from contextlib import AbstractContextManager, nullcontext

import torch

from ecgsk._training.launch import number_on_machine

PRECISIONS = ("auto", "float32", "tf32", "bf16", "float64")
# A machine may have several devices of these kinds, which are numbered.
_NUMBERED = ("cuda", "xpu")


def available_devices() -> list[str]:
    """Return the devices of this machine that this process sees, the fastest kind first."""
    found = []
    for kind in _NUMBERED:
        backend = getattr(torch, kind, None)
        if backend is not None and backend.is_available():
            found += [f"{kind}:{number}" for number in range(backend.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def resolve_device(device: "str | torch.device") -> str:
    """Return the device to use: "auto" takes cuda, xpu, mps or cpu, the first there is.

    The names of cuda and xpu devices have a number. Of several GPUs, workers of joblib and
    multiprocessing take one each, in turn, and so do those of torchrun, Slurm and mpirun; other
    processes take the current one. ValueError for a device that is not there, RuntimeError for
    cuda in a fork of a process that has used it.
    """
    device = str(device)
    if device == "cpu":
        return device  # to count GPUs would keep forks of this process from using them
    if device.startswith(("auto", "cuda")):
        refuse_after_fork(device)
    available = available_devices()
    if device == "auto":
        return _first(available)
    kind, _, number = device.partition(":")
    found = device
    if kind in _NUMBERED and not number:
        found = f"{kind}:{_current(kind)}"
    elif kind not in _NUMBERED and number == "0":
        found = kind
    if found not in available:
        raise ValueError(
            f"device={device!r} is not available; here there are {', '.join(available)}. "
            f"{_reason(kind, available)}Use device='auto' to take the first of them."
        )
    return found


def refuse_after_fork(device: str) -> None:
    """Raise RuntimeError in a process that was forked from one in which cuda was in use."""
    # torch keeps the question private; where a version lacks it, torch's own error comes later.
    if getattr(torch.cuda, "_is_in_bad_fork", lambda: False)():
        raise RuntimeError(
            f"device={device!r} cannot be used in a process forked from one that has used cuda. "
            "Start workers with joblib's loky or with multiprocessing's spawn, or set device='cpu'."
        )


def _first(available: list[str]) -> str:
    kind = device_type(available[0])
    alike = [device for device in available if device_type(device) == kind]
    number = worker_number(multiprocessing.current_process().name)
    if number is None:
        number = _current(kind) if kind in _NUMBERED else 0
    return alike[number % len(alike)]


def device_type(device: str) -> str:
    """Return the kind of a device: "cpu", "cuda" and so on."""
    return device.partition(":")[0]


def _current(kind: str) -> int:
    """Return the number of the current device, or else that of this process on its machine.

    This takes no memory of a device.
    """
    backend = getattr(torch, kind, None)
    if backend is None:
        return 0
    count = backend.device_count()
    current = backend.current_device() if backend.is_initialized() else 0
    # Device 0 is where everything is that nobody has chosen. The processes of a launcher have one
    # each, also when they predict.
    numbered = number_on_machine(count) if count > 1 and not current else None
    return current if numbered is None else numbered[1] % count


def _reason(kind: str, available: list[str]) -> str:
    """Return why a device may be missing, as a sentence with a space behind it."""
    if kind not in ("cpu", "mps", *_NUMBERED):
        return "Names of devices are 'cpu', 'cuda', 'cuda:1', 'xpu', 'mps' and the like. "
    has_kind = kind in map(device_type, available)
    if kind == "cuda" and not has_kind and torch.version.cuda is torch.version.hip is None:
        return "This PyTorch was built without CUDA: install one that has it. "
    if kind == "cuda" and "CUDA_VISIBLE_DEVICES" in os.environ:
        shown = os.environ["CUDA_VISIBLE_DEVICES"]
        return f"The environment variable CUDA_VISIBLE_DEVICES={shown!r} hides other GPUs. "
    return ""


def worker_number(process_name: str) -> int | None:
    """Return which of the workers a process is, from 0; None for one that is not a worker.

    multiprocessing names them ``"LokyProcess-3"``, or ``"SpawnPoolWorker-1:2"`` for a worker's
    worker.
    """
    numbers = re.search(r"-(\d+(?::\d+)*)$", process_name)
    return numbers and sum(int(number) - 1 for number in numbers[1].split(":"))


def has_fast_bfloat16(device: str) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware."""
    kind = device_type(device)
    if kind == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if kind == "xpu":
        return getattr(torch.xpu, "is_bf16_supported", lambda: False)()
    if kind == "cpu":
        # Older processors emulate bfloat16 and are slower with it. torch keeps these tests
        # private; where a version lacks them, float32 is the safe choice.
        return any(
            getattr(torch.cpu, test, lambda: False)()
            for test in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        )
    return False


def resolve_precision(precision: str, device: str, *, training: bool) -> str:
    """Return the precision to compute in: "float32", "bf16", "float64" or, in training, "tf32".

    "auto" trains in bf16 autocast where the hardware has it and predicts in float32 always, as
    "tf32" does, so that a model predicts alike on every machine. ValueError for float64 on a device
    that lacks it.
    """
    if precision == "tf32" and not training:
        return "float32"
    if precision == "auto":
        return "bf16" if training and has_fast_bfloat16(device) else "float32"
    if precision == "float64" and device_type(device) == "mps":
        raise ValueError(
            "precision='float64' is not allowed on device='mps', which has no float64. Set "
            "precision='float32' or device='cpu'."
        )
    return precision


def free_memory(device: str) -> int | None:
    """Return the bytes that torch can use on a device; None where that is unknown."""
    kind = device_type(device)
    if kind == "mps" and hasattr(torch.mps, "recommended_max_memory"):
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    if kind in _NUMBERED and hasattr(getattr(torch, kind), "mem_get_info"):
        backend = getattr(torch, kind)
        # What torch has reserved for later does not count as free.
        reserved = backend.memory_reserved(device) - backend.memory_allocated(device)
        return backend.mem_get_info(device)[0] + reserved
    return None


def release_cached_memory(device: str) -> None:
    """Give back to a device what torch has reserved there for later."""
    kind = device_type(device)
    if kind == "mps":
        torch.mps.empty_cache()
    elif kind in _NUMBERED:
        with current_device(device):
            getattr(torch, kind).empty_cache()


def current_device(device: str) -> AbstractContextManager:
    """Make a GPU the current one of this thread in the block.

    Where torch does not name a device it means the current one, and would take memory of the first
    GPU besides that of the one in use.
    """
    kind = torch.device(device).type
    if kind in _NUMBERED and getattr(torch, kind).is_available():
        return getattr(torch, kind).device(device)
    return nullcontext()
