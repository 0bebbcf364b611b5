"""Give inputs to processes that may crash or hang, and count how they end."""

import gc
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ._case import Case
from ._watch import Watch, examine

# Processor time that an input may take, and time that its reader may sleep at a stretch: on a busy
# machine a process that could go on is not asleep.
SECONDS = 10.0
ASLEEP = 60.0


@dataclass
class Result:
    """How an input ended.

    Parameters
    ----------
    case : Case
        The input.
    outcome : str
        "error", "answer", "crash" or "hang".
    message : str
        Of the error.
    seconds : float
        That it took.
    memory : int
        Bytes by which resident memory grew at most.
    defects : list of str
        What must not be; empty for all that is well.
    """

    case: Case
    outcome: str
    message: str = ""
    seconds: float = 0.0
    memory: int = 0
    defects: list[str] = field(default_factory=list)


def run(cases: Iterable[Case], kinds: dict) -> list[Result]:
    """Read each input in a process that is watched, and replaced when it dies.

    Parameters
    ----------
    cases : iterable of Case
        Inputs.
    kinds : dict of str to module
        Their readers.
    """
    # A daemon's children, and readers that write caches, stay below one folder.
    root = Path(tempfile.mkdtemp(prefix="ecgsk-fuzz-")).resolve()
    root.chmod(0o755)
    try:
        _lay_out(root)
        worker, results = None, []
        for case in cases:
            worker = worker or _Worker(root, kinds)
            result = worker.examine(case)
            results.append(result)
            if result.outcome in ("crash", "hang"):
                worker = None
        if worker:
            worker.stop()
        return results
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _lay_out(root: Path) -> None:
    """Write what no input may reach: a record beside it, and a module that betrays its import."""
    from . import _records

    secret = root / "secret"
    secret.mkdir()
    for name, content in _records.record("secret").items():
        (secret / name).write_bytes(content)
    (secret / "ecgsk_canary.py").write_text(f"open({str(root / 'canary')!r}, 'w')\n")
    os.environ["PYTHONPATH"] = str(secret)


class _Worker:
    """A process that reads one input after the other."""

    def __init__(self, root: Path, kinds: dict):
        self.root = root
        context = multiprocessing.get_context("fork")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, root, kinds), daemon=True)
        # The readers are functions of modules that both have: only names are sent.
        self.process.start()
        other.close()

    def examine(self, case: Case) -> Result:
        self.connection.send(case)
        if hang := self._hangs():
            self.stop()
            return Result(case, "hang", seconds=SECONDS, defects=[hang])
        try:
            said = self.connection.recv()
        except EOFError:
            self.process.join()
            return Result(case, "crash", defects=[f"the process ended: {self.process.exitcode}"])
        return Result(case, **said)

    def _hangs(self) -> str:
        """Wait for an answer; return what is wrong where none comes."""
        started = worked = _use_of(self.process.pid)[1]
        awake = time.monotonic()
        while not self.connection.poll(0.02):
            state, used = _use_of(self.process.pid)
            if used - started > SECONDS:
                return f"takes over {SECONDS:g} s of processor time"
            if state != "S" or used != worked:
                worked, awake = used, time.monotonic()
            elif time.monotonic() - awake > ASLEEP:
                return f"sleeps for over {ASLEEP:g} s"
        return ""

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def _use_of(pid: int) -> tuple[str, float]:
    """Return the state of a process, "S" where it sleeps, and its seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return fields[0], ticks / os.sysconf("SC_CLK_TCK")


def _serve(connection, root: Path, kinds: dict) -> None:
    import sys

    sys.path.insert(0, str(root / "secret"))
    os.environ["ECGSK_CACHE"] = str(root / "cache")
    watch = Watch(root)
    for kind in kinds.values():
        getattr(kind, "warm_up", lambda: None)()
    # What is there already need not be looked through before each input.
    gc.collect()
    gc.freeze()
    while True:
        try:
            case = connection.recv()
        except EOFError:
            return
        folder = Path(tempfile.mkdtemp(dir=root, prefix="in-"))
        folder.chmod(0o777)
        try:
            connection.send(examine(watch, kinds[case.kind], case, folder))
        except Exception as error:
            said = f"the harness failed: {type(error).__name__}: {error}"
            connection.send({"outcome": "crash", "message": said, "defects": [said]})
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def summary(results: list[Result], seconds: float) -> str:
    """Return a table of how many inputs of each kind ended how."""
    lines = [f"{'kind':<12}{'inputs':>8}{'errors':>8}{'answers':>9}{'defects':>9}"
             f"{'slowest s':>11}{'memory MB':>11}"]  # fmt: skip
    for kind in [*dict.fromkeys(r.case.kind for r in results), "all"]:
        part = [r for r in results if kind in (r.case.kind, "all")]
        ended = Counter(r.outcome for r in part)
        lines.append(
            f"{kind:<12}{len(part):>8}{ended['error']:>8}{ended['answer']:>9}"
            f"{sum(bool(r.defects) for r in part):>9}{max(r.seconds for r in part):>11.2f}"
            f"{max(r.memory for r in part) / 2**20:>11.1f}"
        )
    by_hand = sum(not r.case.random for r in results)
    lines.append(
        f"{len(results)} inputs ({by_hand} by hand, the others from seeds) in {seconds:.1f} s"
    )
    return "\n".join(lines)
