"""The line of the user's program to which a warning belongs."""

import sys

# What may stand between a line of the user's and ecgsk.
_PACKAGES = {"concurrent", "contextlib", "ecgsk", "joblib", "skorch", "sklearn", "threading"}


def stacklevel_of_user() -> int:
    """Return the ``stacklevel`` with which a warning of the caller names a line of the user's.

    A Pipeline or a search may have called ecgsk, so that the number of calls is not known.
    """
    frame, level = sys._getframe(1), 1
    while _package(frame) in _PACKAGES and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level


def _package(frame) -> str:
    return frame.f_globals.get("__name__", "").partition(".")[0]
