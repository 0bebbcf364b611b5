"""Change of the sampling rate of recordings."""

from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

# The filter is 20 times as long as the larger number of the ratio. Rates that are nearly equal
# must not make it longer than recordings are.
_LARGEST_NUMBER = 10_000
# Difference of two lengths that has no effect, s.
_TOLERANCE = 0.05


def rate_ratio(sampling_rate: float, new_sampling_rate: float) -> Fraction:
    """Return the ratio of the new rate to the old one, in numbers of at most 10,000.

    Raises ValueError when one rate is more than 10,000 times the other.
    """
    low, high = sorted(map(Fraction, (float(sampling_rate), float(new_sampling_rate))))
    ratio = (low / high).limit_denominator(_LARGEST_NUMBER)
    if not ratio:
        raise ValueError(
            f"recordings at {sampling_rate:g} Hz cannot be resampled to {new_sampling_rate:g} Hz: "
            f"one rate must be at most {_LARGEST_NUMBER:,} times the other."
        )
    return ratio if new_sampling_rate < sampling_rate else 1 / ratio


def n_resampled(n_samples: int, ratio: Fraction) -> int:
    """Return the number of samples after `resample`."""
    return -int(-n_samples * ratio // 1)


def resample(X: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Resample (..., n_samples) along the last axis, in float32.

    A new sample that depends on missing ones (NaN) is missing, too.
    """
    missing = np.isnan(X)
    if not missing.any():
        return _resample(X, ratio)
    filled, times = X.copy(), np.arange(X.shape[-1])
    leads = np.argwhere(missing.any(axis=-1))
    for lead in map(tuple, leads):
        known = ~missing[lead]
        filled[lead] = np.interp(times, times[known], X[lead][known]) if known.any() else 0.0
    resampled = _resample(filled, ratio)
    new_times = np.arange(resampled.shape[-1]) / float(ratio)
    for lead in map(tuple, leads):
        resampled[lead][np.interp(new_times, times, missing[lead].astype(float)) > 0] = np.nan
    return resampled


def _resample(X: np.ndarray, ratio: Fraction) -> np.ndarray:
    X = X.astype(np.float64)
    # Without the line from the first to the last sample, an offset does not ring at the ends.
    first = X[..., :1].copy()
    slope = (X[..., -1:] - first) / max(X.shape[-1] - 1, 1)
    X -= first + slope * np.arange(X.shape[-1])
    out = resample_poly(X, ratio.numerator, ratio.denominator, axis=-1)
    out += first + slope * (np.arange(out.shape[-1]) / float(ratio))
    return out.astype(np.float32)


class Unify:
    """Brings a recording to a sampling rate and a number of samples; None keeps its own."""

    def __init__(self, sampling_rate: float | None, n_samples: int | None):
        self.sampling_rate = sampling_rate
        self.n_samples = n_samples

    def _ratio(self, sampling_rate: float) -> Fraction:
        return rate_ratio(sampling_rate, self.sampling_rate or sampling_rate)

    def n_samples_of(self, n_samples: int, sampling_rate: float) -> int:
        """Return the number of samples of the result."""
        return self.n_samples or n_resampled(n_samples, self._ratio(sampling_rate))

    def pads(self, n_samples: int, sampling_rate: float) -> bool:
        """Return whether a recording gets more 0 mV at its end than a rounding of its length."""
        if self.n_samples is None:
            return False
        wanted = self.n_samples / (self.sampling_rate or sampling_rate)
        return wanted - n_samples / sampling_rate > _TOLERANCE

    def __call__(self, signal: np.ndarray, sampling_rate: float) -> np.ndarray:
        ratio = self._ratio(sampling_rate)
        if ratio != 1:
            signal = resample(signal, ratio)
        if self.n_samples is not None:
            signal = signal[:, : self.n_samples]
            signal = np.pad(signal, [(0, 0), (0, self.n_samples - signal.shape[1])])
        return signal
