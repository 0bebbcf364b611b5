"""Where and in which precision a network runs, and with which random numbers."""

import multiprocessing
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ecgsk._training.device_lock import refuse_after_fork

_GENERATORS = threading.RLock()

PRECISIONS = ("auto", "float32", "bf16", "float64")


def resolve_device(device: "str | torch.device") -> str:
    """Return the device to use: "auto" takes cuda, mps or cpu, the first there is.

    Of several GPUs, workers of joblib and multiprocessing take one each, in turn. ValueError for
    a device that is not there, RuntimeError for cuda in a fork of a process that has used it.
    """
    if str(device).startswith(("auto", "cuda")):
        refuse_after_fork(str(device))
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available[:0] = ["cuda"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if device == "auto":
        n_gpus = torch.cuda.device_count() if available[0] == "cuda" else 0
        number = worker_number(multiprocessing.current_process().name)
        return available[0] if n_gpus < 2 or number is None else f"cuda:{number % n_gpus}"
    device = str(device)
    if device in ("cpu:0", "mps:0"):
        device = device[:3]
    if device not in available:
        raise ValueError(
            f"device={device!r} is not available; here there are {', '.join(available)}. "
            "Use device='auto' to take the first of them."
        )
    return device


def worker_number(process_name: str) -> int | None:
    """Return which of the workers a process is, from 0; None for one that is not a worker.

    multiprocessing names them ``"LokyProcess-3"``, or ``"SpawnPoolWorker-1:2"`` for a worker's
    worker.
    """
    numbers = re.search(r"-(\d+(?::\d+)*)$", process_name)
    return numbers and sum(int(number) - 1 for number in numbers[1].split(":"))


def has_fast_bfloat16(device: str) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device == "cpu":
        # Older processors emulate bfloat16 and are slower with it. torch keeps these tests
        # private; where a version lacks them, float32 is the safe choice.
        return any(
            getattr(torch.cpu, test, lambda: False)()
            for test in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        )
    return False


def resolve_precision(precision: str, device: str, *, training: bool) -> str:
    """Return the precision to compute in: "float32", "bf16" or "float64".

    "auto" trains in bf16 autocast where the hardware has it and predicts in float32 always, so that
    a model predicts alike on every machine.
    """
    if precision != "auto":
        return precision
    return "bf16" if training and has_fast_bfloat16(device) else "float32"


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch inside the block and leave its global generators as they were."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    # torch's generators belong to the process: threads that fit at once would draw from, and
    # put back, each other's.
    with _GENERATORS, torch.random.fork_rng(devices=devices, device_type="cuda"):
        torch.manual_seed(seed)
        yield
