"""Records of different rates and lengths, brought to one."""

from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from ecgsk.datasets._wfdb.header import Header


class Unify:
    """Brings a record to a common rate and length; None leaves it its own."""

    def __init__(self, sampling_rate: float | None, n_samples: int | None):
        self.sampling_rate = sampling_rate
        self.n_samples = n_samples

    def _ratio(self, header: Header) -> Fraction:
        if self.sampling_rate is None:
            return Fraction(1)
        target, own = (
            Fraction(rate).limit_denominator(10_000)
            for rate in (float(self.sampling_rate), header.sampling_rate)
        )
        # The filter is as long as these numbers: a rate that is nearly another must not make it so.
        return (target / own).limit_denominator(10_000)

    def n_samples_of(self, header: Header) -> int:
        return self.n_samples or -int(-header.n_samples * self._ratio(header) // 1)

    def __call__(self, signal: np.ndarray, header: Header) -> np.ndarray:
        ratio = self._ratio(header)
        if ratio != 1:
            signal = _resample(signal, ratio)
        if self.n_samples is not None:
            signal = signal[:, : self.n_samples]
            signal = np.pad(signal, [(0, 0), (0, self.n_samples - signal.shape[1])])
        return signal


def _resample(signal: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Resample along time; a new sample between missing ones is missing too."""
    missing = np.isnan(signal)
    gaps = np.flatnonzero(missing.any(axis=1))
    times = np.arange(signal.shape[1])
    signal = signal.copy() if len(gaps) else signal
    for lead in gaps:
        known = ~missing[lead]
        signal[lead] = np.interp(times, times[known], signal[lead, known]) if known.any() else 0.0
    # Filtering about the line from the first to the last sample keeps an offset from ringing.
    resampled = resample_poly(
        signal, ratio.numerator, ratio.denominator, axis=1, padtype="line"
    ).astype(np.float32)
    new_times = np.arange(resampled.shape[1]) / float(ratio)
    for lead in gaps:
        resampled[lead, np.interp(new_times, times, missing[lead].astype(float)) > 0] = np.nan
    return resampled
