"""The metrics of one detector on many resamples at once."""

import numpy as np

from ecgsk._core.ranked_scores import Ranked, ratio


def squared_errors(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return squared errors, whose mean is the Brier score; NaN unless scores are probabilities."""
    score = score.astype(np.float64)
    if score.min() < 0 or score.max() > 1:
        return np.full(len(score), np.nan)
    return (score - y) ** 2


class BinaryMetrics:
    """All metrics of one detector; records with ``score >= threshold`` are called positive."""

    ranking = ("AUROC", "average precision", "prevalence", "Brier score")
    deciding = ("F1", "sensitivity", "specificity", "PPV", "NPV", "flagged")
    # The others change with the share of positive records.
    free_of_prevalence = ("AUROC", "sensitivity", "specificity")

    def __init__(self, y: np.ndarray, score: np.ndarray, threshold: float | None = None):
        self.names = self.ranking if threshold is None else self.ranking + self.deciding
        self._ranked = Ranked(y, score)
        called = np.zeros(len(y), dtype=bool) if threshold is None else score >= threshold
        errors = squared_errors(y, score)
        self._is_probability = bool(np.isfinite(errors[0]))
        columns = [np.ones(len(y)), y, called, y & called, np.nan_to_num(errors)]
        self._columns = np.stack(columns, axis=1, dtype=np.float64)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return the metrics, of shape (n_rows, n_metrics), NaN where they are not defined."""
        total, positive, flagged, hits, error = (weights @ self._columns).T
        brier = ratio(error, total, self._is_probability)
        metrics = [*self._ranked.areas(weights), ratio(positive, total), brier]
        if len(self.names) > len(self.ranking):
            rejections = total - positive - flagged + hits
            metrics += [
                # With no positives, F1 is NaN and not 0.
                ratio(2 * hits, positive + flagged, positive > 0),
                ratio(hits, positive),
                ratio(rejections, total - positive),
                ratio(hits, flagged),
                ratio(rejections, total - flagged),
                ratio(flagged, total),
            ]
        return np.stack(metrics, axis=1)

    def value(self) -> np.ndarray:
        """Return the metrics of the records as they are, of shape (n_metrics,)."""
        return self(np.ones((1, len(self._columns))))[0]
