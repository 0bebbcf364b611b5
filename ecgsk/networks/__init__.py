"""Plain torch networks, one in each file, without skorch or scikit-learn."""

from ecgsk.networks._layers import StochasticDepth
from ecgsk.networks._layers import set_dropout as set_dropout
from ecgsk.networks._layers import set_stochastic_depth as set_stochastic_depth
from ecgsk.networks._layers import start_head as start_head
from ecgsk.networks._masked_mtecg import RECONSTRUCTION_TARGETS as RECONSTRUCTION_TARGETS
from ecgsk.networks._masked_mtecg import MaskedMTECG
from ecgsk.networks._mtecg import MTECG, MTECG_PRESETS
from ecgsk.networks._net1d import NET1D_PRESETS, Net1D

__all__ = ["MTECG", "MTECG_PRESETS", "MaskedMTECG", "NET1D_PRESETS", "Net1D", "StochasticDepth"]
