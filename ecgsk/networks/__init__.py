"""Plain torch networks, one a file; they know nothing of skorch or scikit-learn."""

from ecgsk.networks._layers import StochasticDepth, set_dropout, set_stochastic_depth, start_head
from ecgsk.networks._masked import RECONSTRUCTION_TARGETS, MaskedMTECG
from ecgsk.networks._mtecg import MTECG, MTECG_PRESETS

__all__ = [
    "MTECG",
    "MTECG_PRESETS",
    "MaskedMTECG",
    "RECONSTRUCTION_TARGETS",
    "StochasticDepth",
    "set_dropout",
    "set_stochastic_depth",
    "start_head",
]
