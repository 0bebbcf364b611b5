"""scikit-learn estimators for the 12-lead ECG."""

from importlib import import_module

from ecgsk._core.records import RecordArray
from ecgsk._core.signal import STANDARD_LEADS, check_ecg
from ecgsk._core.signal_doubts import ECGQualityWarning
from ecgsk._version import __version__

# Torch takes seconds to import: what needs it is imported when it is first asked for.
_LAZY = {
    "ECGAugmentation": "ecgsk.estimators",
    "ECGFounderClassifier": "ecgsk.estimators",
    "MTECGClassifier": "ecgsk.estimators",
    "MTECGPretrainer": "ecgsk.estimators",
    "NetworkClassifier": "ecgsk.estimators",
    "ONNXClassifier": "ecgsk.estimators",
    "OptunaSearchCV": "ecgsk.model_selection",
    "ProbabilityTransformer": "ecgsk.tabular",
    "SinglePredictorClassifier": "ecgsk.tabular",
    "join_labels": "ecgsk.datasets",
    "load": "ecgsk.persistence",
    "load_code15": "ecgsk.datasets",
    "load_ecg": "ecgsk.datasets",
    "load_echonext": "ecgsk.datasets",
    "load_ptbxl": "ecgsk.datasets",
    "load_wfdb": "ecgsk.datasets",
    "make_ecg": "ecgsk.datasets",
    "make_echonext": "ecgsk.datasets",
    "make_lef_classifier": "ecgsk.tabular",
    "make_lef_cohort": "ecgsk.datasets",
    "make_report": "ecgsk.inspection",
    "save": "ecgsk.persistence",
    "screen_predictors": "ecgsk.tabular",
    "search_space": "ecgsk.model_selection",
    "set_device": "ecgsk.persistence",
}

__all__ = [
    "ECGQualityWarning",
    "RecordArray",
    "STANDARD_LEADS",
    "__version__",
    "check_ecg",
    *_LAZY,
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ecgsk' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
