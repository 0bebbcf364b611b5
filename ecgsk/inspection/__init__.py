"""Plots of recordings and of models, explanations, and the report."""

from ecgsk.inspection._cohort_table import describe_cohort
from ecgsk.inspection._ebm.group_explanation import group_explanation
from ecgsk.inspection._ebm.groups import group_correlated, group_importances
from ecgsk.inspection._ebm.local import RecordExplanation, explain_record
from ecgsk.inspection._ebm.terms import ebm_importances
from ecgsk.inspection._lead_importance import LeadImportance, lead_importance
from ecgsk.inspection._plots.ebm_terms import EBMTermsDisplay
from ecgsk.inspection._plots.ecg import ECGDisplay
from ecgsk.inspection._plots.evaluation import EvaluationDisplay
from ecgsk.inspection._plots.explanation import ExplanationDisplay
from ecgsk.inspection._plots.predictors import PredictorsDisplay
from ecgsk.inspection._plots.reconstruction import ReconstructionDisplay
from ecgsk.inspection._plots.saliency import SaliencyDisplay
from ecgsk.inspection._plots.subgroups import SubgroupsDisplay
from ecgsk.inspection._report.make import make_report
from ecgsk.inspection._saliency import Saliency, saliency

__all__ = [
    "ECGDisplay",
    "EBMTermsDisplay",
    "EvaluationDisplay",
    "ExplanationDisplay",
    "PredictorsDisplay",
    "ReconstructionDisplay",
    "SaliencyDisplay",
    "SubgroupsDisplay",
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
    "saliency",
]
