"""Masked autoencoding around MTECG's encoder."""

import torch
from torch import nn

from ecgsk._core.public import public
from ecgsk.networks._layers import set_dropout, set_stochastic_depth, sine_cosine_positions
from ecgsk.networks._mtecg import MTECG, Block, pick_tokens

RECONSTRUCTION_TARGETS = ("fluctuation", "raw", "normalized")


@public("ecgsk.networks")
class MaskedMTECG(nn.Module):
    """MTECG's encoder over the segments that are seen, and a small decoder that fills the rest.

    Only segments that are seen pass the encoder, which makes a step cheaper the more are masked.
    The decoder gets their tokens and one learned token in the place of each masked segment, both
    with positions, and predicts the masked segments of all leads.

    Parameters
    ----------
    n_leads, n_samples : int, default=12, 5000
        Leads and samples of a record.
    mask_ratio : float, default=0.5
        Share of the segments that are masked; at least one is, and at least one is seen.
    target : {"fluctuation", "raw", "normalized"}, default="fluctuation"
        What is predicted of a masked segment, for each lead by itself: its deflections about its
        own mean; its values; or its deflections divided by their own deviation, which makes the
        noise of a flat segment as large as a QRS complex.
    decoder_width, decoder_depth, decoder_heads : int, default=128, 1, 4
        Size of the decoder's tokens, its blocks, attention heads in each.
    **encoder
        As `MTECG` takes it.

    References
    ----------
    Zhou Y et al. Masked transformer for electrocardiogram classification. arXiv:2309.07136: names
    a one-layer decoder and a fluctuated target without a public definition of the latter; the one
    here is ours. He K et al. Masked autoencoders are scalable vision learners. CVPR 2022.
    """

    no_weight_decay = frozenset(
        {"encoder.cls_token", "encoder.positions", "mask_token", "decoder_positions"}
    )
    branches_per_block = 2

    def __init__(
        self,
        n_leads: int = 12,
        n_samples: int = 5000,
        *,
        mask_ratio: float = 0.5,
        target: str = "fluctuation",
        decoder_width: int = 128,
        decoder_depth: int = 1,
        decoder_heads: int = 4,
        **encoder,
    ):
        super().__init__()
        if target not in RECONSTRUCTION_TARGETS:
            raise ValueError(f"target={target!r} is not allowed; use {RECONSTRUCTION_TARGETS}.")
        if decoder_width % decoder_heads:
            raise ValueError(
                f"decoder_width={decoder_width} is no multiple of decoder_heads={decoder_heads}: "
                "choose one."
            )
        self.encoder = MTECG(n_leads, n_samples, 1, start="sine-cosine", **encoder)
        # The classifier's head has no part in pre-training.
        self.encoder.head = nn.Identity()
        n_tokens = self.encoder.n_tokens
        if n_tokens < 2:
            raise ValueError(
                f"n_samples={n_samples} makes one segment of patch_size="
                f"{self.encoder.patch_size}: masking needs two. Choose a smaller patch_size."
            )
        self.n_leads = n_leads
        self.n_samples = n_samples
        self.target = target
        self.n_masked = min(max(1, round(mask_ratio * n_tokens)), n_tokens - 1)
        width = self.encoder.patch_embed.out_features
        self.decoder_embed = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_positions = nn.Parameter(torch.zeros(1, 1 + n_tokens, decoder_width))
        self.decoder_blocks = nn.ModuleList(
            Block(decoder_width, decoder_heads, 4.0) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=1e-6)
        self.head = nn.Linear(decoder_width, n_leads * self.encoder.patch_size)
        self.n_layers = self.encoder.n_layers
        self._initialize()
        # Masking is regularization enough; training stages set what the encoder gets.
        set_stochastic_depth(self, 0.0)
        set_dropout(self, 0.0)

    def _initialize(self) -> None:
        for part in (self.decoder_embed, self.decoder_blocks, self.head):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.mask_token, std=0.02)
        self.decoder_positions.data[0, 1:] = sine_cosine_positions(
            *self.decoder_positions[0, 1:].shape
        )

    def draw_order(self, n_records: int) -> torch.Tensor:
        """Return a random order of the segments for each record; the last ones are masked.

        Returns
        -------
        Tensor of int of shape (n_records, n_tokens)
            Numbers of segments; the last ``n_masked`` of a row are masked.
        """
        # Drawn on the CPU, so that a seed masks alike on every device.
        return torch.rand(n_records, self.encoder.n_tokens).argsort(dim=1)

    def segments(self, x: torch.Tensor) -> torch.Tensor:
        """Return records cut into segments, divided by the encoder's ``input_scale``."""
        return self.encoder.segment(x / self.encoder.input_scale)

    def features(self, segments: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Return the decoder's tokens of the masked segments.

        Parameters
        ----------
        segments : Tensor of shape (n_records, n_tokens, n_leads * patch_size)
            As `segments` returns them.
        order : Tensor of int of shape (n_records, n_tokens)
            As `draw_order` returns it.

        Returns
        -------
        Tensor of shape (n_records, n_masked, decoder_width)
            What ``head`` reads.
        """
        seen, masked = order[:, : -self.n_masked], order[:, -self.n_masked :]
        tokens = self.decoder_embed(self.encoder.norm(self.encoder.encode(segments, seen)))
        positions = self.decoder_positions.expand(len(segments), -1, -1)
        tokens = torch.cat(
            [
                tokens[:, :1] + positions[:, :1],
                tokens[:, 1:] + pick_tokens(positions[:, 1:], seen),
                (self.mask_token + pick_tokens(positions[:, 1:], masked)).to(tokens.dtype),
            ],
            dim=1,
        )
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_norm(tokens[:, -self.n_masked :])

    def targets(self, segments: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Return what the masked segments' predictions are compared with.

        Returns
        -------
        Tensor of shape (n_records, n_masked, n_leads * patch_size)
            In units of ``input_scale``, or of a segment's own deviation for "normalized".
        """
        masked = pick_tokens(segments, order[:, -self.n_masked :])
        if self.target == "raw":
            return masked
        by_lead = masked.unflatten(2, (self.n_leads, -1))
        by_lead = by_lead - by_lead.mean(dim=-1, keepdim=True)
        if self.target == "normalized":
            # The floor is a hundredth of a typical record's deviation: noise, not signal.
            by_lead = by_lead / (by_lead.square().mean(dim=-1, keepdim=True) + 1e-4).sqrt()
        return by_lead.flatten(2)

    def layer_of(self, parameter_name: str) -> int:
        """Return the depth of a parameter; the decoder stands where a classifier has its head."""
        first, _, rest = parameter_name.partition(".")
        return self.encoder.layer_of(rest) if first == "encoder" else self.n_layers - 1
