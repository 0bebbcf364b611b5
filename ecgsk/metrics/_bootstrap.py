"""Intervals by resampling patients."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_consistent_length

from ecgsk._core.host_arrays import on_host
from ecgsk._core.metric_inputs import check_interval, new_random
from ecgsk._core.public import public
from ecgsk._core.resampling import Resamples, percentiles


@public("ecgsk.metrics")
class Estimate(NamedTuple):
    """A metric with the ends of its interval.

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


@public("ecgsk.metrics")
def bootstrap(
    metric: Callable[..., float],
    *arrays,
    groups=None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state=None,
    stratify=None,
) -> Estimate:
    """Return a metric with its percentile bootstrap interval.

    `evaluate_binary` is quicker for the usual metrics of a detector: it sorts the scores once.

    Parameters
    ----------
    metric : callable
        ``metric(*arrays)`` returns a float; NaN or a ValueError where it is not defined, for
        example because a resample holds one class only. Such resamples are left out.
    *arrays : array-like of shape (n_records, ...)
        What the metric takes: usually the truth and the scores.
    groups : array-like of shape (n_records,), default=None
        Patients. Whole patients are drawn, because the records of a patient are not
        independent.
    n_resamples : int, default=1000
        Resamples drawn with replacement.
    level : float, default=0.95
        Share of the resamples inside the interval.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples. None draws others each time and leaves NumPy's global generator alone.
    stratify : array-like of shape (n_records,), default=None
        Strata, usually ``y_true``: each resample has as many patients of each as the data. The
        stratum of a patient is the greatest value among the records; with 0 and 1, whether there
        is a positive one. That suits metrics that do not depend on the prevalence, such as the
        AUROC; intervals of those that do, such as the average precision or the positive
        predictive value, become those at exactly this prevalence, and narrower.

    Returns
    -------
    Estimate
        ``value``, ``low`` and ``high``.

    Raises
    ------
    ValueError
        When the lengths differ, the metric is defined on fewer than half of the resamples, or
        there is nothing to draw: fewer than two patients in each stratum.

    References
    ----------
    Efron B, Tibshirani R. An introduction to the bootstrap. Chapman & Hall, 1993.

    Examples
    --------
    >>> from ecgsk.metrics import bootstrap
    >>> import numpy as np
    >>> from sklearn.metrics import roc_auc_score
    >>> y = np.tile([0, 1], 100)
    >>> score = y + np.random.default_rng(0).normal(size=200)
    >>> print(bootstrap(roc_auc_score, y, score, n_resamples=200, random_state=0))
    0.804 (0.741 to 0.860)
    """
    columns = [np.asarray(on_host(array, "An array")) for array in arrays]
    if not columns:
        raise ValueError("bootstrap needs at least one array to resample, for example y_true.")
    check_consistent_length(*columns)
    if not len(columns[0]):
        raise ValueError("The arrays hold no records; an interval needs at least 2.")
    check_interval(n_resamples, level, least=1)
    resamples = Resamples(len(columns[0]), groups=groups, stratify=stratify)
    check_varies(resamples, groups)
    value = float(metric(*columns))
    values = np.empty(n_resamples)
    with warnings.catch_warnings():
        # Resamples of one class are expected here and counted below.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for i, rows in enumerate(resamples.rows(n_resamples, new_random(random_state))):
            values[i] = value_or_nan(metric, *(column[rows] for column in columns))
    check_defined(values)
    return Estimate(value, *percentiles(values, level))


def value_or_nan(metric, *arrays) -> float:
    """Return a metric, NaN where it raises a ValueError because it is not defined."""
    try:
        return float(metric(*arrays))
    except ValueError:
        return np.nan


def check_varies(resamples: Resamples, groups) -> None:
    """Raise when all resamples would be the data."""
    if resamples.n_units < 2:
        raise ValueError(
            f"There is {resamples.n_units} {'record' if groups is None else 'group'} to resample; "
            "an interval needs at least 2."
        )
    if not resamples.varies:
        raise ValueError(
            f"stratify puts each of {resamples.n_units} units into a stratum of its own, so that "
            "all resamples are the data. Give fewer strata, for example y_true."
        )


def check_defined(values: np.ndarray) -> None:
    """Raise when a metric is defined on fewer than half of the resamples."""
    defined = int(np.isfinite(values).sum())
    if defined < len(values) / 2:
        raise ValueError(
            f"The metric is defined on {defined} of {len(values)} resamples only: too few "
            "records of one class for an interval."
        )
