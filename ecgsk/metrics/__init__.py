"""Figures on answers, with intervals."""

from ecgsk.metrics._bootstrap import Estimate, bootstrap
from ecgsk.metrics._ranking import (
    label_average_precision,
    label_roc_auc,
    macro_average_precision,
    macro_roc_auc,
)

__all__ = [
    "Estimate",
    "bootstrap",
    "label_average_precision",
    "label_roc_auc",
    "macro_average_precision",
    "macro_roc_auc",
]
