"""AUROC and average precision of many resamples at once.

A resample is a row of weights. scikit-learn sorts the scores for each resample; here they are
sorted once, and sums over the rows remain.
"""

import numpy as np


class Ranked:
    """Scores of a binary target ``y`` (bool), sorted once; a higher score means more likely."""

    def __init__(self, y: np.ndarray, score: np.ndarray):
        # Not argsort of -score, which fails for unsigned integers.
        self._order = np.argsort(score, kind="stable")[::-1]
        ordered = score[self._order]
        # Records of one score are one step of the curve, in any order.
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        ends = np.r_[starts[1:], len(ordered)]
        # Both areas are sums over positive records alone, of what is above them.
        self._positive = np.flatnonzero(y[self._order])
        block = np.searchsorted(starts, self._positive, side="right") - 1
        self._start, self._end = starts[block], ends[block]
        self._positive_start = np.searchsorted(self._positive, self._start)
        self._positive_end = np.searchsorted(self._positive, self._end)
        self._negative = np.ones(len(y))
        self._negative[self._positive] = 0

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return AUROC and average precision for each row of ``weights``, (n_rows, n_records).

        They are as scikit-learn defines them; NaN where a class has no weight.
        """
        weights = weights[:, self._order]
        positive = weights[:, self._positive]
        everyone, true = _cumulative(weights), _cumulative(positive)
        n_positive, n_negative = true[:, -1], weights @ self._negative
        true_end, all_end = true[:, self._positive_end], everyone[:, self._end]
        false_twice = all_end - true_end
        false_twice += everyone[:, self._start]
        false_twice -= true[:, self._positive_start]
        # Half of the negative ones of the same score count as lower.
        beaten = n_negative[:, np.newaxis] - false_twice / 2
        auroc = np.einsum("ij,ij->i", positive, beaten)
        precision = np.divide(true_end, all_end, out=np.zeros_like(true_end), where=all_end > 0)
        average = np.einsum("ij,ij->i", positive, precision)
        ranked = (n_positive > 0) & (n_negative > 0)
        return (ratio(auroc, n_positive * n_negative, ranked), ratio(average, n_positive, ranked))


def _cumulative(weights: np.ndarray) -> np.ndarray:
    """Return sums of the columns before each column, and of all."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def ratio(numerator, denominator, defined=True) -> np.ndarray:
    """Return a ratio that is NaN where its denominator is 0 or it is not defined."""
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=(denominator != 0) & defined)
