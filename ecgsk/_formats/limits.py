"""Limits for files of strangers."""

import os
import stat

from ecgsk._core.record_error import RecordError

# A recording of a few minutes has a few megabytes; parsers take about ten times that.
LARGEST_FILE = 128 << 20
MOST_SAMPLES = 100_000_000


def check_file(path: str, largest: int = LARGEST_FILE) -> None:
    """Raise RecordError for what is not a regular file or has more than ``largest`` bytes."""
    try:
        about = os.stat(path)
    except OSError as error:
        raise unopened(path, error) from None
    if not stat.S_ISREG(about.st_mode):
        raise RecordError(path, "it is not a regular file")
    if about.st_size > largest:
        raise RecordError(
            path,
            f"it has {about.st_size >> 20} MB; recordings of at most {largest >> 20} MB are read",
        )


def unopened(path: str, error: OSError) -> RecordError:
    """Return the error of a file that cannot be opened."""
    missing = isinstance(error, FileNotFoundError)
    return RecordError(path, f"it cannot be opened ({error.strerror})", missing)
