"""Figures on answers, with intervals."""

from ecgsk.metrics._bootstrap import Estimate, bootstrap
from ecgsk.metrics._ranking import label_roc_auc, macro_roc_auc

__all__ = ["Estimate", "bootstrap", "label_roc_auc", "macro_roc_auc"]
