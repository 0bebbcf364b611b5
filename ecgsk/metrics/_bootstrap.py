"""Intervals by resampling patients."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_consistent_length, check_random_state

from ecgsk._checks import check_groups


class Estimate(NamedTuple):
    """A figure with the ends of its interval.

    Attributes
    ----------
    value : float
        On the records as they are.
    low, high : float
        Ends of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap(
    metric: Callable[..., float],
    *arrays,
    groups=None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state=None,
) -> Estimate:
    """Return a metric with its percentile bootstrap interval.

    Parameters
    ----------
    metric : callable
        ``metric(*arrays)`` returns a float; NaN or a ValueError where it is not defined, for
        example because a resample holds one class only. Such resamples are left out.
    *arrays : array-like of shape (n_records, ...)
        What the metric takes: usually the truth and the scores.
    groups : array-like of shape (n_records,), default=None
        Patients. Whole patients are drawn, so that an interval does not pretend that a patient's
        records are independent.
    n_resamples : int, default=1000
        Resamples drawn with replacement.
    level : float, default=0.95
        Share of the resamples inside the interval.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples.

    Returns
    -------
    Estimate
        ``value``, ``low`` and ``high``.

    Raises
    ------
    ValueError
        When the lengths differ, or the metric is defined on fewer than half of the resamples.

    References
    ----------
    Efron B, Tibshirani R. An introduction to the bootstrap. Chapman & Hall, 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import roc_auc_score
    >>> y = np.tile([0, 1], 100)
    >>> score = y + np.random.default_rng(0).normal(size=200)
    >>> print(bootstrap(roc_auc_score, y, score, n_resamples=200, random_state=0))
    0.804 (0.741 to 0.860)
    """
    arrays = [np.asarray(array) for array in arrays]
    if not arrays:
        raise ValueError("bootstrap needs at least one array to resample, for example y_true.")
    check_consistent_length(*arrays)
    groups = check_groups(groups, len(arrays[0]))
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} has to be between 0 and 1, for example 0.95.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples={n_resamples!r} has to be at least 1.")
    random = check_random_state(random_state)
    value = float(metric(*arrays))
    members = _members(len(arrays[0]), groups)
    if len(members) < 2:
        raise ValueError(
            f"There is {len(members)} {'record' if groups is None else 'group'} to resample; an "
            "interval needs at least 2."
        )
    values = []
    with warnings.catch_warnings():
        # Resamples of one class are expected here and counted below.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for _ in range(n_resamples):
            drawn = random.randint(len(members), size=len(members))
            rows = np.concatenate([members[i] for i in drawn])
            try:
                values.append(float(metric(*(array[rows] for array in arrays))))
            except ValueError:
                values.append(np.nan)
    values = np.asarray(values)[np.isfinite(values)]
    if len(values) < n_resamples / 2:
        raise ValueError(
            f"The metric is defined on {len(values)} of {n_resamples} resamples only: too few "
            "records of one class for an interval."
        )
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def _members(n_records: int, groups) -> list[np.ndarray]:
    """Return the records of each unit that is drawn."""
    if groups is None:
        return list(np.arange(n_records)[:, np.newaxis])
    _, unit = np.unique(groups, return_inverse=True)
    order = np.argsort(unit, kind="stable")
    return np.split(order, np.cumsum(np.bincount(unit))[:-1])
