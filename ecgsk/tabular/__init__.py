"""From probabilities to answers; nothing here knows of torch."""

from ecgsk.tabular._probability import ProbabilityTransformer

__all__ = ["ProbabilityTransformer"]
