"""Importance and direction of the terms of an explainable boosting machine."""

import numpy as np
import pandas as pd

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import check_is_fitted

# 95 % of a normal distribution lie within so many standard deviations.
DEVIATIONS = 1.96
_TREND = 0.5


@public("ecgsk.inspection")
def ebm_importances(ebm) -> pd.DataFrame:
    """Return the terms of a binary explainable boosting machine, the most important first.

    Parameters
    ----------
    ebm : ExplainableBoostingClassifier
        Fitted on two classes; of a Pipeline its last step.

    Returns
    -------
    DataFrame
        A row for each term, under its name. ``importance`` is the mean absolute contribution over
        the training records, in log-odds, as ``ebm.term_importances()`` returns it. ``low`` and
        ``high`` are the importance minus and plus 1.96 standard deviations of the importances
        of the term in the model's bagged copies, not below 0; NaN with one copy.
        ``direction`` is whether high values of the predictor support ``ebm.classes_[1]``
        ("higher"), against it ("lower") or neither ("mixed"); it is missing for pairs and for
        categories, which have no order.

    Raises
    ------
    ValueError
        When the model has more than two classes.
    TypeError
        When the model is not an ExplainableBoostingClassifier.

    Notes
    -----
    The copies are each grown on most of the records, so ``low`` and ``high`` show how much the
    importance depends on the draw of records and on the growing. For a confidence interval, refit
    the whole Pipeline on resampled patients.

    ``direction`` is the rank correlation between the predictor's bins, in their order, and their
    contributions, weighted by the records in each bin: "higher" from 0.5 on, "lower" up to -0.5.
    One word for a curve is an aid to reading a table; `EBMTermsDisplay` draws the curve.

    References
    ----------
    H. Nori et al., "InterpretML: A unified framework for machine learning interpretability",
    arXiv:1909.09223, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from interpret.glassbox import ExplainableBoostingClassifier
    >>> from ecgsk.inspection import ebm_importances
    >>> X = np.random.default_rng(0).random((300, 2))
    >>> ebm = ExplainableBoostingClassifier(
    ...     ["LBBB", "SR"], interactions=0, outer_bags=3, max_rounds=30, n_jobs=1, random_state=0
    ... )
    >>> ebm_importances(ebm.fit(X, X[:, 0] > 0.6)).loc["LBBB", "direction"]
    'higher'
    """
    check_binary_ebm(ebm)
    importance = np.asarray(ebm.term_importances(), dtype=float)
    spread = np.array([_spread_of_importance(ebm, i) for i in range(len(importance))])
    table = pd.DataFrame(
        {
            "importance": importance,
            "low": np.maximum(importance - DEVIATIONS * spread, 0),
            "high": importance + DEVIATIONS * spread,
            "direction": [_direction(ebm, i) for i in range(len(importance))],
        },
        index=pd.Index(list(ebm.term_names_), name="term"),
    )
    return table.sort_values("importance", ascending=False, kind="stable")


def check_binary_ebm(ebm) -> None:
    """Raise unless this is a fitted explainable boosting machine of two classes."""
    if not hasattr(ebm, "term_importances"):
        raise TypeError(
            f"ebm is a {type(ebm).__name__}; expected interpret's ExplainableBoostingClassifier. "
            "If it is a Pipeline, give its last step."
        )
    check_is_fitted(ebm, "term_scores_")
    classes = getattr(ebm, "classes_", ())
    if len(classes) != 2:
        raise ValueError(
            f"ebm has {len(classes)} classes; expected a classifier of two. "
            "Draw one class against the rest."
        )


def bagged(ebm, term: int):
    """Return the scores of a term's bins in each copy, and the copies' weights, or None.

    Models that were edited afterwards (``monotonize``) keep none.
    """
    scores = getattr(ebm, "bagged_scores_", None)
    if scores is None or scores[term] is None or len(scores[term]) < 2:
        return None
    weights = getattr(ebm, "bag_weights_", None)
    return np.asarray(scores[term], dtype=float), weights


def deviation(values, weights):
    """Return the weighted standard deviation along the first axis."""
    mean = np.average(values, axis=0, weights=weights)
    return np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))


def _spread_of_importance(ebm, term: int) -> float:
    copies = bagged(ebm, term)
    if copies is None:
        return np.nan
    scores, weights = copies
    records = np.ravel(ebm.bin_weights_[term])
    each = np.average(np.abs(scores).reshape(len(scores), -1), axis=1, weights=records)
    return float(deviation(each, weights))


def _direction(ebm, term: int) -> str | None:
    features = ebm.term_features_[term]
    if len(features) > 1 or ebm.feature_types_in_[features[0]] == "nominal":
        return None
    # The first bin is for missing values and the last for unknown ones: neither has a place.
    scores = np.asarray(ebm.term_scores_[term], dtype=float)[1:-1]
    records = np.asarray(ebm.bin_weights_[term], dtype=float)[1:-1]
    seen = records > 0
    scores, records = scores[seen], records[seen]
    if len(scores) < 2 or np.ptp(scores) == 0:
        return "mixed"
    place = _weighted_ranks(np.arange(len(scores)), records)
    height = _weighted_ranks(scores, records)
    covariance = np.cov(place, height, aweights=records, ddof=0)
    trend = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    return "higher" if trend >= _TREND else "lower" if trend <= -_TREND else "mixed"


def _weighted_ranks(values, weights) -> np.ndarray:
    """Return the mean ranks of the records in each bin."""
    # Not scipy's dense ranks, which are floats since 1.18.
    dense = np.unique(values, return_inverse=True)[1]
    total = np.bincount(dense, weights)
    return (np.cumsum(total) - total / 2)[dense]
