"""Other processes: start them, and wait for what they do as long as that takes."""

import multiprocessing
import os
import time

# Seconds; nothing but a hang lasts so long, however busy the machine is.
HANG = 3600
# The server imports once what its children need, and has no threads that they would lack.
if "forkserver" in multiprocessing.get_all_start_methods():
    SERVER = multiprocessing.get_context("forkserver")
    SERVER.set_forkserver_preload(["_models", "_search_script", "torch", "skorch"])
else:
    SERVER = multiprocessing.get_context("spawn")
# The status of a process that has called `die`.
DEAD = 17


def start(function, *args, **kwargs):
    """Start a function of a module in a process of its own and return the process."""
    process = SERVER.Process(target=function, args=args, kwargs=kwargs)
    process.start()
    return process


def die() -> None:
    """End this process as a kill does: nothing is written, closed or cleaned up."""
    os._exit(DEAD)


def wait_until(condition, process=None) -> None:
    """Wait until a condition is true, and fail when the process ends before that."""
    until = time.monotonic() + HANG
    while True:
        alive = process is None or _lives(process)
        if condition():
            return
        assert alive, "the process ended before"
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.005)


def _lives(process) -> bool:
    return process.is_alive() if hasattr(process, "is_alive") else process.poll() is None
