"""MTECG: a Transformer over segments of the 12-lead ECG."""

import math

import torch
from torch import nn
from torch.nn.functional import pad, scaled_dot_product_attention

from ecgsk._core.public import public
from ecgsk.networks._layers import (
    StochasticDepth,
    set_dropout,
    set_stochastic_depth,
    sine_cosine_positions,
)

# patch_duration is in seconds: the published 25 samples at 500 Hz are 0.05 s at any rate.
MTECG_PRESETS = {
    "ti_12_25": {"width": 192, "depth": 12, "n_heads": 3, "patch_duration": 0.05},
    "compact": {"width": 192, "depth": 6, "n_heads": 3, "patch_duration": 0.1},
    "small": {"width": 96, "depth": 4, "n_heads": 3, "patch_duration": 0.2},
    "nano": {"width": 32, "depth": 2, "n_heads": 2, "patch_duration": 0.2},
}


@public("ecgsk.networks")
class MTECG(nn.Module):
    """Vision Transformer whose tokens are short segments of all leads together.

    The record is cut into segments of ``patch_size`` samples over all leads; each becomes a token
    by a linear map. A class token is put in front, learnable positions are added, pre-norm
    Transformer blocks follow, and a linear head reads the class token. A record whose length is
    no multiple of ``patch_size`` is padded with zeros at its end.

    The published network is ``MTECG()``: 12 leads, 5000 samples (10 s at 500 Hz), 200 tokens.

    Parameters
    ----------
    n_leads : int, default=12
        Leads of a record.
    n_samples : int, default=5000
        Samples of a record.
    n_outputs : int, default=1
        Logits.
    patch_size : int, default=25
        Samples of a segment.
    width, depth, n_heads : int, default=192, 12, 3
        Size of a token, number of blocks, attention heads in each.
    mlp_ratio : float, default=4.0
        Width of a block's hidden layer over the width of a token.
    stochastic_depth : float, default=0.0
        Rate of the deepest block; it grows linearly from 0 at the first.
    dropout : float, default=0.0
        Rate of dropout on attention output and hidden layers.
    pooling : {"cls", "mean"}, default="cls"
        Whether the head reads the class token or the mean of the segments' tokens.
    input_scale : float, default=1.0
        What recordings are divided by, mV. The other weights start for values of deviation 1.
    start : {"normal", "sine-cosine"}, default="normal"
        How the weights begin. ``"normal"`` is that of the classifier: weights and positions from
        a truncated normal distribution of deviation 0.02. ``"sine-cosine"`` is for masked
        pre-training: positions in which neighbors differ from the first step on, and weights
        uniform by Xavier's rule; with small random positions the masked loss stays on its plateau
        for long. All are learned from there.

    References
    ----------
    Zhou Y, Diao X, Huo Y, Liu Y, Fan X, Zhao W. Masked transformer for electrocardiogram
    classification. arXiv:2309.07136. The architecture is that of ``ti_12_25`` in the group's
    later release (GitHub, fwaiaccount/MTECG-SPEED-TR), written again here.

    Examples
    --------
    >>> from ecgsk.networks import MTECG
    >>> import torch
    >>> network = MTECG(n_outputs=28)
    >>> sum(parameter.numel() for parameter in network.parameters())
    5440732
    >>> network.n_tokens
    200
    """

    no_weight_decay = frozenset({"cls_token", "positions"})
    branches_per_block = 2
    input_scale: torch.Tensor
    head: nn.Module

    def __init__(
        self,
        n_leads: int = 12,
        n_samples: int = 5000,
        n_outputs: int = 1,
        *,
        patch_size: int = 25,
        width: int = 192,
        depth: int = 12,
        n_heads: int = 3,
        mlp_ratio: float = 4.0,
        stochastic_depth: float = 0.0,
        dropout: float = 0.0,
        pooling: str = "cls",
        input_scale: float = 1.0,
        start: str = "normal",
    ):
        super().__init__()
        if width % n_heads:
            raise ValueError(f"width={width} is no multiple of n_heads={n_heads}: choose one.")
        if pooling not in ("cls", "mean"):
            raise ValueError(f"pooling={pooling!r} is not allowed; use 'cls' or 'mean'.")
        if start not in ("normal", "sine-cosine"):
            raise ValueError(f"start={start!r} is not allowed; use 'normal' or 'sine-cosine'.")
        self.patch_size = patch_size
        self.pooling = pooling
        self.n_tokens = math.ceil(n_samples / patch_size)
        self.n_layers = depth + 2
        self.register_buffer("input_scale", torch.tensor(float(input_scale)))

        self.patch_embed = nn.Linear(n_leads * patch_size, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + self.n_tokens, width))
        self.blocks = nn.ModuleList(Block(width, n_heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, n_outputs)
        self._initialize(start)
        set_stochastic_depth(self, stochastic_depth)
        set_dropout(self, dropout)

    def _initialize(self, start: str) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                if start == "normal":
                    nn.init.trunc_normal_(module.weight, std=0.02)
                else:
                    nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        if start == "sine-cosine":
            self.positions.data[0, 1:] = sine_cosine_positions(*self.positions[0, 1:].shape)

    def segment(self, x: torch.Tensor) -> torch.Tensor:
        """Cut records into segments.

        Parameters
        ----------
        x : Tensor of shape (n_records, n_leads, n_samples)
            Recordings.

        Returns
        -------
        Tensor of shape (n_records, n_tokens, n_leads * patch_size)
            Segments in the order of time.
        """
        x = pad(x, (0, -x.shape[-1] % self.patch_size))
        x = x.unflatten(-1, (-1, self.patch_size))
        return x.transpose(1, 2).flatten(2)

    def encode(self, segments: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """Return tokens after the last block, the class token first, not normalized yet.

        Parameters
        ----------
        segments : Tensor of shape (n_records, n_tokens, n_leads * patch_size)
            As `segment` returns them, divided by ``input_scale``.
        seen : Tensor of int of shape (n_records, n_seen) or None, default=None
            The segments that enter, by number; None takes all.

        Returns
        -------
        Tensor of shape (n_records, 1 + n_seen, width)
            Tokens in the order of ``seen``.
        """
        positions = self.positions[:, 1:].expand(segments.shape[0], -1, -1)
        if seen is not None:
            segments, positions = (pick_tokens(part, seen) for part in (segments, positions))
        tokens = self.patch_embed(segments) + positions
        first = (self.cls_token + self.positions[:, :1]).expand(segments.shape[0], -1, -1)
        tokens = torch.cat([first.to(tokens.dtype), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the head reads, of shape (n_records, width)."""
        tokens = self.encode(self.segment(x / self.input_scale))
        if self.pooling == "mean":
            return self.norm(tokens[:, 1:].mean(dim=1))
        return self.norm(tokens[:, 0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_records, n_outputs)."""
        return self.head(self.features(x))

    def layer_of(self, parameter_name: str) -> int:
        """Return the depth of a parameter: 0 at the input, ``n_layers - 1`` at the head."""
        first, _, rest = parameter_name.partition(".")
        if first in ("cls_token", "positions", "patch_embed"):
            return 0
        if first == "blocks":
            return int(rest.partition(".")[0]) + 1
        return self.n_layers - 1


def pick_tokens(tokens: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Return those of each record's tokens (n_records, n_tokens, width) that have these numbers."""
    return torch.take_along_dim(tokens, numbers[..., None], dim=1)


class Block(nn.Module):
    """Pre-norm Transformer block: attention, then a hidden layer, each added to its input."""

    def __init__(self, width: int, n_heads: int, mlp_ratio: float):
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.attention_dropout = nn.Dropout(0.0)
        self.attention_depth = StochasticDepth()
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(0.0),
            nn.Linear(hidden, width),
            nn.Dropout(0.0),
        )
        self.mlp_depth = StochasticDepth()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens of shape (n_records, n_tokens, width) to others of the same shape."""
        tokens = tokens + self.attention_depth(self._attend(self.norm1(tokens)))
        return tokens + self.mlp_depth(self.mlp(self.norm2(tokens)))

    def _attend(self, tokens: torch.Tensor) -> torch.Tensor:
        # (records, tokens, 3 * width) -> 3 x (records, heads, tokens, width of a head)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.attention_dropout(self.projection(mixed))
