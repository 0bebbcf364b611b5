"""Work on many files in several processes: in order, with a bounded number of results in memory."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from itertools import islice
from types import TracebackType
from typing import Any, Generic, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items of a call, which costs about a millisecond, and calls ahead for each process.
_CHUNK = 8
_AHEAD = 2
# A process has one core.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Processes(Generic[Item, Result]):
    """Calls a function on items, in ``n_jobs`` processes; with one, in this process.

    A process that ends, because a decoder crashed or needed too much memory, costs only its item:
    ``lost`` makes the result of that one. As a context, the processes end with the block.
    """

    def __init__(
        self, function: Callable[[Item], Result], n_jobs: int, *, lost: Callable[[Item], Result]
    ):
        self._function = function
        self._n_jobs = n_jobs
        self._lost = lost
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Processes[Item, Result]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Yield the result of each item, in their order."""
        if self._n_jobs == 1:
            yield from map(self._function, items)
            return
        rest = iter(items)
        waiting: deque[tuple[list[Item], Future | None]] = deque()
        while True:
            while len(waiting) < _AHEAD * self._n_jobs and (chunk := list(islice(rest, _CHUNK))):
                waiting.append((chunk, self._submit(chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            results = None if future is None else _result(future)
            if results is not None:
                yield from results
                continue
            # It is unknown which of the items in work has ended a process.
            yield from self._one_by_one(chunk)
            waiting = deque((chunk, self._submit(chunk)) for chunk, _ in waiting)

    def _one_by_one(self, items: Sequence[Item]) -> Iterator[Result]:
        """Yield the result of each item, with one item in work, in new processes."""
        self._end()
        for item in items:
            future = self._submit([item])
            results = None if future is None else _result(future)
            if results is None:
                self._end()
                results = [self._lost(item)]
                future = self._submit([])
                if future is None or _result(future) is None:
                    raise OSError(
                        "no other process can be started here: use one job (n_jobs=1, --jobs 1)"
                    )
            yield from results

    def _submit(self, items: list[Item]) -> Future | None:
        """Return the future of the items' results, or None where a process has ended."""
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._n_jobs,
                initializer=_start,
                initargs=(self._function, os.getpid()),
                env=_ONE_THREAD,
            )
        try:
            return self._executor.submit(_call, items)
        except BrokenExecutor:
            return None

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None


def _result(future: Future) -> list | None:
    try:
        return future.result()
    except BrokenExecutor:
        return None


_work: dict[str, Any] = {}  # of a process, from its start


def _start(function: Callable, parent: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    _work["function"] = function


def _end_after(parent: int) -> None:
    """End this process when its parent was killed and cannot do it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _call(items: Sequence) -> list:
    return [_work["function"](item) for item in items]


def n_processes(n_jobs: int | None, n_items: int | None = None) -> int:
    """Return a number of processes, as joblib counts them: -1 for one on each core.

    Few items do not need all; two are left where several are wanted, for items that crash.
    """
    from joblib import effective_n_jobs

    n_wanted = 1 if n_jobs is None else effective_n_jobs(n_jobs)
    return n_wanted if n_items is None else min(n_wanted, max(2, -(-n_items // _CHUNK)))
