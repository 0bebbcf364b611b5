"""From scores to decisions: the choice of a threshold, and the net benefit of decisions."""

from numbers import Real

import numpy as np
import pandas as pd

from ecgsk._core.host_arrays import on_host
from ecgsk._core.metric_inputs import check_probabilities, check_scores, check_target
from ecgsk._core.public import public

RULES = ("f1", "youden", "sensitivity", "specificity")


@public("ecgsk.metrics")
def choose_threshold(
    y_true,
    y_score,
    *,
    rule: str = "f1",
    sensitivity: float | None = None,
    specificity: float | None = None,
) -> float:
    """Return the threshold that a rule picks; records with ``score >= threshold`` are positive.

    A threshold fits the records it was chosen on: choose it on validation or out-of-fold scores,
    and give it to `evaluate_binary` with the scores of other patients. Metrics on the
    records that the threshold was chosen on are too good.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or False and True.
    y_score : array-like of shape (n_records,)
        Probabilities or any scores; higher means more likely.
    rule : {"f1", "youden", "sensitivity", "specificity"}, default="f1"
        ``"f1"``: the greatest F1. ``"youden"``: the greatest sensitivity + specificity - 1.
        ``"sensitivity"``: the highest threshold, which flags the fewest, with at least the
        sensitivity given. ``"specificity"``: the lowest threshold, which finds the most, with at
        least the specificity given. Of equally good ones the highest.
    sensitivity : float, default=None
        In (0, 1], with that rule only. None means 0.9.
    specificity : float, default=None
        In (0, 1], with that rule only. None means 0.9.

    Returns
    -------
    float
        One of the scores. The rule ``"specificity"`` returns a number just above all scores,
        which flags nobody, where even the highest score flags too many.

    Raises
    ------
    ValueError
        For an unknown rule, a parameter of another rule, targets that are not binary or of one
        class, and scores that are NaN or infinite.

    References
    ----------
    Youden WJ. Index for rating diagnostic tests. Cancer 1950;3:32-35.

    Examples
    --------
    >>> from ecgsk.metrics import choose_threshold
    >>> y, score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.9]
    >>> choose_threshold(y, score)
    0.3
    >>> choose_threshold(y, score, rule="specificity", specificity=1)
    0.7
    """
    least = _least_share(rule, sensitivity=sensitivity, specificity=specificity)
    y = check_target(y_true)
    score = check_scores(y_score, len(y))
    n_positive, n_negative = int(y.sum()), int((~y).sum())
    if not n_positive or not n_negative:
        raise ValueError(
            f"y_true holds {n_positive} positive and {n_negative} negative records; a threshold "
            "between the classes needs both. Choose it on more records."
        )
    candidates, true, false = _counts_from_above(y, score)
    if rule == "f1":
        return float(candidates[np.argmax(2 * true / (true + false + n_positive))])
    if rule == "youden":
        # Whole numbers, so that equally good thresholds are equal.
        return float(candidates[np.argmax(true * n_negative - false * n_positive)])
    if rule == "sensitivity":
        # Shares such as 0.9 of 10 records are not exact; no record weighs 1e-9.
        return float(candidates[np.argmax(true >= least * n_positive - 1e-9)])
    enough = np.flatnonzero(n_negative - false >= least * n_negative - 1e-9)
    if not len(enough):
        # In the precision of the scores: float64's next number would be rounded away.
        return float(np.nextafter(candidates[0], score.dtype.type(np.inf)))
    return float(candidates[enough[-1]])


def _least_share(rule, **shares: float | None) -> float:
    if rule not in RULES:
        raise ValueError(f"rule={rule!r} is unknown; choose one of {', '.join(RULES)}.")
    for name, share in shares.items():
        if share is None:
            continue
        if name != rule:
            raise ValueError(
                f"{name}={share!r} belongs to rule={name!r}, but rule={rule!r} is given. "
                "Leave one of them out."
            )
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
            raise ValueError(f"{name}={share!r} has to be in (0, 1], for example 0.9.")
    share = shares.get(rule)
    return 0.9 if share is None else float(share)


def _counts_from_above(y, score) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct scores, highest first, and how many of each class reach them."""
    values, value_of = np.unique(score, return_inverse=True)
    value_of = value_of.reshape(-1)
    counts = [np.bincount(value_of[part], minlength=len(values)) for part in (y, ~y)]
    true, false = (np.cumsum(count[::-1]) for count in counts)
    return values[::-1], true, false


@public("ecgsk.metrics")
def decision_curve(y_true, y_prob, *, thresholds=None) -> pd.DataFrame:
    """Return the net benefit of acting on a model, on everybody and on nobody.

    The threshold probability stands for the patients one would examine in vain to find one: 0.1
    means nine. The net benefit is the share of patients found, less the share examined in vain at
    that rate of exchange. A model is worth using where its curve is above both others.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or False and True, at the prevalence the model is to be used at.
    y_prob : array-like of shape (n_records,)
        Probabilities, which have to be calibrated.
    thresholds : array-like of shape (n_thresholds,), default=None
        Threshold probabilities in [0, 1). None means 0.01, 0.02, ..., 0.99.

    Returns
    -------
    DataFrame
        Columns ``threshold``, ``net_benefit``, ``treat_all``, ``treat_none``; a row for each
        threshold.

    Raises
    ------
    ValueError
        For targets that are not binary, probabilities outside [0, 1] and thresholds outside
        [0, 1).

    References
    ----------
    Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction models.
    Med Decis Making 2006;26:565-574.

    Examples
    --------
    >>> from ecgsk.metrics import decision_curve
    >>> decision_curve([0, 0, 1, 1], [0.1, 0.3, 0.4, 0.8], thresholds=[0.2, 0.5])
       threshold  net_benefit  treat_all  treat_none
    0        0.2       0.4375      0.375         0.0
    1        0.5       0.2500      0.000         0.0
    """
    y = check_target(y_true)
    check_probabilities(y_prob, len(y))
    # Compared in the precision that the probabilities came in, as ``y_prob >= threshold`` is.
    prob = check_scores(y_prob, len(y), "y_prob")
    if thresholds is None:
        at = np.arange(1, 100) / 100
    else:
        at = np.atleast_1d(np.asarray(on_host(thresholds, "thresholds"), dtype=np.float64))
        if at.ndim != 1 or not len(at) or not ((at >= 0) & (at < 1)).all():
            raise ValueError(
                f"thresholds={thresholds!r} have to be probabilities in [0, 1), for example "
                "[0.05, 0.1, 0.2]: at 1 no number of vain examinations is too many."
            )
    compared = at.astype(prob.dtype)
    true, false = (
        len(part) - np.searchsorted(np.sort(part), compared) for part in (prob[y], prob[~y])
    )
    odds = at / (1 - at)
    share = y.mean()
    return pd.DataFrame(
        {
            "threshold": at,
            "net_benefit": (true - false * odds) / len(y),
            "treat_all": share - (1 - share) * odds,
            "treat_none": np.zeros(len(at)),
        }
    )
