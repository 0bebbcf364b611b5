"""Preprocessing of a published model."""

from functools import partial
from numbers import Integral

import numpy as np
from scipy import signal

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import StrOptions
from ecgsk.preprocessing._base import RATE, SignalTransformer
from ecgsk.preprocessing._filters import BandPass, MedianBaseline, Notch
from ecgsk.preprocessing._resample import interpolate
from ecgsk.preprocessing._scale import Standardize

_RATE = 500
_SECONDS = 10
# A record of ten seconds may lack a sample; it is then stretched to the 5000 of the others.
_SECONDS_TOLERANCE = 0.1
_BAND = (0.67, 40.0)
# The published code filters with one fraction of polynomials. Above 500 Hz its rounding errors are
# no longer small (0.002 of a deviation at 1000 Hz, for any change in the last bit before it) and
# are kept by doing the very same; at 2000 Hz it explodes, and second-order sections do what was
# meant.
_LAST_STABLE_RATE = 1000


@public("ecgsk.preprocessing")
class ECGFounderPreprocessor(SignalTransformer):
    """Bring recordings to what ECGFounder reads: 500 Hz, standardized.

    ``"filtered"`` is what the published code does before fine-tuning, at the recordings' own
    rate: mains notch (quality 30), Butterworth band-pass of order 4 from 0.67 to 40 Hz, both
    without phase shift, subtraction of the running median over 0.4 s, linear interpolation to
    500 Hz, and mean 0 and deviation 1 over all leads of a record together. ``"unfiltered"`` is
    what its evaluation on PTB-XL does: standardization, then interpolation. The two disagree, and
    a network answers differently to them: use the one that it was trained with.

    Parameters
    ----------
    variant : {"filtered", "unfiltered"}, default="filtered"
        Name of the variant.
    sampling_rate : float, default=500
        Sampling rate of the recordings, Hz; above 80 Hz for ``"filtered"``.
    mains_frequency : float or None, default=50.0
        Frequency that the notch takes out, in Hz: 50 is the published one; 60 suits recordings
        from North America and some other countries. There is no notch for None, and where the
        frequency is not below half the sampling rate.
    n_jobs : int or None, default=None
        Workers to use; None is 1, -1 is all cores. The result does not depend on it.

    Attributes
    ----------
    n_features_in_ : int
        Leads seen in fit (samples, for recordings in two dimensions).
    n_samples_in_ : int
        Samples a lead seen in fit.

    Notes
    -----
    Recordings of 10 s, give or take 0.1 s, get 5000 samples, as in the published code; others
    keep their duration. Interpolation keeps the first and the last sample; it does not remove
    what is above 250 Hz in recordings of a higher rate. The one-lead network reads lead I
    standardized by itself: choose the lead first (`SelectLeads`).

    References
    ----------
    GitHub PKUDigitalHealth/ECGFounder, ``util.py``, ``dataset.py`` and ``ptbxl_eval.py``; the
    steps after these facts.

    Examples
    --------
    >>> from ecgsk import make_ecg
    >>> from ecgsk.preprocessing import ECGFounderPreprocessor
    >>> X = make_ecg(2, sampling_rate=250, random_state=0)
    >>> X = ECGFounderPreprocessor(sampling_rate=250, mains_frequency=60).transform(X)
    >>> X.shape, float(abs(X[0].std() - 1)) < 1e-4
    ((2, 12, 5000), True)
    """

    _parameter_constraints = {
        "variant": [StrOptions({"filtered", "unfiltered"})],
        "sampling_rate": [RATE],
        "mains_frequency": [RATE, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        variant: str = "filtered",
        *,
        sampling_rate: float = _RATE,
        mains_frequency: float | None = 50.0,
        n_jobs: int | None = None,
    ):
        self.variant = variant
        self.sampling_rate = sampling_rate
        self.mains_frequency = mains_frequency
        self.n_jobs = n_jobs

    def _rate_out(self, rate):
        return _RATE

    def _plan(self, n_leads, n_samples):
        rate, mains = self.sampling_rate, self.mains_frequency
        if mains is not None and mains >= rate / 2:
            mains = None
        filters = []
        if self.variant == "filtered":
            if mains is not None:
                filters.append(Notch(mains, sampling_rate=rate))
            filters.append(BandPass(*_BAND, sampling_rate=rate))
            filters.append(MedianBaseline(0.4, sampling_rate=rate))
        functions = [step._plan(n_leads, n_samples)[0] for step in filters]
        if self.variant == "filtered" and _RATE < rate <= _LAST_STABLE_RATE:
            functions[:-1] = [partial(_as_published, sampling_rate=rate, mains=mains)]
        standardize = Standardize()._plan(n_leads, n_samples)[0]
        length = resampled_length(n_samples, rate)
        resample = [] if length == n_samples else [partial(interpolate, n_samples=length)]
        if self.variant == "filtered":
            functions += [*resample, standardize]
        else:
            functions += [standardize, *resample]
        return partial(_chain, functions=functions), (n_leads, length)


def resampled_length(n_samples: int, sampling_rate: float) -> int:
    """Return how many samples a recording has after the preprocessing."""
    if abs(n_samples / sampling_rate - _SECONDS) <= _SECONDS_TOLERANCE:
        return _RATE * _SECONDS
    return max(1, round(n_samples * _RATE / sampling_rate))


def _as_published(X, *, sampling_rate, mains):
    X = X.astype(np.float64)
    fractions = [signal.butter(4, _BAND, "bandpass", fs=sampling_rate)]
    if mains is not None:
        fractions.insert(0, signal.iirnotch(mains, 30, sampling_rate))
    for b, a in fractions:
        X = signal.filtfilt(b, a, X, padlen=min(3 * len(b), X.shape[2] - 1))
    return X


def _chain(X, *, functions):
    for function in functions:
        X = function(X)
    return X
