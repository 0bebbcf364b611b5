"""Devices and memory errors of other machines, for tests on a machine without a GPU."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest import mock

import torch

_GIB = 1 << 30


@contextmanager
def machine(
    *,
    cuda: int = 0,
    xpu: int = 0,
    mps: bool = False,
    current: int = 0,
    initialized: bool = False,
    forked: bool = False,
    capability: tuple[int, int] = (9, 0),
    free: int = 64 * _GIB,
) -> Iterator[list[tuple]]:
    """Let torch report so many devices, on which nothing can be computed.

    Yields a list of the calls that change something on a device: name and arguments of each.
    """
    changes: list[tuple] = []

    def recorded(name):
        return lambda *args, **kwargs: changes.append((name, *args, *kwargs.values()))

    def states():
        # Another state for each device, as long as one of cuda. Another function for each kind of
        # device: torch's compiler takes functions of two names for a mistake.
        return lambda device=0: torch.full(
            (16,), torch.device(device).index or 0, dtype=torch.uint8
        )

    def patch(owner, **replacements):
        for name, replacement in replacements.items():
            if hasattr(owner, name):  # versions of torch differ
                stack.enter_context(mock.patch.object(owner, name, replacement))

    with ExitStack() as stack:
        for kind, count in {"cuda": cuda, "xpu": xpu}.items():
            patch(
                getattr(torch, kind),
                is_available=lambda count=count: count > 0,
                device_count=lambda count=count: count,
                is_initialized=lambda count=count: initialized and count > 0,
                current_device=lambda: current,
                get_device_capability=lambda *device: capability,
                get_device_properties=lambda device: SimpleNamespace(
                    uuid=f"uuid-{torch.device(device).index or 0}", total_memory=80 * _GIB
                ),
                mem_get_info=lambda *device: (free, 80 * _GIB),
                memory_reserved=lambda *device: 0,
                memory_allocated=lambda *device: 0,
                get_rng_state=states(),
                _is_in_bad_fork=lambda: forked,
                **{name: recorded(f"{kind}.{name}") for name in _CHANGES},
            )
        patch(torch.backends.mps, is_available=lambda: mps)
        patch(
            torch.mps,
            recommended_max_memory=lambda: free,
            current_allocated_memory=lambda: 0,
            get_rng_state=states(),
            **{name: recorded(f"mps.{name}") for name in _CHANGES},
        )
        yield changes


_CHANGES = (
    "empty_cache", "init", "manual_seed", "manual_seed_all", "set_device", "set_rng_state",
    "set_rng_state_all", "synchronize",
)  # fmt: skip


# What torch and the libraries below it raise when the memory of a device is too small.
MEMORY_ERRORS = {
    "cuda": torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB "
        "of which 11.43 GiB is free."
    ),
    "cuda driver": RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`."),
    "cublas": RuntimeError(
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    ),
    "cudnn": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "mps": RuntimeError(
        "MPS backend out of memory (MPS allocated: 17.93 GB, other allocations: 96.00 KB, max "
        "allowed: 18.13 GB). Tried to allocate 256.00 MB on private pool."
    ),
    "mps buffer": RuntimeError("Invalid buffer size: 21.03 GB"),
    "xpu": torch.OutOfMemoryError("XPU out of memory. Tried to allocate 20.00 GiB."),
    "xpu driver": RuntimeError(
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"
    ),
    "cpu": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 800000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
}
