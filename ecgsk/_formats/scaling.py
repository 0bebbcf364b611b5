"""Conversion of the counts of an analog-to-digital converter to mV."""

import numpy as np

_CHUNK = 1 << 18
# mV. Larger amplitudes are not those of an ECG, and may be more than float32 holds.
_LARGEST = 1e9


def scale_counts(counts: np.ndarray, gain: float, offset: float, out: np.ndarray) -> None:
    """Write ``counts * gain + offset`` for one lead, in float64 for a part of it at a time.

    With counts of 32 bits and an offset, float32 would lose the last bits. Raises
    ValueError for amplitudes that an ECG cannot have.
    """
    if not (abs(gain) < _LARGEST and abs(offset) < _LARGEST):
        raise ValueError(
            f"one count is {gain:g} mV, and count 0 {offset:g} mV: an ECG cannot have these"
        )
    for start in range(0, len(counts), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = counts[part] * gain + offset
