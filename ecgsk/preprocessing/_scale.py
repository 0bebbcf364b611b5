"""Standardization of the amplitude."""

from functools import partial
from numbers import Real

import numpy as np

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import Interval, StrOptions
from ecgsk.preprocessing._base import SignalTransformer


@public("ecgsk.preprocessing")
class Standardize(SignalTransformer):
    """Give each record, or each of its leads, mean 0 and standard deviation 1.

    Parameters
    ----------
    scope : {"record", "lead"}, default="record"
        Over what mean and standard deviation are taken: all leads of a record together, which
        keeps the amplitudes of the leads relative to each other, or each lead by itself.
    eps : float, default=1e-8
        Added to the standard deviation, in mV.

    Attributes
    ----------
    n_features_in_ : int
        Leads seen in fit (samples, for recordings in two dimensions).
    n_samples_in_ : int
        Samples a lead seen in fit.

    Notes
    -----
    A constant record or lead becomes zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.preprocessing import Standardize
    >>> Standardize("lead").transform(np.array([[[1.0, 3.0], [10.0, 50.0], [2.0, 2.0]]])).round(3)
    array([[[-1.,  1.],
            [-1.,  1.],
            [ 0.,  0.]]], dtype=float32)
    """

    _parameter_constraints = {
        "scope": [StrOptions({"record", "lead"})],
        "eps": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, scope: str = "record", *, eps: float = 1e-8):
        self.scope = scope
        self.eps = eps

    def _plan(self, n_leads, n_samples):
        return partial(_standardize, scope=self.scope, eps=self.eps), (n_leads, n_samples)


def _standardize(X, *, scope, eps):
    X_rows = X.reshape(len(X), 1 if scope == "record" else X.shape[1], -1)
    out = np.empty(X_rows.shape, dtype=np.float32)
    # One record at a time: its float64 copy then stays in the processor's cache.
    rows = np.empty(X_rows.shape[1:])
    for record, target in zip(X_rows, out, strict=True):
        rows[...] = record
        rows -= rows.mean(axis=1, keepdims=True)
        variance = (rows[:, np.newaxis] @ rows[:, :, np.newaxis])[:, 0] / rows.shape[1]
        deviation = np.sqrt(variance) + eps
        # Sums of equal float32 numbers are exact in float64: of a constant just zeros are left.
        deviation[deviation == 0] = 1.0
        rows /= deviation
        target[...] = rows
    return out.reshape(X.shape)
