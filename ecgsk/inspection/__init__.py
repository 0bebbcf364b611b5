"""Pictures of recordings and of models, and the figures behind them."""

from ecgsk.inspection._cohort_table import describe_cohort
from ecgsk.inspection._curves_plot import plot_evaluation
from ecgsk.inspection._ebm_local import explain_record
from ecgsk.inspection._ebm_plot import plot_ebm_terms
from ecgsk.inspection._ebm_terms import ebm_importances
from ecgsk.inspection._ecg_plot import plot_ecg
from ecgsk.inspection._explanation_plot import plot_explanation
from ecgsk.inspection._forest_plot import plot_predictors, plot_subgroups
from ecgsk.inspection._group_explanation import group_explanation
from ecgsk.inspection._groups import group_correlated, group_importances
from ecgsk.inspection._lead_importance import lead_importance
from ecgsk.inspection._reconstruction_plot import plot_reconstruction
from ecgsk.inspection._report import make_report
from ecgsk.inspection._saliency import Saliency, saliency
from ecgsk.inspection._saliency_plot import plot_saliency

__all__ = [
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
