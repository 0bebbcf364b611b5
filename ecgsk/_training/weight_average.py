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
        for mean, value in zip(self.weights, self._present(), strict=True):
            mean.lerp_(value, 1 - memory)

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

    @torch.no_grad()
    def _set(self, values: list[torch.Tensor]) -> None:
        for present, value in zip(self._present(), values, strict=True):
            present.copy_(value)
