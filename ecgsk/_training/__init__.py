"""How a network is fitted: stages, parameter groups, schedules, the composed skorch net."""

from ecgsk._training.augmentation import ECGAugmentation
from ecgsk._training.backends import BACKENDS, compiled, write_onnx
from ecgsk._training.checkpoint import Checkpoint
from ecgsk._training.dataset import ECGDataset, signal_scale
from ecgsk._training.device import (
    PRECISIONS,
    available_devices,
    device_type,
    resolve_device,
    resolve_precision,
)
from ecgsk._training.device_lock import on_device
from ecgsk._training.distributed import SharedDataset, together
from ecgsk._training.losses import DistillationLoss
from ecgsk._training.memory import is_out_of_memory
from ecgsk._training.prediction import predict_features, predict_logits
from ecgsk._training.random_state import OwnRandomNumbers, new_tensors_on_cpu, seeded
from ecgsk._training.reconstruction import fill_masked, masked_losses
from ecgsk._training.skorch_net import ECGNet, MaskedNet
from ecgsk._training.stages import TrainingStage, parameter_groups, rate_factor
from ecgsk._training.trainer import Trainer
