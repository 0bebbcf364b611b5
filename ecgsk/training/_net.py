"""The skorch net that every estimator composes."""

import torch
from skorch import NeuralNet

from ecgsk.training._data import keep_batch
from ecgsk.training._losses import WeightedLoss


class ECGNet(NeuralNet):
    """skorch's net with autocast and with weights in the loss.

    Parameters
    ----------
    module : type
        Class of the network: a torch module with ``features`` and a linear ``head``.
    precision : {"float32", "bf16", "float64"}, default="float32"
        Precision of forward passes. Parameters stay float32 under bf16; losses and logits are
        never bf16.
    **kwargs
        As skorch takes them.
    """

    def __init__(self, module, *, precision: str = "float32", **kwargs):
        super().__init__(
            module,
            criterion=WeightedLoss,
            optimizer=torch.optim.AdamW,
            iterator_train__collate_fn=keep_batch,
            iterator_valid__collate_fn=keep_batch,
            train_split=None,
            verbose=0,
            **kwargs,
        )
        self.precision = precision

    def initialize_module(self, *args, **kwargs):
        """Build the network; float64 converts its parameters."""
        super().initialize_module(*args, **kwargs)
        if self.precision == "float64":
            self.module_.double()
        return self

    def infer(self, x, **fit_params):
        """Return logits, float32 or float64."""
        x = x.to(self.device, self.module_.head.weight.dtype)
        device_type = torch.device(self.device).type
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            features = self.module_.features(x)
        # bfloat16 has eight bits: the logits of rare findings would move in steps of 3 %.
        return self.module_.head(features.float() if self.precision == "bf16" else features)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the weighted loss of a batch whose target is (y, weights)."""
        target, weights = (part.to(y_pred.device) for part in y_true)
        return self.criterion_(y_pred, target, weights)
