"""Processes that work on a shared study, and whether they still run."""

import os
import socket
import time
import uuid
from pathlib import Path

# Seconds between two heartbeats of a worker.
HEARTBEAT_INTERVAL = 30.0
_MISSED_HEARTBEATS = 5


class Worker:
    """The current process, and its view of the other processes that share a study.

    A process on the same machine is looked up in the process table. A process on another machine
    counts as dead when its heartbeat has not changed for two and a half minutes of the local
    clock, so that the clocks of both machines need not agree.
    """

    def __init__(self) -> None:
        self.token = {
            "host": _host(),
            "pid": os.getpid(),
            "started": _start_time(os.getpid()),
            "id": uuid.uuid4().hex,
        }
        self._last_heartbeats: dict[object, tuple[object, float]] = {}

    def is_alive(self, token: dict | None, task, heartbeat) -> bool:
        """Return whether the worker of a task still runs; a task without a worker has no token."""
        if not token:
            return False
        # Signal 0 only checks a process on POSIX, but ends it on Windows.
        if token["host"] == self.token["host"] and os.name == "posix":
            return _start_time(token["pid"]) == token["started"] and _exists(token["pid"])
        last = self._last_heartbeats.get(task)
        if last is None or last[0] != heartbeat:
            self._last_heartbeats[task] = (heartbeat, time.monotonic())
            return True
        return time.monotonic() - last[1] < _MISSED_HEARTBEATS * HEARTBEAT_INTERVAL


def _host() -> str:
    """Return a name within which process numbers are unique: containers may share the host's."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time(pid: int) -> str | None:
    """Return when a process started, because a later process can get the same number.

    None where the system does not provide it; "ended" for a process that has ended, but whose
    parent has not collected its exit status yet.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if fields[0] in "ZX" else fields[19]
