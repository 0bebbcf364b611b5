"""scikit-learn classifiers around the networks."""

from ecgsk.estimators._mtecg import MTECGClassifier

__all__ = ["MTECGClassifier"]
