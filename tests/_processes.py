"""Waits for what other processes do, for as long as that takes on a busy machine."""

import time

# Seconds; nothing but a hang lasts so long.
HANG = 3600


def lives(process) -> bool:
    """Return whether a process of multiprocessing or subprocess still runs."""
    return process.is_alive() if hasattr(process, "is_alive") else process.poll() is None


def wait_until(condition, process=None) -> None:
    """Wait until a condition is true, and fail when the process ends before that."""
    until = time.monotonic() + HANG
    while True:
        alive = process is None or lives(process)
        if condition():
            return
        assert alive, "the process ended before"
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.005)
