"""Parts that the networks share."""

import torch
from torch import nn

from ecgsk._core.public import public


@public("ecgsk.networks")
class StochasticDepth(nn.Module):
    """Drop a residual branch for whole records while training.

    Each record keeps the branch with probability ``1 - rate``; what is kept is divided by that
    probability, so that the expectation is the branch itself. Does nothing in evaluation mode.

    Parameters
    ----------
    rate : float, default=0.0
        Probability that a record loses the branch.

    References
    ----------
    Huang G, Sun Y, Liu Z, Sedra D, Weinberger K. Deep networks with stochastic depth.
    ECCV 2016.
    """

    def __init__(self, rate: float = 0.0):
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Return the branch, with some records' rows set to zero while training."""
        if not self.training or self.rate == 0.0:
            return branch
        keep = 1.0 - self.rate
        shape = (len(branch),) + (1,) * (branch.ndim - 1)
        return branch * torch.empty(shape, device=branch.device).bernoulli_(keep).to(
            branch.dtype
        ).div_(keep)

    def extra_repr(self) -> str:
        """Show the rate in the module's representation."""
        return f"rate={self.rate:g}"


def set_stochastic_depth(network: nn.Module, rate: float, rule: str = "linear") -> None:
    """Set the rate of every `StochasticDepth` of a network; the deepest branch gets ``rate``.

    By the rule "linear" the rate grows from 0 at the first block; by "constant" it stays the same.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, StochasticDepth)]
    per_block = getattr(network, "branches_per_block", 1)
    last = max(1, len(layers) // per_block - 1)
    for position, layer in enumerate(layers):
        layer.rate = rate if rule == "constant" else rate * (position // per_block) / last


def set_dropout(network: nn.Module, rate: float) -> None:
    """Set the rate of every dropout layer of a network."""
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = rate


def sine_cosine_positions(n_tokens: int, width: int) -> torch.Tensor:
    """Return positions (n_tokens, width), sines first, of wavelengths from 2 pi to 20,000 pi.

    Vaswani A et al. Attention is all you need. NeurIPS 2017.
    """
    half = -(-width // 2)
    frequency = 10_000.0 ** (-torch.arange(half) / half)
    angle = torch.arange(n_tokens)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]


def start_head(head: nn.Linear, bias: torch.Tensor) -> None:
    """Let a head start with the logits of ``bias`` (n_outputs,), for all features."""
    nn.init.trunc_normal_(head.weight, std=2e-5)
    with torch.no_grad():
        head.bias.copy_(bias)
