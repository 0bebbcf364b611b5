"""Locks of GPUs, for users who limit how many processes compute on one of them at a time."""

import os
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from ecgsk._training.device import current_device, refuse_after_fork
from ecgsk._training.memory import explained_memory_errors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOCKED_TYPES = ("cuda",)
_JOBS = "ECGSK_JOBS_PER_DEVICE"
# Seconds after which a process that waits warns, and between two attempts.
_PATIENCE, _PAUSE = 5.0, 0.05


@contextmanager
def on_device(device: str, batch_size: int, *, in_turn: bool = True) -> Iterator[None]:
    """Compute on a device in the block; an OutOfMemoryError names the device and the batch.

    With ``ECGSK_JOBS_PER_DEVICE=n`` at most n processes of this user are in such blocks of one cuda
    device. Processes that exchange gradients wait for one another and must not respect it
    (``in_turn=False``); a block must not wait for workers that compute on the device.
    """
    lock: AbstractContextManager = nullcontext()
    remedy = "Lower batch_size."
    if torch.device(device).type in _LOCKED_TYPES:
        refuse_after_fork(device)
        if in_turn and _JOBS in os.environ:
            lock = _lock_of(torch.device(device).index)
        remedy = (
            "Lower batch_size, or start fewer workers on the device (n_jobs, or "
            f"{_JOBS}=1 for one process at a time)."
        )
    with lock, current_device(device), explained_memory_errors(device, batch_size, remedy):
        yield


class DeviceLock:
    """A lock of a cuda device, which belongs to this process while any of its threads holds it.

    It is a lock of a file, which the kernel releases when the process ends, however it ends. A
    thread that waits for it makes only those threads wait that need the same device.
    """

    def __init__(self, name: str, index: int):
        self.name = name
        self.index = index
        self._mutex = threading.Lock()
        self._holders = 0
        self._file: int | None = None

    def __enter__(self) -> None:
        with self._mutex:
            if not self._holders:
                self._file = _acquire(self.name)
            self._holders += 1

    def __exit__(self, *exception) -> None:
        with self._mutex:
            self._holders -= 1
            if not self._holders:
                try:
                    # Elsewhere it would take memory of the current device, GPU 0, for itself.
                    with torch.cuda.device(self.index):
                        torch.cuda.empty_cache()
                finally:
                    self.release()

    def release(self) -> None:
        """Close the file, which releases its lock."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


_LOCKS: dict[str, DeviceLock] = {}


def _lock_of(index: int | None) -> DeviceLock:
    index = torch.cuda.current_device() if index is None else index
    name = device_name(index)
    # setdefault, because threads may come at the same time.
    return _LOCKS.get(name) or _LOCKS.setdefault(name, DeviceLock(name, index))


def device_name(index: int) -> str:
    """Return a cuda device's name that is the same in all processes, whichever devices they see."""
    name = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    if name is None or not str(name).strip("0-"):  # some versions of ROCm have zeros
        visible = [entry.strip() for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        name = visible[index] if index < len(visible) and visible[index] else index
    return f"cuda-{name}"


def _acquire(name: str) -> int | None:
    """Wait for one of the locks of a device; return its file, or None where files have no locks."""
    n_jobs = os.environ[_JOBS]
    if not n_jobs.isdecimal() or int(n_jobs) < 1:
        raise ValueError(
            f"{_JOBS}={n_jobs!r} is not allowed: give the number of processes, 1 or more, that may "
            "compute on one GPU at the same time."
        )
    if fcntl is None:
        return None
    impatient_at = time.monotonic() + _PATIENCE
    try:
        folder = Path(tempfile.gettempdir()) / f"ecgsk-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        while True:
            for number in range(int(n_jobs)):
                path = folder / f"{name}.{number}"
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return file
                except BaseException as error:
                    os.close(file)
                    if not isinstance(error, BlockingIOError):
                        raise
            if time.monotonic() > impatient_at:
                warnings.warn(
                    f"Waiting for {name}: {n_jobs} other process(es) compute on it, as many as "
                    f"{_JOBS}={n_jobs} allows. Unset the variable to compute at the same time.",
                    stacklevel=2,
                )
                impatient_at = float("inf")
            time.sleep(_PAUSE)
    except OSError as error:
        warnings.warn(
            f"{_JOBS} has no effect on {name}: {error}. Point TMPDIR to a folder that can be "
            "written.",
            stacklevel=2,
        )
        return None


def _forget_locks() -> None:
    """Drop the locks of the process that this one was forked from, which keeps them."""
    for lock in _LOCKS.values():
        lock.release()
    _LOCKS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
