"""Pictures of recordings and of models."""

from ecgsk.inspection._ebm_plot import plot_ebm_terms
from ecgsk.inspection._ecg_plot import plot_ecg
from ecgsk.inspection._reconstruction_plot import plot_reconstruction

__all__ = ["plot_ebm_terms", "plot_ecg", "plot_reconstruction"]
