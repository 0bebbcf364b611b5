"""How a network is fitted: phases, parameter groups, schedules, the composed skorch net."""

from ecgsk.training._checkpoint import Checkpoint, fingerprint
from ecgsk.training._data import ECGDataset, signal_scale
from ecgsk.training._device import PRECISIONS, resolve_device, resolve_precision, seeded
from ecgsk.training._net import ECGNet
from ecgsk.training._phases import Phase, parameter_groups, rate_factor
from ecgsk.training._predict import predict_logits
from ecgsk.training._run import Run

__all__ = [
    "Checkpoint",
    "ECGDataset",
    "ECGNet",
    "PRECISIONS",
    "Phase",
    "Run",
    "fingerprint",
    "parameter_groups",
    "predict_logits",
    "rate_factor",
    "resolve_device",
    "resolve_precision",
    "seeded",
    "signal_scale",
]
