"""Filters that keep a recording's shape: band-pass, mains notch and baseline."""

from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy import signal

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import Interval
from ecgsk.preprocessing._base import RATE, SignalTransformer
from ecgsk.preprocessing._recursive import filter_both_ways
from ecgsk.preprocessing._running_median import running_median

_N_JOBS = [Integral, None]


@public("ecgsk.preprocessing")
class BandPass(SignalTransformer):
    """Butterworth filter without phase shift.

    It is run forwards and backwards in second-order sections, so that waves keep their place and
    the attenuation in dB is twice that of the design (6 dB at the corner frequencies).

    Parameters
    ----------
    low : float or None, default=0.5
        Lower corner frequency in Hz; None gives a low-pass filter.
    high : float or None, default=40.0
        Upper corner frequency in Hz, below half the sampling rate; None gives a high-pass filter.
    sampling_rate : float, default=500
        Sampling rate of the recordings, Hz.
    order : int, default=4
        Order of the Butterworth design before it is run twice.
    n_jobs : int or None, default=None
        Threads to use; None is 1, -1 is all cores. The result does not depend on it.

    Attributes
    ----------
    n_features_in_ : int
        Leads seen in fit (samples, for recordings in two dimensions).
    n_samples_in_ : int
        Samples a lead seen in fit.

    Notes
    -----
    Each end is extended by its odd reflection of three times the filter's length, as
    `scipy.signal.filtfilt` does, or as far as a shorter record reaches.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.preprocessing import BandPass
    >>> t = np.arange(5000) / 500
    >>> X = 0.4 * t + np.sin(2 * np.pi * 10 * t)
    >>> filtered = BandPass(0.5, 40, sampling_rate=500).transform(X[np.newaxis])
    >>> bool(abs(filtered[0, 1000:4000] - np.sin(2 * np.pi * 10 * t[1000:4000])).max() < 0.02)
    True
    """

    _parameter_constraints = {
        "low": [RATE, None],
        "high": [RATE, None],
        "sampling_rate": [RATE],
        "order": [Interval(Integral, 1, 20, closed="both")],
        "n_jobs": _N_JOBS,
    }

    def __init__(
        self,
        low: float | None = 0.5,
        high: float | None = 40.0,
        *,
        sampling_rate: float = 500,
        order: int = 4,
        n_jobs: int | None = None,
    ):
        self.low = low
        self.high = high
        self.sampling_rate = sampling_rate
        self.order = order
        self.n_jobs = n_jobs

    def _plan(self, n_leads, n_samples):
        corners = [corner for corner in (self.low, self.high) if corner is not None]
        if not corners:
            raise ValueError(
                "low=None and high=None leave nothing to filter; give a corner frequency in Hz."
            )
        for name in ("low", "high"):
            _check_below_nyquist(name, getattr(self, name), self.sampling_rate)
        if len(corners) == 2 and self.low >= self.high:
            raise ValueError(f"low={self.low:g} Hz must be below high={self.high:g} Hz.")
        kind = "bandpass" if len(corners) == 2 else "lowpass" if self.low is None else "highpass"
        corners = corners if len(corners) == 2 else corners[0]
        sos = signal.butter(self.order, corners, kind, fs=self.sampling_rate, output="sos")
        padding = min(3 * (2 * len(sos) + 1), n_samples - 1)
        return partial(_filter_sections, sos=sos, padding=padding), (n_leads, n_samples)


@public("ecgsk.preprocessing")
class Notch(SignalTransformer):
    """Filter without phase shift that takes out the mains frequency.

    Parameters
    ----------
    frequency : float, default=50.0
        Frequency to remove, Hz: 50 in most countries, 60 in North America and some others. It is
        below half the sampling rate.
    sampling_rate : float, default=500
        Sampling rate of the recordings, Hz.
    quality : float, default=30.0
        Frequency divided by the width, in Hz, of the band that loses 3 dB in each of the two
        directions of filtering.
    n_jobs : int or None, default=None
        Threads to use; None is 1, -1 is all cores. The result does not depend on it.

    Attributes
    ----------
    n_features_in_ : int
        Leads seen in fit (samples, for recordings in two dimensions).
    n_samples_in_ : int
        Samples a lead seen in fit.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.preprocessing import Notch
    >>> hum = np.sin(2 * np.pi * 50 * np.arange(5000) / 500)
    >>> bool(abs(Notch(50).transform(hum[np.newaxis])[0, 1000:4000]).max() < 0.01)
    True
    """

    _parameter_constraints = {
        "frequency": [RATE],
        "sampling_rate": [RATE],
        "quality": [RATE],
        "n_jobs": _N_JOBS,
    }

    def __init__(
        self,
        frequency: float = 50.0,
        *,
        sampling_rate: float = 500,
        quality: float = 30.0,
        n_jobs: int | None = None,
    ):
        self.frequency = frequency
        self.sampling_rate = sampling_rate
        self.quality = quality
        self.n_jobs = n_jobs

    def _plan(self, n_leads, n_samples):
        _check_below_nyquist("frequency", self.frequency, self.sampling_rate)
        b, a = signal.iirnotch(self.frequency, self.quality, fs=self.sampling_rate)
        sos = np.concatenate([b, a])[np.newaxis]
        padding = min(3 * len(a), n_samples - 1)
        return partial(_filter_sections, sos=sos, padding=padding), (n_leads, n_samples)


@public("ecgsk.preprocessing")
class MedianBaseline(SignalTransformer):
    """Subtract the running median, which follows the baseline and ignores narrow waves.

    Parameters
    ----------
    window : float or sequence of float, default=0.4
        Width in s over which the median is taken; in samples the next odd number above it, 201
        at 500 Hz. Of several, each is taken of the median before it: (0.2, 0.6) is what the
        recordings of EchoNext were freed of.
    sampling_rate : float, default=500
        Sampling rate of the recordings, Hz.
    n_jobs : int or None, default=None
        Threads to use; None is 1, -1 is all cores. The result does not depend on it.

    Attributes
    ----------
    n_features_in_ : int
        Leads seen in fit (samples, for recordings in two dimensions).
    n_samples_in_ : int
        Samples a lead seen in fit.

    Notes
    -----
    Beyond its ends a lead counts as 0 mV, as in `scipy.signal.medfilt`: take out an offset first
    (`BandPass`), or half a window at each end keeps some of it.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.preprocessing import MedianBaseline
    >>> X = np.full((1, 1, 1000), 0.25)
    >>> X[0, 0, 500] = 1.25
    >>> MedianBaseline(0.4).transform(X)[0, 0, [400, 500, 600]]
    array([0., 1., 0.], dtype=float32)
    """

    _parameter_constraints = {
        "window": [RATE, tuple, list],
        "sampling_rate": [RATE],
        "n_jobs": _N_JOBS,
    }

    def __init__(
        self,
        window: float | Sequence[float] = 0.4,
        *,
        sampling_rate: float = 500,
        n_jobs: int | None = None,
    ):
        self.window = window
        self.sampling_rate = sampling_rate
        self.n_jobs = n_jobs

    def _plan(self, n_leads, n_samples):
        windows = self.window if isinstance(self.window, (tuple, list)) else [self.window]
        if not windows or not all(isinstance(w, Real) and w > 0 for w in windows):
            raise ValueError(
                f"window={self.window!r} has to be a positive number of s, or some, for example "
                "(0.2, 0.6)."
            )
        # 0.29 s at 100 Hz are 28.999999999999996 samples in floating point.
        widths = [int(window * self.sampling_rate + 1e-6) + 1 for window in windows]
        widths = tuple(width + 1 - width % 2 for width in widths)
        return partial(_subtract_median, widths=widths), (n_leads, n_samples)


def _check_below_nyquist(name: str, frequency: float | None, sampling_rate: float) -> None:
    if frequency is not None and frequency >= sampling_rate / 2:
        raise ValueError(
            f"{name}={frequency:g} Hz must be below {sampling_rate / 2:g} Hz, half of "
            f"sampling_rate={sampling_rate:g} Hz. Choose a lower frequency, or set sampling_rate "
            "to that of the recordings."
        )


def _filter_sections(X, *, sos, padding):
    return filter_both_ways(sos, X.reshape(-1, X.shape[2]), padding).reshape(X.shape)


def _subtract_median(X, *, widths):
    baseline = leads = np.ascontiguousarray(X, dtype=np.float32).reshape(-1, X.shape[2])
    for width in widths:
        baseline = running_median(baseline, width)
    return np.subtract(leads, baseline, out=baseline).reshape(X.shape)
