"""Where a fitted network predicts: on the device that the parameter names at that time."""

import os
import threading
import warnings
from dataclasses import dataclass

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._training import ECGNet, device_type, resolve_device, resolve_precision

# Threads that share an estimator move its network once.
_MOVES = threading.RLock()


@dataclass
class LoadedDevice:
    """The device in a file or a pickle, which may name a device of another machine.

    ``reported`` has the warnings of all networks that were loaded together.
    """

    name: str
    reported: list[str]


def device_for_prediction(estimator) -> str:
    """Return the device that an estimator's parameter ``device`` means here and now.

    A model from a file or a pickle whose device is not here predicts on another one, with one
    warning; ValueError for a device that was set since then and is not here.
    """
    if getattr(estimator, "backend", "torch") != "torch":
        return "cpu"  # where other engines compute
    device = str(estimator.device)
    loaded = vars(estimator).get("_device_loaded")
    if loaded is not None and loaded.name != device:
        loaded = None
    reason: Exception
    try:
        return resolve_device(device)
    except RuntimeError as error:  # in a fork of a process that has used cuda
        if device != "auto" and loaded is None:
            raise
        found, reason = "cpu", error
    except ValueError as error:
        if loaded is None:
            raise
        found, reason = _nearest(device), error
    message = (
        f"The network predicts on device={found!r} instead: {reason} "
        "ecgsk.set_device(model, ...) sets the device of all networks in a model."
    )
    reported = [] if loaded is None else loaded.reported
    if message not in reported:
        warnings.warn(message, stacklevel=stacklevel_of_user())
        reported.append(message)
    return found


def _nearest(device: str) -> str:
    """Return a device of the same kind, or the CPU."""
    try:
        return resolve_device(device_type(device))
    except (ValueError, RuntimeError):
        return "cpu"


def place(estimator, net: ECGNet) -> None:
    """Move a net to where its estimator predicts."""
    wanted = device_for_prediction(estimator)
    # An error comes before half of the network has moved.
    resolve_precision(estimator.precision, wanted, training=False)
    if ":" not in str(estimator.device) and device_type(net.device) == device_type(wanted):
        # Which GPU is the current one differs between threads, and after a fit.
        return
    if net.device != wanted:
        with _MOVES:
            if net.device != wanted:
                net.move_to(wanted)


def _forget_threads() -> None:
    """Free the lock in a forked process, which lacks the thread that may have held it."""
    global _MOVES
    _MOVES = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
