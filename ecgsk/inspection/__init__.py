"""Plots of recordings and of models, explanations, and the report."""

from ecgsk.inspection._cohort_table import describe_cohort
from ecgsk.inspection._ebm.group_explanation import group_explanation
from ecgsk.inspection._ebm.groups import group_correlated, group_importances
from ecgsk.inspection._ebm.local import RecordExplanation, explain_record
from ecgsk.inspection._ebm.terms import ebm_importances
from ecgsk.inspection._lead_importance import LeadImportance, lead_importance
from ecgsk.inspection._plots.ebm import plot_ebm_terms
from ecgsk.inspection._plots.ecg import plot_ecg
from ecgsk.inspection._plots.evaluation import plot_evaluation
from ecgsk.inspection._plots.explanation import plot_explanation
from ecgsk.inspection._plots.forest import plot_predictors, plot_subgroups
from ecgsk.inspection._plots.reconstruction import plot_reconstruction
from ecgsk.inspection._plots.saliency import plot_saliency
from ecgsk.inspection._report.make import make_report
from ecgsk.inspection._saliency import Saliency, saliency

__all__ = [
    "LeadImportance",
    "RecordExplanation",
    "Saliency",
    "describe_cohort",
    "ebm_importances",
    "explain_record",
    "group_correlated",
    "group_explanation",
    "group_importances",
    "lead_importance",
    "make_report",
    "plot_ebm_terms",
    "plot_ecg",
    "plot_evaluation",
    "plot_explanation",
    "plot_predictors",
    "plot_reconstruction",
    "plot_saliency",
    "plot_subgroups",
    "saliency",
]
