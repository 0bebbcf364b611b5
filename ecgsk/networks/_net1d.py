"""Net1D: the convolutional network of ECGFounder."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import max_pool1d, pad, silu

from ecgsk._core.public import public
from ecgsk.networks._layers import StochasticDepth, set_dropout, set_stochastic_depth

_FOUNDER: dict[str, Any] = {
    "stem_width": 64,
    "widths": (64, 160, 160, 400, 400, 1024, 1024),
    "depths": (2, 2, 2, 3, 3, 4, 4),
    "kernel_size": 16,
    "group_width": 16,
}
# The published sizes differ in the leads that they read and in nothing else.
NET1D_PRESETS: dict[str, dict[str, Any]] = {
    "12-lead": _FOUNDER,
    "1-lead": _FOUNDER,
    "small": {
        "stem_width": 32,
        "widths": (32, 64, 64, 128, 128, 256),
        "depths": (1, 1, 1, 2, 2, 2),
        "kernel_size": 16,
        "group_width": 16,
    },
    "nano": {
        "stem_width": 16,
        "widths": (16, 32, 32),
        "depths": (1, 1, 2),
        "kernel_size": 8,
        "group_width": 16,
    },
}


@public("ecgsk.networks")
class Net1D(nn.Module):
    """Residual network of grouped convolutions along time, without normalization.

    A convolution of stride 2 is followed by stages of pre-activation bottleneck blocks: 1x1
    convolution, grouped convolution, 1x1 convolution, gains of the channels (squeeze and
    excitation), added to a shortcut without weights. The first block of a stage halves the number
    of samples. The mean over time is the feature vector that a linear head reads. Recordings of
    any length pass.

    The published network of ECGFounder is ``Net1D(n_outputs=150)``: 12 leads at 500 Hz, 20
    blocks, 1024 features. The published file also holds batch normalization that the network was
    built without; this network has none.

    Parameters
    ----------
    n_leads : int, default=12
        Leads of a record.
    n_outputs : int, default=1
        Logits.
    stem_width : int, default=64
        Channels of the first convolution.
    widths : sequence of int, default=(64, 160, 160, 400, 400, 1024, 1024)
        Channels of each stage, multiples of ``group_width`` that never fall.
    depths : sequence of int, default=(2, 2, 2, 3, 3, 4, 4)
        Blocks of each stage.
    kernel_size : int, default=16
        Samples that a convolution along time sees.
    group_width : int, default=16
        Channels of a group.
    stochastic_depth : float, default=0.0
        Rate of the deepest block's residual branch; it grows linearly from 0 at the first.
    dropout : float, default=0.0
        Rate of dropout in front of the convolutions of a block.

    References
    ----------
    Li J, Aguirre A, Moura J, et al. An electrocardiogram foundation model built on over 10
    million recordings. NEJM AI 2(7), 2025; arXiv:2410.04133. The network after the facts of
    GitHub PKUDigitalHealth/ECGFounder, written again here. Stochastic depth, which the published
    code does not have: Huang G et al. Deep networks with stochastic depth. ECCV 2016.

    Examples
    --------
    >>> from ecgsk.networks import Net1D
    >>> network = Net1D(n_outputs=150)
    >>> sum(parameter.numel() for parameter in network.parameters())
    30752646
    """

    branches_per_block = 1
    # A ModuleList for each stage, of its blocks.
    stages: Any

    def __init__(
        self,
        n_leads: int = 12,
        n_outputs: int = 1,
        *,
        stem_width: int = _FOUNDER["stem_width"],
        widths=_FOUNDER["widths"],
        depths=_FOUNDER["depths"],
        kernel_size: int = _FOUNDER["kernel_size"],
        group_width: int = _FOUNDER["group_width"],
        stochastic_depth: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        _check_sizes(stem_width, widths, depths, group_width)
        self.stem = SameConv(n_leads, stem_width, kernel_size, stride=2)
        width_in = stem_width
        self.stages = nn.ModuleList()
        for width, depth in zip(widths, depths, strict=True):
            stage = nn.ModuleList()
            for number in range(depth):
                block = Bottleneck(
                    width_in,
                    width,
                    kernel_size,
                    n_groups=width // group_width,
                    halves=number == 0,
                    # The very first block reads the stem, which has been activated.
                    activates_input=bool(self.stages) or number > 0,
                )
                stage.append(block)
                width_in = width
            self.stages.append(stage)
        self.n_layers = sum(depths) + 2
        self.head = nn.Linear(width_in, n_outputs)
        set_stochastic_depth(self, stochastic_depth)
        set_dropout(self, dropout)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the head reads, of shape (n_records, width)."""
        x = silu(self.stem(x))
        for stage in self.stages:
            for block in stage:
                x = block(x)
        return x.mean(dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_records, n_outputs).

        Parameters
        ----------
        x : Tensor of shape (n_records, n_leads, n_samples)
            Recordings.
        """
        return self.head(self.features(x))

    def layer_of(self, parameter_name: str) -> int:
        """Return the depth of a parameter: 0 at the input, ``n_layers - 1`` at the head."""
        first, *rest = parameter_name.split(".")
        if first == "stem":
            return 0
        if first == "head":
            return self.n_layers - 1
        stage, block = int(rest[0]), int(rest[1])
        return 1 + sum(len(before) for before in self.stages[:stage]) + block


class SameConv(nn.Conv1d):
    """Convolution to ``ceil(n_samples / stride)`` samples, padded by zeros, the odd one behind."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n_records, channels, n_samples) to (n_records, channels, n_samples / stride)."""
        (kernel,), (stride,), n_samples = self.kernel_size, self.stride, x.shape[-1]
        missing = max(0, (-(-n_samples // stride) - 1) * stride + kernel - n_samples)
        if missing:
            x = pad(x, (missing // 2, missing - missing // 2))
        return super().forward(x)


class Bottleneck(nn.Module):
    """Pre-activation residual block; ``halves`` halves the number of samples.

    The shortcut then takes the larger of two neighbors, and of the last and 0 where their number is
    odd; it pads new channels with zeros, one half in front and one half behind.
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        kernel_size: int,
        *,
        n_groups: int,
        halves: bool,
        activates_input: bool,
    ):
        super().__init__()
        self.halves = halves
        self.activates_input = activates_input
        self.widening = ((width - width_in) // 2, width - width_in - (width - width_in) // 2)
        self.conv1 = SameConv(width_in, width, 1)
        self.conv2 = SameConv(width, width, kernel_size, stride=2 if halves else 1, groups=n_groups)
        self.conv3 = SameConv(width, width, 1)
        self.squeeze = nn.Linear(width, width // 2)
        self.excite = nn.Linear(width // 2, width)
        self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(0.0) for _ in range(3))
        self.depth = StochasticDepth()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n_records, width_in, n_samples) to (n_records, width, ceil(n_samples / 2 or 1))."""
        return self._shortcut(x) + self.depth(self._branch(x))

    def _branch(self, x: torch.Tensor) -> torch.Tensor:
        if self.activates_input:
            x = self.dropout1(silu(x))
        x = self.conv1(x)
        x = self.conv2(self.dropout2(silu(x)))
        x = self.conv3(self.dropout3(silu(x)))
        gains = torch.sigmoid(self.excite(silu(self.squeeze(x.mean(dim=-1)))))
        return x * gains.unsqueeze(-1)

    def _shortcut(self, x: torch.Tensor) -> torch.Tensor:
        if self.halves:
            x = max_pool1d(pad(x, (0, 1)), 2)
        if any(self.widening):
            x = pad(x, (0, 0, *self.widening))
        return x


def _check_sizes(stem_width, widths, depths, group_width) -> None:
    sizes = [stem_width, *widths]
    if not widths or len(widths) != len(depths) or min(depths) < 1:
        raise ValueError(
            f"widths={tuple(widths)} and depths={tuple(depths)} must name as many stages, each of "
            "one block at least."
        )
    if any(width % group_width for width in widths) or sizes != sorted(sizes):
        raise ValueError(
            f"stem_width={stem_width}, widths={tuple(widths)} must not fall from stage to stage, "
            f"and widths must be multiples of group_width={group_width}."
        )
