"""Errors at the end of a device's memory: which they are, and what they must not keep alive."""

import gc
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

# torch has a class for the errors of its own GPU allocators. The libraries below it, Metal and the
# CPU's allocator raise a plain RuntimeError, which only its text distinguishes from others.
_TEXTS = re.compile(
    r"out of memory"  # CUDA, HIP, MPS, XPU and their drivers
    r"|_ALLOC_FAILED|ALLOCATION_FAILED|StatusAllocFailed"  # cuBLAS, cuDNN, cuFFT, hipBLAS, MIOpen
    r"|unable to find an engine|unable to find a valid cuDNN algorithm"
    r"|ERROR_OUT_OF_(?:DEVICE_MEMORY|HOST_MEMORY|RESOURCES)"  # Intel's GPUs
    r"|invalid buffer size"  # Metal: one tensor is larger than a buffer can be
    r"|DefaultCPUAllocator: (?:can't allocate|not enough) memory|bad_alloc",
    re.IGNORECASE,
)
# cuDNN's search for an engine fails where memory is short, but for other reasons as well.
_UNCERTAIN = re.compile("unable to find", re.IGNORECASE)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether the memory of a device (cuda, mps, xpu, cpu) was too small for torch.

    Python's own MemoryError is not covered: it names the CPU's memory and what did not fit.
    """
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _TEXTS.search(str(error)) is not None
    )


@contextmanager
def explained_memory_errors(device: str, batch_size: int, remedy: str) -> Iterator[None]:
    """Turn all memory errors of the block into one OutOfMemoryError, which names the remedy.

    An error that an inner block has explained passes unchanged.
    """
    try:
        yield
    except RuntimeError as error:
        explained = isinstance(error, torch.OutOfMemoryError) and is_out_of_memory(error.__cause__)
        if explained or not is_out_of_memory(error):
            raise
        # What the block had on the device is free before the device passes to another process.
        clear_failed_frames(error)
        probably = " probably" if _UNCERTAIN.search(str(error)) else ""
        raise torch.OutOfMemoryError(
            f"The memory of {device}{probably} does not suffice for batch_size={batch_size}. "
            f"{remedy} torch's error: {error}"
        ) from error


def clear_failed_frames(error: BaseException) -> None:
    """Free what the failed frames of a memory error hold; other errors stay as they are.

    A notebook keeps the last error, and the error's frames keep network, optimizer and batch. They
    become text, a note of the error. The frames that still run, those of the callers, remain.
    """
    if not is_out_of_memory(error):
        return
    running: set[int] = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        running.add(id(frame))
        frame = frame.f_back
    cleared: list[BaseException] = []
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None or any(link is other for other in cleared):  # they may be in a circle
            continue
        cleared.append(link)
        chain += [link.__cause__, link.__context__]
        last, failed = None, link.__traceback__
        while failed is not None and id(failed.tb_frame) in running:
            last, failed = failed, failed.tb_next
        if failed is None:
            continue
        if hasattr(link, "add_note"):  # Python 3.11
            link.add_note("It was raised in\n" + "".join(traceback.format_tb(failed)).rstrip())
        # `clear` of a frame would leave its function, and what a closure of skorch holds.
        if last is None:
            link.__traceback__ = None
        else:
            last.tb_next = None
    del failed
    # Networks and optimizers are in reference cycles. Python's collector counts objects and does
    # not know how much memory of a device they hold.
    gc.collect()
