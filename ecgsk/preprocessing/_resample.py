"""Change of the sampling rate."""

from functools import partial
from numbers import Integral

import numpy as np

from ecgsk._core.carried import SET_RATE, check_rate
from ecgsk._core.public import public
from ecgsk._core.sampling_rate import n_resampled, rate_ratio, resample
from ecgsk.preprocessing._base import RATE, SignalTransformer


@public("ecgsk.preprocessing")
class Resample(SignalTransformer):
    """Change the sampling rate with an anti-aliasing filter.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the recordings, Hz.
    new_sampling_rate : float
        Sampling rate of the result, Hz. The ratio of the rates becomes a fraction of two numbers
        of at most 10,000. Larger ratios raise ValueError.
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
    The straight line from a lead's first to its last sample is taken out,
    `scipy.signal.resample_poly` resamples the rest, and the line is put back: an offset or a drift
    comes out exact and does not ring at the ends. ``n`` samples become
    ``ceil(n * new_sampling_rate / sampling_rate)``.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.preprocessing import Resample
    >>> Resample(500, 100).transform(np.ones((2, 12, 5000))).shape
    (2, 12, 1000)
    """

    _parameter_constraints = {
        "sampling_rate": [RATE],
        "new_sampling_rate": [RATE],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self, sampling_rate: float, new_sampling_rate: float, *, n_jobs: int | None = None
    ):
        self.sampling_rate = sampling_rate
        self.new_sampling_rate = new_sampling_rate
        self.n_jobs = n_jobs

    def _check_carried(self, X):
        stated = f"Resample has sampling_rate={self.sampling_rate}"
        check_rate(X, self.sampling_rate, stated, setting=SET_RATE, resample=False)

    def _rate_out(self, rate):
        return self.new_sampling_rate

    def _plan(self, n_leads, n_samples):
        ratio = rate_ratio(self.sampling_rate, self.new_sampling_rate)
        return partial(resample, ratio=ratio), (n_leads, n_resampled(n_samples, ratio))


def interpolate(X: np.ndarray, *, n_samples: int) -> np.ndarray:
    """Interpolate (..., samples) linearly to ``n_samples``; the first and the last sample stay."""
    place = np.linspace(0, X.shape[-1] - 1, n_samples)
    before = np.minimum(place.astype(int), max(X.shape[-1] - 2, 0))
    after = np.minimum(before + 1, X.shape[-1] - 1)
    share = (place - before).astype(X.dtype)
    return X[..., before] * (1 - share) + X[..., after] * share
