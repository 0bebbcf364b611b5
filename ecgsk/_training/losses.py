"""Losses over logits, with a weight for each record and each class."""

import torch
from torch import nn
from torch.nn import functional as F


class WeightedLoss(nn.Module):
    """Weighted mean of the cross-entropy of records: a softmax for multiclass, sigmoids otherwise.

    ``class_weights`` has the shape (n_classes,) for multiclass, else (2, n_outputs), for 0 and 1.
    """

    class_weights: torch.Tensor | None

    def __init__(self, kind: str, class_weights: torch.Tensor | None = None):
        super().__init__()
        self.kind = kind
        self.register_buffer("class_weights", class_weights)

    def forward(
        self, logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of a batch: sum of weight times loss over the sum of weights."""
        weights = weights.to(logits.dtype)
        if self.kind == "multiclass":
            losses = F.cross_entropy(logits, target, reduction="none")
            if self.class_weights is not None:
                weights = weights * self.class_weights.to(logits.dtype)[target]
            return (losses * weights).sum() / weights.sum().clamp(min=1e-12)
        target = target.to(logits.dtype).reshape(logits.shape)
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        weights = weights[:, None].expand_as(losses)
        if self.class_weights is not None:
            negative, positive = self.class_weights.to(logits.dtype)
            weights = weights * torch.where(target > 0.5, positive, negative)
        return (losses * weights).sum() / weights.sum().clamp(min=1e-12)


class DistillationLoss:
    """Divergence of predictions from a teacher's, both with logits divided by a temperature.

    It is multiplied by the temperature's square, so that gradients keep their size (Hinton G,
    Vinyals O, Dean J. Distilling the knowledge in a neural network. arXiv:1503.02531).
    """

    def __init__(self, kind: str, temperature: float = 2.0):
        self.kind = kind
        self.temperature = temperature

    def __call__(
        self, logits: torch.Tensor, teacher: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Return the weighted mean over records (and labels) of KL(teacher || network)."""
        own = logits / self.temperature
        other = teacher.to(logits.dtype).reshape(logits.shape) / self.temperature
        weights = weights.to(logits.dtype)
        if self.kind == "multiclass":
            own, other = F.log_softmax(own, dim=1), F.log_softmax(other, dim=1)
            each = F.kl_div(own, other, reduction="none", log_target=True).sum(dim=1)
        else:
            p = other.sigmoid()
            # Written with logits: logarithms of probabilities that are 0 or 1 would be infinite.
            each = F.binary_cross_entropy_with_logits(own, p, reduction="none")
            each = each - F.binary_cross_entropy_with_logits(other, p, reduction="none")
            weights = weights[:, None].expand_as(each)
        mean = (each * weights).sum() / weights.sum().clamp(min=1e-12)
        return self.temperature**2 * mean
