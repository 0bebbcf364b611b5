"""From probabilities to answers; nothing here knows of torch."""

from importlib import import_module

from ecgsk._core.sklearn_compat import RowAlignedFeatureUnion
from ecgsk.tabular._columns import TableColumns
from ecgsk.tabular._lef import make_lef_classifier
from ecgsk.tabular._probability import ProbabilityTransformer
from ecgsk.tabular._screen import PredictorScreening, screen_predictors
from ecgsk.tabular._single import SinglePredictorClassifier

# interpret takes a second to import: what needs it is imported when it is first asked for.
_LAZY = {
    "GroupedEBMClassifier": "ecgsk.tabular._ebm",
    "patient_bags": "ecgsk.tabular._ebm",
}

__all__ = [
    "PredictorScreening",
    "ProbabilityTransformer",
    "RowAlignedFeatureUnion",
    "SinglePredictorClassifier",
    "TableColumns",
    "make_lef_classifier",
    "screen_predictors",
    *_LAZY,
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ecgsk.tabular' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
