"""Who works on a trial, and whether they still live."""

import os
import socket
import time
import uuid
from pathlib import Path

# A worker on another machine says that it lives this often; after so many times in silence it is
# taken for dead, s.
BEAT = 30.0
_SILENT_BEATS = 5


class Owner:
    """A process as others see it in a shared study, and others as it sees them.

    A process of the same machine is looked up. One of another machine is watched: it is dead when
    its sign of life has not changed for two and a half minutes of our own clock, so that clocks
    need not agree.
    """

    def __init__(self):
        self.token = {
            "host": _host(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "id": uuid.uuid4().hex,
        }
        self._seen: dict[object, tuple[object, float]] = {}

    def lives(self, token: dict | None, key, beat) -> bool:
        """Tell whether the owner of something lives.

        Parameters
        ----------
        token : dict or None
            Of the owner; None is nobody.
        key : hashable
            What it owns.
        beat : object
            Its latest sign of life.
        """
        if not token:
            return False
        # A signal of 0 asks on POSIX and kills on Windows.
        if token["host"] == self.token["host"] and os.name == "posix":
            return _started(token["pid"]) == token["started"] and _is_there(token["pid"])
        last = self._seen.get(key)
        if last is None or last[0] != beat:
            self._seen[key] = (beat, time.monotonic())
            return True
        return time.monotonic() - last[1] < _SILENT_BEATS * BEAT


def _host() -> str:
    """Return a name within which process numbers are unique: containers may share the host's."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str | None:
    """Return when a process began, which tells it from a later one of the same number.

    None where the system does not say; "ended" for one that is dead and not yet collected.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if fields[0] in "ZX" else fields[19]
