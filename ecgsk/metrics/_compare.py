"""Comparison of two models on the same records."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from ecgsk._core.host_arrays import on_host
from ecgsk._core.metric_inputs import (
    check_interval,
    check_probabilities,
    check_scores,
    check_target,
    new_random,
)
from ecgsk._core.public import public
from ecgsk._core.ranked_scores import Ranked
from ecgsk._core.resampling import Resamples, percentiles
from ecgsk.metrics._binary_metrics import squared_errors
from ecgsk.metrics._bootstrap import Estimate, check_defined, check_varies, value_or_nan

METRICS = ("AUROC", "average precision", "Brier score")


@public("ecgsk.metrics")
class Comparison(NamedTuple):
    """Two models on the same records.

    Attributes
    ----------
    a, b : Estimate
        The metric of each model.
    difference : Estimate
        That of a minus that of b, with the interval of the difference.
    p_value : float
        Two-sided, of the hypothesis that the difference is 0.
    """

    a: Estimate
    b: Estimate
    difference: Estimate
    p_value: float

    def __str__(self) -> str:
        return f"{self.a} against {self.b}: {self.difference}, p = {self.p_value:.3f}"


@public("ecgsk.metrics")
def compare_models(
    y_true,
    score_a,
    score_b,
    *,
    metric: str | Callable[..., float] = "AUROC",
    groups=None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state=None,
) -> Comparison:
    """Return the metrics of two models and the interval of their difference.

    Both models are scored on the same resamples, so that what is hard or easy about the patients
    drawn cancels out: overlapping intervals of two models do not mean that they do not differ.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or False and True.
    score_a, score_b : array-like of shape (n_records,)
        Scores of the two models; higher means more likely.
    metric : {"AUROC", "average precision", "Brier score"} or callable, default="AUROC"
        A callable is ``metric(y_true, score)``; NaN or a ValueError mean that it is not defined on
        a resample, which is then left out. Mind that a lower Brier score is the better one.
    groups : array-like of shape (n_records,), default=None
        Patients, who are drawn whole.
    n_resamples : int, default=1000
        Resamples drawn with replacement.
    level : float, default=0.95
        Share of the resamples inside the intervals.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples.

    Returns
    -------
    Comparison
        ``a``, ``b`` and ``difference`` (a minus b), each with ``value``, ``low`` and ``high``, and
        ``p_value``.

    Raises
    ------
    ValueError
        For an unknown metric, targets that are not binary or, for the metrics that rank, of one
        class, scores that are NaN or infinite, a Brier score of scores outside [0, 1], lengths
        that differ, and a metric that is not defined on half of the resamples.

    Notes
    -----
    The p-value is ``min(1, 2 (1 + c) / (1 + n))``, where ``n`` resamples are defined and ``c``
    counts those whose difference is 0 or of the rarer sign. It is never below ``2 / (1 + n)``; a
    difference within 1e-12 counts as 0. Resamples of the AUROC hold as many patients with and
    without a positive record as the data; those of other metrics are drawn from all patients, as
    in `evaluate_binary`.

    References
    ----------
    Efron B, Tibshirani R. An introduction to the bootstrap. Chapman & Hall, 1993.

    Davison AC, Hinkley DV. Bootstrap methods and their application. Cambridge University Press,
    1997, chapter 4, for adding 1 to both counts.

    Examples
    --------
    >>> from ecgsk.metrics import compare_models
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> y = random.random(400) < 0.3
    >>> good = y + random.normal(size=400)
    >>> worse = good + random.normal(size=400)
    >>> print(compare_models(y, good, worse, n_resamples=200, random_state=0))
    0.763 (0.701 to 0.807) against 0.699 (0.629 to 0.751): 0.064 (0.024 to 0.103), p = 0.030
    """
    if not callable(metric) and metric not in METRICS:
        raise ValueError(
            f"metric={metric!r} is unknown; choose one of {', '.join(METRICS)} or give a callable "
            "metric(y_true, score)."
        )
    y = check_target(y_true)
    if metric == "Brier score":
        scores = [
            check_probabilities(score, len(y), name)
            for name, score in (("score_a", score_a), ("score_b", score_b))
        ]
    else:
        scores = [
            check_scores(score_a, len(y), "score_a"),
            check_scores(score_b, len(y), "score_b"),
        ]
    check_interval(n_resamples, level, least=1)
    ranks = metric in METRICS[:2]
    if ranks and (y.all() or not y.any()):
        raise ValueError(
            f"y_true holds {int(y.sum())} positive among {len(y)} records; {metric} needs both "
            "classes. Compare the models on more records."
        )
    resamples = Resamples(len(y), groups=groups, stratify=y if metric == "AUROC" else None)
    check_varies(resamples, groups)
    random = new_random(random_state)
    if callable(metric):
        y = np.asarray(on_host(y_true))  # as the caller's metric takes it
        values, drawn = _called(metric, y, scores, resamples, n_resamples, random)
    else:
        values, drawn = _computed(metric, y, scores, resamples, n_resamples, random)
    difference = drawn[0] - drawn[1]
    check_defined(difference)
    defined = difference[np.isfinite(difference)]
    rarer = min((defined <= 1e-12).sum(), (defined >= -1e-12).sum())
    return Comparison(
        Estimate(values[0], *percentiles(drawn[0], level)),
        Estimate(values[1], *percentiles(drawn[1], level)),
        Estimate(values[0] - values[1], *percentiles(difference, level)),
        min(1.0, float(2 * (1 + rarer) / (1 + len(defined)))),
    )


def _called(metric, y, scores, resamples, n_resamples, random):
    """Return a callable's values on the records, and on resamples, of shape (2, n_resamples)."""
    values = [float(metric(y, score)) for score in scores]
    drawn = np.empty((2, n_resamples))
    with warnings.catch_warnings():
        # Resamples of one class are expected and counted.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for i, rows in enumerate(resamples.rows(n_resamples, random)):
            drawn[:, i] = [value_or_nan(metric, y[rows], score[rows]) for score in scores]
    return values, drawn


def _computed(metric, y, scores, resamples, n_resamples, random):
    """Return the same for a metric that has a name."""
    if metric == "Brier score":
        compute = [partial(_mean, squared_errors(y, score)) for score in scores]
    else:
        compute = [partial(_area, Ranked(y, score), METRICS.index(metric)) for score in scores]
    values = [float(one(np.ones((1, len(y))))[0]) for one in compute]
    chunks = [[one(w) for one in compute] for w in resamples.weights(n_resamples, random)]
    return values, np.concatenate(chunks, axis=1)


def _mean(values, weights) -> np.ndarray:
    return weights @ values / weights.sum(axis=1)


def _area(ranked: Ranked, which: int, weights) -> np.ndarray:
    return ranked.areas(weights)[which]
