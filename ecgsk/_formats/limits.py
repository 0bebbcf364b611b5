"""Limits for files from untrusted sources."""

import os
import stat

from ecgsk._core.record_error import RecordError
from ecgsk._wfdb.header import RATES

# A recording of a few minutes has a few megabytes; parsers take about ten times that.
LARGEST_FILE = 128 << 20
MOST_SAMPLES = 100_000_000  # of all leads together
# One count of a device, mV.
RESOLUTIONS = (1e-9, 1e3)


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
            f"it has {about.st_size >> 20} MB; files of at most {largest >> 20} MB are read",
        )


def unopened(path: str, error: OSError) -> RecordError:
    """Return the error of a file that cannot be opened."""
    missing = isinstance(error, FileNotFoundError)
    return RecordError(path, f"it cannot be opened ({error.strerror})", missing)


def check_signal(n_leads: int, n_samples: int, sampling_rate: float) -> None:
    """Raise ValueError for what cannot be a recording, or is too long."""
    if not RATES[0] <= sampling_rate <= RATES[1]:
        raise ValueError(
            f"its sampling rate is {sampling_rate:g} Hz; {RATES[0]:g} to {RATES[1]:g} Hz is "
            "possible"
        )
    if n_samples < 1:
        raise ValueError("its leads contain no samples")
    if n_samples * n_leads > MOST_SAMPLES:
        raise ValueError(
            f"it has {n_leads} leads of {n_samples} samples; at most {MOST_SAMPLES} samples "
            "are read"
        )
