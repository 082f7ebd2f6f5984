"""ECG-JEPA: a plain vision transformer over time patches of all leads, and how it is pretrained.

One token is a patch of time of *all* leads; there is no lead axis of tokens. Fixed interleaved
sine-cosine positions are added before tokens are dropped; a learned register without position goes
first. The predictor is as deep as the encoder at half its width and predicts everything that the
context does not hold in one pass; the loss is L1 on the raw output of the momentum encoder.

Shapes: B batch, C leads, T samples, N tokens, R registers, D width.

References
----------
Weimann & Conrad 2024, Self-supervised pre-training with joint-embedding predictive architecture
boosts ECG classification performance, arXiv:2410.13867.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biojepa.ecg.augment import augmentation
from biojepa.ecg.config import ECGModelConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.record_head import RecordHead
from biojepa.engine.regularisers import named_regulariser
from biojepa.engine.schedules import Linear
from biojepa.engine.signals import Signals
from biojepa.engine.target import Target
from biojepa.errors import DataError, LeadError
from biojepa.layers.block import Block, init_transformer
from biojepa.layers.patch import PatchEmbed1d, cut_patches
from biojepa.layers.positions import sincos_1d
from biojepa.layers.predictor import JointPredictor
from biojepa.layers.trunk import Trunk


class ECGEncoder(Trunk):
    """Encoder of 12-lead (or other) ECG.

    Parameters
    ----------
    config : ECGModelConfig
        Kept as `config`.
    patch_embed : nn.Module, optional
        From values (B, C, T) to tokens (B, N, D), in place of the linear patches.
    """

    positions: Tensor

    def __init__(self, config: ECGModelConfig, *, patch_embed: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        dim, R = config.dim, config.registers
        self.registers = nn.Parameter(torch.zeros(1, R, dim)) if R else None
        self.patch_embed = patch_embed or PatchEmbed1d(
            len(config.leads), config.patch, dim, bias=config.bias
        )
        self.blocks = nn.ModuleList(
            Block(
                dim,
                config.heads,
                mlp_ratio=config.mlp_ratio,
                bias=config.bias,
                qkv_bias=config.qkv_bias,
                norm_bias=config.has_norm_bias,
                norm_eps=config.norm_eps,
                layer_scale=config.layer_scale,
                dropout=config.dropout,
                attn_dropout=config.attn_dropout,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=config.norm_eps, bias=config.has_norm_bias)
        table = sincos_1d(config.n_tokens, dim, order="interleaved")
        self.register_buffer("positions", table[None], persistent=False)
        init_transformer(self, depth=config.depth, std=config.init_std)

    def embed(self, x: Signals) -> Tensor:
        """Tokens with their positions, before any is dropped.

        Parameters
        ----------
        x : Signals
            Values (B, C, T), normalised. Where `valid`, (B, C) or (B, C, T), is False the values
            count as zero, whatever they hold.

        Returns
        -------
        Tensor, shape (B, N, D)

        Raises
        ------
        LeadError
            If the number of leads is another.
        DataError
            If the window is shorter than a patch.
        """
        tokens = self.patch_embed(self._values(x))
        return tokens + self._positions(tokens.shape[1])

    def patches(self, x: Signals) -> Tensor:
        """The signal as a masked autoencoder predicts it, (B, N, C * patch).

        Raises
        ------
        LeadError, DataError
            As `embed`.
        """
        return cut_patches(self._values(x), self.config.patch)

    def token_valid(self, x: Signals) -> Tensor | None:
        """Which tokens hold anything, (B, N), or None if all do.

        Only padding in time, `valid` of shape (B, C, T), makes a token invalid. A record without
        any valid sample counts as a record of zeros.
        """
        if x.valid is None or x.valid.ndim == 2:
            return None
        patch = self.config.patch
        seen = x.valid.any(dim=1)
        N = seen.shape[1] // patch
        valid = seen[:, : N * patch].view(len(seen), N, patch).any(dim=2)
        return valid | ~valid.any(dim=1, keepdim=True)

    def _values(self, x: Signals) -> Tensor:
        """Checked values (B, C, T), zero where they are not valid."""
        values, leads, patch = x.values, self.config.leads, self.config.patch
        if values.ndim != 3 or values.shape[1] != len(leads):
            raise LeadError(
                f"expected (records, {len(leads)} leads, times) with {', '.join(leads)}, got shape "
                f"{tuple(values.shape)}: arrange the leads by name first"
            )
        if values.shape[2] < patch:
            raise DataError(
                f"expected at least one patch of {patch} samples, got {values.shape[2]}: use "
                "longer recordings"
            )
        if x.valid is not None:
            seen = x.valid if x.valid.ndim == 3 else x.valid[..., None]
            values = values.masked_fill(~seen, 0.0)
        return values

    def _positions(self, n_tokens: int) -> Tensor:
        if n_tokens > self.positions.shape[1]:
            table = sincos_1d(n_tokens, self.config.dim, order="interleaved")
            self.positions = table[None].to(self.positions)
        return self.positions[:, :n_tokens]


def build_jepa(
    config: ECGModelConfig, *, seed: int = 0, patch_embed: nn.Module | None = None
) -> MaskedJEPA:
    """Assemble an ECG-JEPA with fresh weights.

    Parameters
    ----------
    config : ECGModelConfig
    seed : int
        Of the initialisation; the caller's random state is left alone.
    patch_embed : nn.Module, optional
        In place of the encoder's linear patches; see `ECGEncoder`.

    Returns
    -------
    MaskedJEPA

    Raises
    ------
    ConfigError
        If the mask settings do not fit the window.
    """
    sampler = config.sampler()
    with keyed_torch_rng(seed, "init"):
        encoder = ECGEncoder(config, patch_embed=patch_embed)
        predictor = build_predictor(config)
        weight = config.record_weight
        record_head = RecordHead(config.dim, weight=weight) if weight else None
    target = Target(
        of="signal" if config.predicts == "signal" else "all",
        norm=config.target_norm,
        layers=config.target_layers,
        update=config.momentum_update,
        per=config.momentum_per,
        momentum=Linear(config.momentum_start, config.momentum_end),
    )
    return MaskedJEPA(
        encoder,
        predictor,
        sampler,
        target=target,
        loss=config.loss,
        average=config.average,
        regulariser=named_regulariser(config.regulariser, config.regulariser_weight),
        record_head=record_head,
        downstream=config.downstream,
        augment=augmentation(config),
    )


def build_predictor(config: ECGModelConfig) -> JointPredictor:
    """The predictor, drawn from torch's global generator."""
    return JointPredictor(
        config.dim,
        config.pred_dim,
        config.pred_depth,
        config.pred_heads,
        sincos_1d(config.n_tokens, config.pred_dim, order="interleaved"),
        mlp_ratio=config.mlp_ratio,
        bias=config.bias,
        qkv_bias=config.qkv_bias,
        norm_bias=config.has_norm_bias,
        norm_eps=config.norm_eps,
        layer_scale=config.layer_scale,
        dropout=config.dropout,
        attn_dropout=config.attn_dropout,
        init_depth=config.depth,  # the encoder's, as published
        init_std=config.init_std,
        out_dim=len(config.leads) * config.patch if config.predicts == "signal" else None,
    )
