"""Plain torch networks, one a file; they know nothing of skorch or scikit-learn."""

from ecgsk.networks._layers import StochasticDepth, set_dropout, set_stochastic_depth, start_head
from ecgsk.networks._masked_mtecg import RECONSTRUCTION_TARGETS, MaskedMTECG
from ecgsk.networks._mtecg import MTECG, MTECG_PRESETS
from ecgsk.networks._net1d import NET1D_PRESETS, Net1D

__all__ = [
    "MTECG",
    "MTECG_PRESETS",
    "NET1D_PRESETS",
    "Net1D",
    "MaskedMTECG",
    "RECONSTRUCTION_TARGETS",
    "StochasticDepth",
    "set_dropout",
    "set_stochastic_depth",
    "start_head",
]
