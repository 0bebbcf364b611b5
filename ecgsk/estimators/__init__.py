"""scikit-learn estimators around the networks."""

from ecgsk._training import ECGAugmentation
from ecgsk.estimators._ecgfounder import ECGFounderClassifier
from ecgsk.estimators._mtecg import MTECGClassifier
from ecgsk.estimators._pretrainer import MTECGPretrainer

__all__ = ["ECGAugmentation", "ECGFounderClassifier", "MTECGClassifier", "MTECGPretrainer"]
