"""A mean of the weights over the steps of training."""

import torch
from torch import nn


class Average:
    """Exponential mean of a network's weights, which can take their place for a time.

    Buffers such as the running statistics of batch normalization belong to the weights.

    ``memory`` is the share of the mean that a step keeps; 0 makes every method do nothing.
    """

    def __init__(self, network: nn.Module, memory: float):
        self.network = network
        self.memory = memory
        self.weights = self._copy() if memory else None
        self._own: list[torch.Tensor] | None = None

    def _present(self) -> list[torch.Tensor]:
        buffers = (buffer for buffer in self.network.buffers() if buffer.is_floating_point())
        return [*self.network.parameters(), *buffers]

    def _copy(self) -> list[torch.Tensor]:
        return [value.detach().clone() for value in self._present()]

    @torch.no_grad()
    def move(self, step: int) -> None:
        """Count in the weights after a step, the first of which is number 1."""
        if self.weights is None:
            return
        # A short memory at first, so that the random start does not weigh in the mean.
        memory = min(self.memory, step / (step + 10))
        # One call for all tensors: a GPU spends more time on starting each than on computing it.
        torch._foreach_lerp_(self.weights, self._present(), 1 - memory)

    def restore(self, weights: list[torch.Tensor] | None) -> None:
        """Set the mean to that of a checkpoint; it stays on the device and in the precision."""
        if self.weights is not None and weights is not None:
            _copy_into(self.weights, weights)

    def put_in(self) -> None:
        """Put the mean into the network; its own weights are kept aside."""
        if self.weights is None or self._own is not None:
            return
        self._own = self._copy()
        self._set(self.weights)

    def take_out(self) -> None:
        """Put the network's own weights back."""
        if self._own is not None:
            self._set(self._own)
            self._own = None

    def _set(self, values: list[torch.Tensor]) -> None:
        _copy_into(self._present(), values)


@torch.no_grad()
def _copy_into(targets: list[torch.Tensor], values: list[torch.Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)
