"""Tables of probabilities, and classifiers of them; nothing here imports torch."""

from importlib import import_module

from ecgsk._core.sklearn_compat import RowAlignedFeatureUnion
from ecgsk.tabular._columns import CovariateWarning, TableColumns
from ecgsk.tabular._lef import make_lef_classifier
from ecgsk.tabular._patient_bags import patient_bags
from ecgsk.tabular._probability import ProbabilityTransformer
from ecgsk.tabular._screen import PredictorScreening, screen_predictors
from ecgsk.tabular._single import SinglePredictorClassifier

# It needs interpret, which takes a second to import.
_LAZY = {
    "GroupedEBMClassifier": "ecgsk.tabular._ebm",
    "merge_ebms": "ecgsk.tabular._merge",
}

__all__ = [
    "CovariateWarning",
    "PredictorScreening",
    "ProbabilityTransformer",
    "RowAlignedFeatureUnion",
    "SinglePredictorClassifier",
    "TableColumns",
    "make_lef_classifier",
    "patient_bags",
    "screen_predictors",
    *_LAZY,
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ecgsk.tabular' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
