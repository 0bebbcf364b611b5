"""How a network is fitted: phases, parameter groups, schedules, the composed skorch net."""

from ecgsk.training._augment import ECGAugmentation
from ecgsk.training._backend import BACKENDS, compiled, write_onnx
from ecgsk.training._checkpoint import Checkpoint
from ecgsk.training._data import ECGDataset, signal_scale
from ecgsk.training._device import PRECISIONS, resolve_device, resolve_precision, seeded
from ecgsk.training._distributed import SharedDataset, together
from ecgsk.training._fill import fill_masked, masked_losses
from ecgsk.training._lease import on_device
from ecgsk.training._losses import Distillation
from ecgsk.training._net import ECGNet, MaskedNet
from ecgsk.training._phases import Phase, parameter_groups, rate_factor
from ecgsk.training._predict import predict_features, predict_logits
from ecgsk.training._run import Run

__all__ = [
    "BACKENDS",
    "Checkpoint",
    "Distillation",
    "ECGAugmentation",
    "ECGDataset",
    "ECGNet",
    "MaskedNet",
    "PRECISIONS",
    "Phase",
    "Run",
    "SharedDataset",
    "compiled",
    "fill_masked",
    "masked_losses",
    "on_device",
    "parameter_groups",
    "predict_features",
    "predict_logits",
    "rate_factor",
    "resolve_device",
    "resolve_precision",
    "seeded",
    "signal_scale",
    "together",
    "write_onnx",
]
