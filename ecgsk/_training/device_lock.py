"""Processes that share a GPU take turns on it."""

import os
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

try:
    import fcntl
except ImportError:  # Windows: nothing waits there
    fcntl = None

_HELD = ("cuda",)
_JOBS = "ECGSK_JOBS_PER_DEVICE"


@contextmanager
def on_device(device: str, batch_size: int, *, in_turn: bool = True) -> Iterator[None]:
    """Hold a cuda device for the block, and say what to do where its memory ends.

    The block must not start workers that compute on the device, and wait for them.

    Parameters
    ----------
    device : str
        As `resolve_device` returns it. Only cuda devices are held.
    batch_size : int
        For the message.
    in_turn : bool, default=True
        Whether to wait until other processes of this user have left the device. Processes that
        wait for one another must not.

    Raises
    ------
    torch.OutOfMemoryError
        Naming the device and the batch.
    RuntimeError
        In a process forked from one that has used cuda.
    """
    if torch.device(device).type not in _HELD:
        yield
        return
    refuse_after_fork(device)
    index = torch.device(device).index
    index = torch.cuda.current_device() if index is None else index
    lease = _lease_of(index) if in_turn else None
    if lease is not None:
        lease.take()
    try:
        yield
    except torch.OutOfMemoryError as error:
        # The frames that failed hold the batch for as long as anyone keeps the error.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error.__cause__, torch.OutOfMemoryError):
            raise
        raise torch.OutOfMemoryError(
            f"The memory of {device} does not suffice for batch_size={batch_size}. Lower "
            f"batch_size, or start fewer workers on it (n_jobs, {_JOBS}). torch says: {error}"
        ) from error
    finally:
        if lease is not None:
            lease.give_back()


def refuse_after_fork(device: str) -> None:
    """Raise RuntimeError in a process that was forked from one in which cuda was in use."""
    # torch keeps the question private; where a version lacks it, torch's own error comes later.
    if getattr(torch.cuda, "_is_in_bad_fork", lambda: False)():
        raise RuntimeError(
            f"device={device!r} cannot be used in a process forked from one that has used cuda. "
            "Start workers with joblib's loky or with multiprocessing's spawn, or set device='cpu'."
        )


class Lease:
    """One of a few places on a device, which belongs to this process while any thread holds it.

    The place is a file lock, which the kernel releases when a process ends, however it ends.

    Parameters
    ----------
    name : str
        Of the device, the same in all processes.
    """

    def __init__(self, name: str):
        self.name = name
        self._lock = threading.Lock()
        self._holders = 0
        self._file: int | None = None

    def take(self) -> None:
        """Wait for a place. A process that has one is not asked to wait again."""
        with self._lock:
            if not self._holders:
                self._file = _wait(self.name)
            self._holders += 1

    def give_back(self) -> None:
        """Leave the device, with its memory, when the last holder of this process does."""
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
            try:
                torch.cuda.empty_cache()
            finally:
                self.forget()

    def forget(self) -> None:
        """Close the file: with that the lock is gone."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


_LEASES: dict[int, Lease] = {}


def _lease_of(index: int) -> Lease:
    lease = _LEASES.get(index)
    # setdefault, because threads may come at once.
    return lease or _LEASES.setdefault(index, Lease(device_name(index)))


def device_name(index: int) -> str:
    """Return what a cuda device is called in every process, whichever devices each of them sees.

    Parameters
    ----------
    index : int
        Of the device among those that this process sees.
    """
    name = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    if name is None:
        visible = [entry.strip() for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        name = visible[index] if index < len(visible) and visible[index] else index
    return f"cuda-{name}"


def _wait(name: str) -> int | None:
    """Return the locked file of a place on the device; None where files cannot be locked."""
    if fcntl is None:
        return None
    n_places = _places()
    try:
        folder = Path(tempfile.gettempdir()) / f"ecgsk-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for place in range(n_places):
            file = _open(folder / f"{name}.{place}")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                os.close(file)
        file = _open(folder / f"{name}.{os.getpid() % n_places}")
    except OSError as error:
        warnings.warn(
            f"Processes cannot take turns on {name}: {error}. Point TMPDIR to a folder that can be "
            "written.",
            stacklevel=2,
        )
        return None
    try:
        # The kernel queues those who wait, and hands over without a pause.
        fcntl.flock(file, fcntl.LOCK_EX)
    except BaseException:
        os.close(file)
        raise
    return file


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _places() -> int:
    given = os.environ.get(_JOBS, "1")
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(
            f"{_JOBS}={given!r} is not allowed: give the number of processes, 1 or more, that may "
            "compute on one GPU at the same time."
        )
    return int(given)


def _forget_all() -> None:
    """Drop what belongs to the process that this one was forked from; its lock stays its own."""
    for lease in _LEASES.values():
        lease.forget()
    _LEASES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
