"""Metrics of probabilities and scores, with intervals."""

from ecgsk.metrics._binary import evaluate_binary
from ecgsk.metrics._bootstrap import Estimate, bootstrap
from ecgsk.metrics._calibration import calibration_metrics, calibration_table, shift_prevalence
from ecgsk.metrics._compare import Comparison, compare_models
from ecgsk.metrics._labels import evaluate_labels
from ecgsk.metrics._ranking import (
    label_average_precision,
    label_roc_auc,
    macro_average_precision,
    macro_roc_auc,
)
from ecgsk.metrics._results import BinaryEvaluation, LabelEvaluation, SubgroupEvaluation
from ecgsk.metrics._subgroups import evaluate_subgroups
from ecgsk.metrics._threshold import choose_threshold, decision_curve

__all__ = [
    "BinaryEvaluation",
    "Comparison",
    "Estimate",
    "LabelEvaluation",
    "SubgroupEvaluation",
    "bootstrap",
    "calibration_metrics",
    "calibration_table",
    "choose_threshold",
    "compare_models",
    "decision_curve",
    "evaluate_binary",
    "evaluate_labels",
    "evaluate_subgroups",
    "label_average_precision",
    "label_roc_auc",
    "macro_average_precision",
    "macro_roc_auc",
    "shift_prevalence",
]
