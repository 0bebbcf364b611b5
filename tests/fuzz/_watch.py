"""Read one input in a process of its own and note everything that it does."""

import contextlib
import gc
import os
import re
import resource
import sys
import time
from pathlib import Path

# Address space beyond what the process has: larger allocations fail, which is found.
_ADDRESSES = 1 << 30
_NOBODY = 65534
# What no reader has any business with. "exec" of text is looked at apart.
_FORBIDDEN = {
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "shutil.rmtree",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "webbrowser.open",
}
LONGEST_MESSAGE = 1500


class Watch:
    """Notes calls, imports and opened files between `start` and `stop`.

    Parameters
    ----------
    root : Path
        Above the folders of all inputs. What is opened in it, but outside of an input's own
        folder, was not to be opened.
    """

    def __init__(self, root: Path):
        self.root = os.fspath(root)
        self.folder: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple) -> None:
        if self.folder is None:
            return
        if event in _FORBIDDEN:
            self.seen.append(f"{event}{args!r:.100}")
        elif event == "exec" and getattr(args[0], "co_filename", "") == "<string>":
            self.seen.append("exec of text")
        elif event == "import" and "canary" in str(args[0]):
            self.seen.append(f"import {args[0]}")
        elif event == "open" and isinstance(args[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(args[0]))
            outside = path.startswith(self.root) and not path.startswith(self.folder)
            if outside or path.startswith("/etc/"):
                self.seen.append(f"opened {path}")

    @contextlib.contextmanager
    def over(self, folder: Path):
        """Watch a block that reads an input of a folder."""
        self.seen = []
        self.folder = os.fspath(folder)
        try:
            yield
        finally:
            self.folder = None


def examine(watch: Watch, kind, case, folder: Path) -> dict:
    """Build an input, read it, and judge how that ended.

    Parameters
    ----------
    watch : Watch
        Of this process.
    kind : module
        With ``read`` and ``wrong``, ``reason`` where errors are not raised, and ``MEMORY``, the
        bytes that any input may take, where they are more than 64 MB.
    case : Case
        The input.
    folder : Path
        Empty.

    Returns
    -------
    dict
        ``outcome`` ("error" or "answer"), ``message``, ``seconds``, ``memory`` (bytes by which
        resident memory grew at most), and ``defects``, a list of str.
    """
    path = case.build(folder)
    size = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file())
    size = min(size, 1 << 30)  # sparse files do not raise the limit
    answer = error = None
    gc.collect()
    with _limited() as before, _as_nobody():
        started = time.process_time()
        with watch.over(folder):
            try:
                answer = kind.read(path)
            except BaseException as caught:  # judged below
                error = caught
        seconds = time.process_time() - started
        memory = max(_status("VmHWM") - before, 0)
    defects = list(dict.fromkeys(watch.seen))
    if (folder.parent / "canary").exists():
        (folder.parent / "canary").unlink()
        defects.append("code in the file was run")
    left = kind.reason(answer) if error is None and hasattr(kind, "reason") else ""
    message = str(error) if error is not None else left
    outcome = "error" if message or error is not None else "answer"
    if error is not None and not isinstance(error, (ValueError, OSError)):
        defects.append(f"raised {type(error).__name__}")
    if outcome == "error":
        defects += _unreadable(message, path)
    if error is None:
        defects += [said for said in [kind.wrong(path, answer)] if said]
    if case.must not in ("either", outcome):
        defects.append(f"ended in an {outcome}, expected an {case.must}")
    if case.says and not re.search(case.says, message):
        defects.append(f"does not say {case.says!r}")
    if memory > max(getattr(kind, "MEMORY", 64 << 20), 20 * size):
        defects.append(f"took {memory >> 20} MB for {size} bytes")
    return {
        "outcome": outcome,
        "message": message,
        "seconds": seconds,
        "memory": memory,
        "defects": defects,
    }


def _unreadable(message: str, path: Path) -> list[str]:
    """Return what is wrong with an error as a text for people."""
    bare = message.replace(os.fspath(path), "")
    found = []
    if bare == message and path.name not in message:
        found.append("the error does not name the file")
    if len(bare) > LONGEST_MESSAGE:
        found.append(f"the error has {len(bare)} characters")
    if not all(c.isprintable() or c == "\n" for c in bare) or bare.count("\n") > 8:
        found.append("the error has unprintable characters")
    if "MemoryError" in message or "allocate" in message:
        found.append("tried to allocate too much memory")
    if "recursion" in message.lower():
        found.append("ended by recursion")
    return found


@contextlib.contextmanager
def _limited():
    """Limit the address space, and forget the highest use of memory so far."""
    limit = _status("VmSize") + _ADDRESSES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield _status("VmRSS")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


@contextlib.contextmanager
def _as_nobody():
    """Give up root, whom no permission stops."""
    if os.geteuid():
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    return 0
