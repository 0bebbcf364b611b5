"""scikit-learn estimators around the networks."""

from ecgsk._training import ECGAugmentation, TrainingStage
from ecgsk.estimators._ecgfounder import ECGFounderClassifier
from ecgsk.estimators._mtecg import MTECGClassifier
from ecgsk.estimators._mtecg_size import MTECGSize
from ecgsk.estimators._network import NetworkClassifier
from ecgsk.estimators._onnx_classifier import ONNXClassifier
from ecgsk.estimators._options import Distillation, EarlyStopping
from ecgsk.estimators._pretrainer import MTECGPretrainer
from ecgsk.estimators._strategies import FullTraining, LinearProbe, PostTraining

__all__ = [
    "Distillation",
    "ECGAugmentation",
    "ECGFounderClassifier",
    "EarlyStopping",
    "FullTraining",
    "LinearProbe",
    "MTECGClassifier",
    "MTECGPretrainer",
    "MTECGSize",
    "NetworkClassifier",
    "ONNXClassifier",
    "PostTraining",
    "TrainingStage",
]
