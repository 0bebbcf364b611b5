"""Write WFDB records in format 16, whose counts have 16 bits."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from ecgsk._core.files import write_file

# The lowest count of 16 bits stands for samples that were not recorded.
_MISSING, _LARGEST = -32768, 32767
_LARGEST_BASELINE = 2**30
# mV; larger values cannot be those of a heart, and need gains that readers refuse.
_LARGEST_AMPLITUDE = 1e9


def write_record(
    path: str,
    name: str,
    signal: np.ndarray,
    leads: Sequence[str],
    sampling_rate: float,
    *,
    resolutions: Sequence[float],
    date: datetime | None = None,
    comments: Mapping[str, str],
) -> None:
    """Write ``path`` + ``.dat`` and then ``.hea``, each as a whole.

    ``signal`` has shape (n_leads, n_samples), in mV, with NaN for samples that were not recorded.
    ``resolutions`` are the mV of one count for each lead. A lead whose range is too large for it
    gets a baseline, or a resolution that is coarser by a power of two. Raises ValueError for
    infinite samples, and for those above 1,000,000 V.
    """
    if np.isinf(signal).any():
        raise ValueError("some of its samples are infinite")
    if (np.abs(signal) > _LARGEST_AMPLITUDE).any():
        raise ValueError(
            f"it has samples of up to {np.nanmax(np.abs(signal)):g} mV: convert their unit"
        )
    counts = np.empty(signal.shape, dtype="<i2")
    time = "" if date is None else f" {date:%H:%M:%S} {date:%d/%m}/{date.year:04d}"
    lines = [f"{name} {len(leads)} {_number(sampling_rate)} {signal.shape[1]}{time}"]
    for row, lead, samples, resolution in zip(counts, leads, signal, resolutions, strict=True):
        gain, baseline = _convert(samples.astype(np.float64), resolution, row)
        checksum = int(row.sum(dtype=np.int16))
        lines.append(
            f"{name}.dat 16 {_number(gain)}({baseline})/mV 16 0 {row[0]} {checksum} 0 "
            f"{_one_line(lead)}"
        )
    lines += [f"# {_one_line(key)}: {_one_line(text)}" for key, text in comments.items()]
    write_file(f"{path}.dat", counts.T.tobytes())
    write_file(f"{path}.hea", ("\n".join(lines) + "\n").encode("utf-8", errors="backslashreplace"))


def _convert(samples: np.ndarray, resolution: float, counts: np.ndarray) -> tuple[float, int]:
    """Write the counts of a lead, and return their gain (counts per mV) and baseline."""
    known = ~np.isnan(samples)
    low, high = (samples[known].min(), samples[known].max()) if known.any() else (0.0, 0.0)
    middle = 0.0
    if max(-low, high) > _LARGEST * resolution:
        middle = (low + high) / 2
        # One count less on each side leaves room for rounding.
        while (
            high - low > 2 * (_LARGEST - 1) * resolution
            or abs(middle) > _LARGEST_BASELINE * resolution
        ):
            resolution *= 2
    baseline = -round(middle / resolution)
    counts[:] = _MISSING
    counts[known] = np.rint(samples[known] / resolution) + baseline
    return 1 / resolution, baseline


def _number(value: float) -> str:
    """Return a number in the fewest digits that are exact, without an exponent."""
    return np.format_float_positional(float(value), trim="-")


def _one_line(text: str) -> str:
    """Return a text that cannot end its line of a header."""
    return re.sub(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text).strip()
