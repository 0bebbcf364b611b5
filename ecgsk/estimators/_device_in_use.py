"""Where a fitted network predicts: on the device that the parameter names at that time."""

import threading
import warnings

from ecgsk._training import ECGNet, device_type, resolve_device

# Threads that share an estimator move its network once.
_MOVES = threading.RLock()


def device_for_prediction(estimator) -> str:
    """Return the device that an estimator's parameter ``device`` means here and now.

    A model from a file or a pickle whose device is not here predicts on another one, with a
    warning; ValueError for a device that was set since then and is not here.
    """
    if getattr(estimator, "backend", "torch") != "torch":
        return "cpu"  # where other engines compute
    device = str(estimator.device)
    reason: Exception
    try:
        return resolve_device(device)
    except RuntimeError as error:  # in a fork of a process that has used cuda
        if device != "auto" and not _is_loaded(estimator):
            raise
        found, reason = "cpu", error
    except ValueError as error:
        if not _is_loaded(estimator):
            raise
        found, reason = _nearest(device), error
    _warn(f"The network predicts on device={found!r} instead: {reason}")
    return found


def _is_loaded(estimator) -> bool:
    """Return whether the device comes from a file or a pickle, and so from another machine."""
    return vars(estimator).get("_device_loaded") == str(estimator.device)


def _nearest(device: str) -> str:
    """Return a device of the same kind, or the CPU."""
    try:
        return resolve_device(device_type(device))
    except (ValueError, RuntimeError):
        return "cpu"


def _warn(message: str) -> None:
    # In the caller of a prediction; Python shows a message once for each place.
    warnings.warn(message, stacklevel=6)


def place(estimator, net: ECGNet) -> None:
    """Move a net to where its estimator predicts."""
    wanted = device_for_prediction(estimator)
    if net.device != wanted:
        with _MOVES:
            if net.device != wanted:
                net.move_to(wanted)
