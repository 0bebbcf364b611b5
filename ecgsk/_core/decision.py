"""From which score on a fitted model decides for a class."""

from dataclasses import dataclass

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline

from ecgsk._core.sklearn_compat import tuned_label

THRESHOLD_CLASSIFIERS = (FixedThresholdClassifier, TunedThresholdClassifierCV)


@dataclass(frozen=True)
class DecisionRule:
    """A binary model decides for ``label`` where its score of it is at least ``threshold``."""

    threshold: float
    label: object  # of the model's classes
    is_second: bool  # whether `label` is the second class
    response_method: str  # "predict_proba" or "decision_function"

    @property
    def is_probability(self) -> bool:
        """Return whether the score is a probability."""
        return self.response_method == "predict_proba"

    @property
    def second_class_threshold(self) -> float:
        """Return the probability of the second class that separates the two decisions."""
        return self.threshold if self.is_second else 1 - self.threshold

    @property
    def in_words(self) -> str:
        """Return the rule as text."""
        score = "probability" if self.is_probability else "decision_function"
        return f"{self.label} from a {score} of {self.threshold:g} on"

    def is_second_class(self, scores: np.ndarray) -> np.ndarray:
        """Return for which records the decision is the second class.

        ``scores`` are the probabilities of both classes, or the values of ``decision_function``.
        """
        if self.is_probability:
            scores = scores[:, 1 if self.is_second else 0]
        elif not self.is_second:
            scores = -scores
        return (scores >= self.threshold) == self.is_second


def decision_rule(model) -> DecisionRule | None:
    """Return the rule of the outermost threshold classifier of scikit-learn; None without one."""
    if isinstance(model, FrozenEstimator):
        return decision_rule(model.estimator)
    if hasattr(model, "best_estimator_"):
        return decision_rule(model.best_estimator_)
    if isinstance(model, Pipeline):
        return decision_rule(model[-1])
    if not isinstance(model, THRESHOLD_CLASSIFIERS) or not hasattr(model, "classes_"):
        return None
    method = model.response_method
    if method == "auto":  # scikit-learn takes the first of the two that the model has
        inner = getattr(model, "estimator_", model.estimator)
        method = "predict_proba" if hasattr(inner, "predict_proba") else "decision_function"
    tuned = isinstance(model, TunedThresholdClassifierCV)
    threshold = model.best_threshold_ if tuned else model.threshold
    if threshold == "auto":
        threshold = 0.5 if method == "predict_proba" else 0.0
    second, label = model.classes_[1], tuned_label(model) if tuned else model.pos_label
    label = second if label is None else label
    return DecisionRule(float(threshold), label, bool(label == second), method)
