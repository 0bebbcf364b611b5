"""Calibration: whether one of five has the condition where the probability is 20 %."""

import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.exceptions import UndefinedMetricWarning

from ecgsk._core.host_arrays import on_host
from ecgsk._core.log_odds import log_odds
from ecgsk._core.metric_inputs import check_interval, check_probabilities, check_target, new_random
from ecgsk._core.public import public
from ecgsk._core.ranked_scores import ratio
from ecgsk._core.resampling import Resamples, percentiles
from ecgsk.metrics._binary_metrics import squared_errors
from ecgsk.metrics._logistic import fit_logistic
from ecgsk.metrics._results import BinaryEvaluation

METRICS = (
    "Brier score",
    "scaled Brier score",
    "calibration-in-the-large",
    "calibration slope",
    "observed / expected",
)
# float32 rounds all that is closer to 1: networks return 1, whose logit is infinite.
CLOSEST = 2.0**-24


@public("ecgsk.metrics")
def calibration_metrics(
    y_true, y_prob, *, groups=None, n_resamples: int = 1000, level: float = 0.95, random_state=None
) -> BinaryEvaluation:
    """Return how well probabilities agree with frequencies, with bootstrap intervals.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or False and True.
    y_prob : array-like of shape (n_records,)
        Probabilities of 1.
    groups : array-like of shape (n_records,), default=None
        Patients, who are drawn whole.
    n_resamples : int, default=1000
        Resamples drawn with replacement. 0 gives no intervals.
    level : float, default=0.95
        Share of the resamples inside the interval.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples.

    Returns
    -------
    BinaryEvaluation
        Its ``table`` has the columns ``value``, ``low`` and ``high``. The index is

        - ``Brier score``, the mean squared error;
        - ``scaled Brier score``, ``1 - Brier / (p (1 - p))`` with the prevalence ``p``: 1 is
          perfect, 0 no better than giving everyone the prevalence;
        - ``calibration-in-the-large``, the intercept of a logistic regression with the logit as
          offset: below 0 where probabilities are too high on the whole, 0 is right;
        - ``calibration slope``, that of an unpenalized logistic regression on the logit: below 1
          where probabilities are too extreme, as overfitting makes them, 1 is right;
        - ``observed / expected``, the positive records over the sum of probabilities.

    Raises
    ------
    ValueError
        For targets that are not binary, probabilities outside [0, 1] or NaN, and lengths that
        differ.

    Warns
    -----
    UndefinedMetricWarning
        When a metric is not defined and is NaN: with one class all but the first and the last, and
        the slope where some probability separates the classes perfectly.

    Notes
    -----
    For the logit, probabilities are held within 2^-24 (6e-8) of 0 and 1. Resamples are drawn from
    all patients: the observed share is part of what is uncertain.

    References
    ----------
    Van Calster B, McLernon DJ, van Smeden M, Wynants L, Steyerberg EW. Calibration: the Achilles
    heel of predictive analytics. BMC Medicine 2019;17:230.

    Examples
    --------
    >>> from ecgsk.metrics import calibration_metrics
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> logit = random.normal(-1, 1, size=2000)
    >>> y = random.random(2000) < 1 / (1 + np.exp(-logit))
    >>> too_sure = 1 / (1 + np.exp(-2 * logit))
    >>> calibration_metrics(y, too_sure, random_state=0).table.round(2)
                              value   low  high
    Brier score                0.19  0.18  0.20
    scaled Brier score         0.09  0.05  0.14
    calibration-in-the-large   0.63  0.48  0.77
    calibration slope          0.51  0.45  0.57
    observed / expected        1.35  1.26  1.44
    """
    y = check_target(y_true)
    prob = check_probabilities(y_prob, len(y))
    check_interval(n_resamples, level)
    resamples = Resamples(len(y), groups=groups)
    value = _metrics(y, prob, np.ones((1, len(y))))[0]
    if np.isnan(value).any():
        undefined = [name for name, v in zip(METRICS, value, strict=True) if np.isnan(v)]
        warnings.warn(
            f"{', '.join(undefined)}: NaN, not defined on these {len(y)} records "
            f"({int(y.sum())} positive). Both classes are needed; for the slope no probability may "
            "separate them perfectly.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    table = pd.DataFrame({"value": value, "low": np.nan, "high": np.nan}, index=list(METRICS))
    if n_resamples and resamples.varies:
        chunks = resamples.weights(n_resamples, new_random(random_state))
        values = np.concatenate([_metrics(y, prob, weights) for weights in chunks])
        for name, column in zip(METRICS, values.T, strict=True):
            table.loc[name, ["low", "high"]] = percentiles(column, level)
    return BinaryEvaluation(
        table=table,
        n_records=len(y),
        n_positive=int(y.sum()),
        n_patients=None if groups is None else resamples.n_units,
        level=level,
        n_resamples=int(n_resamples),
    )


def _metrics(y, prob, weights) -> np.ndarray:
    """Return the metrics for each row of weights, of shape (n_rows, 5)."""
    total, positive = weights.sum(axis=1), weights @ y
    brier = weights @ squared_errors(y, prob) / total
    share = positive / total
    logit = log_odds(prob, CLOSEST)
    intercept, slope = np.full((2, len(weights)), np.nan)
    mixed = (positive > 0) & (positive < total)
    if mixed.any():
        ones = np.ones((len(y), 1))
        intercept[mixed] = fit_logistic(ones, y, weights[mixed], logit)[:, 0]
    overlap = mixed & _overlap(y, logit, weights)
    if overlap.any():
        center, scale = logit.mean(), logit.std()
        design = np.stack([np.ones(len(y)), (logit - center) / scale], axis=1)
        found = fit_logistic(design, y, weights[overlap], np.zeros(len(y)))
        slope[overlap] = found[:, 1] / scale
    scaled = 1 - ratio(brier, share * (1 - share), mixed)
    return np.stack([brier, scaled, intercept, slope, ratio(positive, weights @ prob)], axis=1)


def _overlap(y, logit, weights) -> np.ndarray:
    """Return whether the slope is finite: whether each class reaches into the other's range."""
    drawn = weights > 0
    ends = []
    for part in (y, ~y):
        seen = drawn[:, part]
        ends.append(np.where(seen, logit[part], -np.inf).max(axis=1, initial=-np.inf))
        ends.append(np.where(seen, logit[part], np.inf).min(axis=1, initial=np.inf))
    top, bottom, other_top, other_bottom = ends
    return (top > other_bottom) & (other_top > bottom)


@public("ecgsk.metrics")
def calibration_table(
    y_true, y_prob, *, n_bins: int = 10, strategy: str = "quantile", level: float = 0.95
) -> pd.DataFrame:
    """Return predicted and observed frequencies, for a reliability diagram.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or False and True.
    y_prob : array-like of shape (n_records,)
        Probabilities of 1.
    n_bins : int, default=10
        Bins of probabilities.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins that hold about as many records each, or that are equally wide.
    level : float, default=0.95
        Of the intervals of the observed frequency, which are Wilson's. They assume
        independent records and are too narrow where patients have several.

    Returns
    -------
    DataFrame
        Columns ``predicted`` (the bin's mean probability), ``observed`` (its share of 1), ``low``,
        ``high`` and ``n``; a row for each bin that holds records. Where many probabilities are
        equal, there are fewer than ``n_bins``.

    Raises
    ------
    ValueError
        For targets that are not binary, probabilities outside [0, 1] and unknown strategies.

    References
    ----------
    Van Calster B et al. Calibration: the Achilles heel of predictive analytics. BMC Medicine
    2019;17:230.

    Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc
    1927;22:209-212.

    Examples
    --------
    >>> from ecgsk.metrics import calibration_table
    >>> y, probability = [0, 0, 0, 1, 1, 1], [0.1, 0.1, 0.3, 0.3, 0.8, 0.9]
    >>> calibration_table(y, probability, n_bins=2, strategy="uniform").round(2)
       predicted  observed   low  high  n
    0       0.20      0.25  0.05   0.7  4
    1       0.85      1.00  0.34   1.0  2
    """
    y = check_target(y_true)
    prob = check_probabilities(y_prob, len(y))
    check_interval(0, level)
    if isinstance(n_bins, bool) or not isinstance(n_bins, Integral) or n_bins < 1:
        raise ValueError(f"n_bins={n_bins!r} has to be an integer of at least 1.")
    if strategy == "quantile":
        edges = np.quantile(prob, np.linspace(0, 1, n_bins + 1))
    elif strategy == "uniform":
        edges = np.linspace(0, 1, n_bins + 1)
    else:
        raise ValueError(f"strategy={strategy!r} is unknown; choose quantile or uniform.")
    bins = np.searchsorted(edges[1:-1], prob)
    n = np.bincount(bins, minlength=n_bins)
    filled = n > 0
    hits, sums = (np.bincount(bins, part, minlength=n_bins)[filled] for part in (y, prob))
    n = n[filled]
    low, high = wilson(hits, n, level)
    return pd.DataFrame(
        {"predicted": sums / n, "observed": hits / n, "low": low, "high": high, "n": n}
    )


def wilson(hits, n, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Wilson's interval of a share."""
    z = norm.ppf((1 + level) / 2)
    share = hits / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At the ends of the scale both are exact, but for their rounding.
    return np.where(hits == 0, 0, center - half), np.where(hits == n, 1, center + half)


@public("ecgsk.metrics")
def shift_prevalence(y_prob, *, trained_at: float, used_at: float) -> np.ndarray:
    """Return probabilities for a population where the condition is rarer or more frequent.

    A model trained on an echo laboratory's patients, of whom 20 % have a low ejection fraction,
    overestimates where 2 % have it. If the ECGs of those with and those without it look the same
    in both places, the odds are off by a factor that is known.

    Parameters
    ----------
    y_prob : array-like of shape (n_records,)
        Probabilities of 1.
    trained_at : float
        Prevalence in the training data, between 0 and 1.
    used_at : float
        Prevalence where the model is used, between 0 and 1.

    Returns
    -------
    ndarray of shape (n_records,)
        Probabilities in the same order, as float64. 0 and 1 stay what they are.

    Raises
    ------
    ValueError
        For probabilities outside [0, 1] or NaN, and prevalences that are not between 0 and 1.

    References
    ----------
    Saerens M, Latinne P, Decaestecker C. Adjusting the outputs of a classifier to new a priori
    probabilities: a simple procedure. Neural Comput 2002;14:21-41, equation 2.4.

    Examples
    --------
    >>> from ecgsk.metrics import shift_prevalence
    >>> shift_prevalence([0.0, 0.2, 0.5, 1.0], trained_at=0.2, used_at=0.02).round(3)
    array([0.   , 0.02 , 0.075, 1.   ])
    """
    array = np.asarray(on_host(y_prob, "y_prob"))
    prob = check_probabilities(array, np.shape(array)[0] if array.ndim else 0)
    for name, value in (("trained_at", trained_at), ("used_at", used_at)):
        if not isinstance(value, Real) or not 0 < value < 1:
            raise ValueError(
                f"{name}={value!r} has to be a prevalence between 0 and 1, for example 0.05."
            )
    positive = prob * (used_at / trained_at)
    negative = (1 - prob) * ((1 - used_at) / (1 - trained_at))
    return positive / (positive + negative)
