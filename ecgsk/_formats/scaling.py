"""Counts of a converter in mV."""

import numpy as np

_CHUNK = 1 << 18
# mV for a count. What is beyond is no ECG, and may be more than float32 holds.
LARGEST_GAIN = 1e9


def scale_counts(counts: np.ndarray, gain: float, offset: float, out: np.ndarray) -> None:
    """Write ``counts * gain + offset`` for one lead, in float64 for a part of it at a time.

    Raises ValueError for amplitudes that are infinite.

    Of 32 bits and an offset, float32 would lose the last ones.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(counts), _CHUNK):
            part = slice(start, start + _CHUNK)
            out[part] = counts[part] * gain + offset
    if not np.isfinite(out).all():
        raise ValueError(f"one count is {gain:g} mV, and count 0 {offset:g} mV: no ECG has these")
