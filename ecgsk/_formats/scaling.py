"""Counts of a converter in mV."""

import numpy as np

_CHUNK = 1 << 18
# mV. Beyond is no ECG, and may be more than float32 holds.
_LARGEST = 1e9


def scale_counts(counts: np.ndarray, gain: float, offset: float, out: np.ndarray) -> None:
    """Write ``counts * gain + offset`` for one lead, in float64 for a part of it at a time.

    Of 32 bits and an offset, float32 would lose the last ones. Raises ValueError for amplitudes
    that no ECG has.
    """
    if not (abs(gain) < _LARGEST and abs(offset) < _LARGEST):
        raise ValueError(f"one count is {gain:g} mV, and count 0 {offset:g} mV: no ECG has these")
    for start in range(0, len(counts), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = counts[part] * gain + offset
