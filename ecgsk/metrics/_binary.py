"""Metrics of one detector, with intervals."""

import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from ecgsk._core.metric_inputs import (
    check_interval,
    check_scores,
    check_target,
    check_threshold,
    new_random,
)
from ecgsk._core.public import public
from ecgsk._core.ranked_scores import Ranked
from ecgsk._core.resampling import Resamples, percentiles
from ecgsk.metrics._binary_metrics import BinaryMetrics
from ecgsk.metrics._results import BinaryEvaluation


@public("ecgsk.metrics")
def evaluate_binary(
    y_true,
    y_score,
    *,
    threshold: float | None = None,
    groups=None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state=None,
) -> BinaryEvaluation:
    """Return the metrics of a detector, each with its bootstrap interval.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or False and True.
    y_score : array-like of shape (n_records,)
        Probabilities, or any scores: higher means more likely.
    threshold : float, default=None
        Records with ``score >= threshold`` are called positive. Choose it on other records, for
        example with `choose_threshold`. None leaves out the metrics of decisions.
    groups : array-like of shape (n_records,), default=None
        Patients, who are drawn whole. Without them intervals are too narrow where patients have
        several records.
    n_resamples : int, default=1000
        Resamples drawn with replacement. 0 gives no intervals.
    level : float, default=0.95
        Share of the resamples inside the interval.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples.

    Returns
    -------
    BinaryEvaluation
        Its ``table`` has the columns ``value``, ``low`` and ``high``. The index is ``AUROC``,
        ``average precision`` (its chance level is the prevalence), ``prevalence``, ``Brier score``
        (NaN unless all scores lie in [0, 1]) and, with a threshold, ``F1``, ``sensitivity``,
        ``specificity``, ``PPV`` and ``NPV`` (positive and negative predictive value) and
        ``flagged`` (the share called positive).

    Raises
    ------
    ValueError
        For targets that are not binary, scores that are NaN or infinite, and lengths that differ.

    Warns
    -----
    UndefinedMetricWarning
        When ``y_true`` holds one class: AUROC and average precision are then NaN.

    Notes
    -----
    A metric that is not defined is NaN, never 0: the PPV where nobody is called positive. Resamples
    where it is not defined are left out of its interval. Where these are over half, or where there
    is only one patient to draw, the ends are NaN.

    AUROC, sensitivity and specificity do not depend on the prevalence: their resamples hold as many
    patients with and without a positive record as the data. All others do depend on it, and it is
    as uncertain as they are: their resamples are drawn from all patients. (At a fixed prevalence
    the interval of a PPV can be half as wide as it has to be.)

    References
    ----------
    Efron B, Tibshirani R. An introduction to the bootstrap. Chapman & Hall, 1993.

    Examples
    --------
    >>> from ecgsk.metrics import evaluate_binary
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> y = random.random(500) < 0.2
    >>> probability = 1 / (1 + np.exp(2 - 2 * y - random.normal(size=500)))
    >>> result = evaluate_binary(y, probability, threshold=0.3, n_resamples=200, random_state=0)
    >>> result.table.round(2)
                       value   low  high
    AUROC               0.92  0.89  0.95
    average precision   0.81  0.74  0.87
    prevalence          0.19  0.16  0.22
    Brier score         0.09  0.07  0.10
    F1                  0.70  0.63  0.76
    sensitivity         0.79  0.72  0.86
    specificity         0.89  0.86  0.92
    PPV                 0.63  0.54  0.71
    NPV                 0.95  0.92  0.97
    flagged             0.24  0.21  0.27
    >>> result.n_records
    500
    """
    y = check_target(y_true)
    score = check_scores(y_score, len(y))
    threshold = check_threshold(threshold)
    check_interval(n_resamples, level)
    everyone = Resamples(len(y), groups=groups)
    by_class = Resamples(len(y), groups=groups, stratify=y)
    if y.all() or not y.any():
        warnings.warn(
            f"y_true holds {int(y.sum())} positive among {len(y)} records: with one class there is "
            "nothing to rank, AUROC and average precision are NaN.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    metrics = BinaryMetrics(y, score, threshold)
    table = pd.DataFrame(
        {"value": metrics.value(), "low": np.nan, "high": np.nan}, index=list(metrics.names)
    )
    random = new_random(random_state)
    for resamples in (by_class, everyone):
        if not n_resamples or not resamples.varies:
            continue
        values = np.concatenate([metrics(w) for w in resamples.weights(n_resamples, random)])
        for name, column in zip(metrics.names, values.T, strict=True):
            if (name in metrics.free_of_prevalence) == (resamples is by_class):
                table.loc[name, ["low", "high"]] = percentiles(column, level)
    return BinaryEvaluation(
        table=table,
        n_records=len(y),
        n_positive=int(y.sum()),
        n_patients=None if groups is None else everyone.n_units,
        threshold=threshold,
        level=level,
        n_resamples=int(n_resamples),
    )


def auroc_interval(y, score, *, groups, n_resamples, level, random) -> tuple[float, float]:
    """Return the ends of the interval of the AUROC; NaN where it is not defined."""
    resamples = Resamples(len(y), groups=groups, stratify=y)
    if not n_resamples or not resamples.varies or y.all() or not y.any():
        return np.nan, np.nan
    ranked = Ranked(y, score)
    areas = [ranked.areas(w)[0] for w in resamples.weights(n_resamples, random)]
    return percentiles(np.concatenate(areas), level)
