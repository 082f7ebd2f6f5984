"""Brain-JEPA: a vision transformer over (region, time patch) tokens of BOLD series.

One token is a patch of time of *one* region; patches of all regions go through one linear layer.
There is no class token. Encoder and predictor have position modules of their own. The predictor is
called once, on the context and all targets of the three masked kinds together; targets are
layer-normalised outputs of the momentum encoder on the whole run, the loss is smooth L1.

Shapes: B batch, R regions, T frames, n time patches, N = R n tokens, D width.

References
----------
Dong et al. 2024, Brain-JEPA: brain dynamics foundation model with gradient positioning and
spatiotemporal masking, arXiv:2409.19407.
"""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.regularisers import Regulariser, SIGReg, VICReg
from biojepa.engine.schedules import Linear
from biojepa.engine.signals import Signals
from biojepa.engine.target import Target
from biojepa.errors import DataError
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.positions import BrainPositions
from biojepa.layers.block import Block, init_transformer
from biojepa.layers.patch import PatchEmbed1d
from biojepa.layers.predictor import JointPredictor
from biojepa.layers.trunk import Trunk


class BrainEncoder(Trunk):
    """Encoder of region time series.

    Parameters
    ----------
    config : BrainModelConfig
        Kept as `config`.
    """

    registers: None = None

    def __init__(self, config: BrainModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed1d(1, config.patch, config.dim)
        self.positions = _positions(config, config.dim)
        self.blocks = nn.ModuleList(
            Block(
                config.dim,
                config.heads,
                mlp_ratio=config.mlp_ratio,
                norm_eps=config.norm_eps,
                drop_path=config.drop_path * i / max(1, config.depth - 1),
            )
            for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        init_transformer(self, depth=config.init_depth, std=config.init_std)

    def embed(self, x: Signals) -> Tensor:
        """Tokens with their positions, before any is dropped.

        Parameters
        ----------
        x : Signals
            Values (B, R, T), normalised. `positions`, (R, G), are the gradients of another atlas
            than the model's own. Where `valid`, (B, R) or (B, R, T), is False the values count
            as zero, whatever they hold.

        Returns
        -------
        Tensor, shape (B, R n, D)
            Region by region; a rest shorter than a patch is cut.

        Raises
        ------
        DataError
            If the number of regions is another, or a run is shorter than a patch.
        """
        values, patch = x.values, self.config.patch
        gradients = self.positions.gradients if x.positions is None else x.positions
        if values.ndim != 3 or values.shape[1] != len(gradients):
            raise DataError(
                f"expected (runs, {len(gradients)} regions, frames), got shape "
                f"{tuple(values.shape)}: arrange the regions in the order of the gradients"
            )
        if values.shape[2] < patch:
            raise DataError(
                f"expected at least one patch of {patch} frames, got {values.shape[2]}: use "
                "longer runs"
            )
        if x.valid is not None:
            seen = x.valid if x.valid.ndim == 3 else x.valid[..., None]
            values = values.masked_fill(~seen, 0.0)
        tokens = self.patch_embed(values.flatten(0, 1)[:, None])
        tokens = tokens.reshape(len(values), -1, self.config.dim)
        return tokens + self.positions(x.positions, tokens.shape[1])

    def token_valid(self, x: Signals) -> Tensor | None:
        """Which tokens hold anything, (B, N), or None if all do.

        A flat or missing region has none, padding in time has none. A run without any valid frame
        counts as a run of zeros.
        """
        if x.valid is None:
            return None
        patch = self.config.patch
        B, R, T = x.values.shape
        n = T // patch
        seen = x.valid if x.valid.ndim == 3 else x.valid[..., None].expand(B, R, T)
        valid = seen[..., : n * patch].reshape(B, R * n, patch).any(dim=2)
        return valid | ~valid.any(dim=1, keepdim=True)


def build_jepa(
    config: BrainModelConfig, *, gradients: ArrayLike | Tensor | None = None, seed: int = 0
) -> MaskedJEPA:
    """Assemble a Brain-JEPA with fresh weights.

    Parameters
    ----------
    config : BrainModelConfig
    gradients : array, shape (R, G), optional
        Of the model's atlas, see `BrainGradients`; zeros without.
    seed : int
        Of the initialisation; the caller's random state is left alone.

    Returns
    -------
    MaskedJEPA

    Raises
    ------
    DataError
        If the gradients have another shape.
    """
    with keyed_torch_rng(seed, "init"):
        encoder = BrainEncoder(config)
        predictor = build_predictor(config)
    if gradients is not None:
        for part in (*encoder.modules(), *predictor.modules()):
            if isinstance(part, BrainPositions):
                part.set_gradients(torch.as_tensor(gradients, dtype=torch.float32))
    target = Target(
        of="all",
        norm=config.target_norm,
        layers=config.target_layers,
        update="after",
        per="step",
        momentum=Linear(config.momentum_start, config.momentum_end),
    )
    return MaskedJEPA(
        encoder,
        predictor,
        config.sampler(),
        target=target,
        loss=config.loss,
        average=config.average,
        regulariser=_regulariser(config),
        downstream=config.downstream,
    )


def build_predictor(config: BrainModelConfig) -> JointPredictor:
    """The predictor, drawn from torch's global generator."""
    predictor = JointPredictor(
        config.dim,
        config.pred_dim,
        config.pred_depth,
        config.pred_heads,
        _positions(config, config.pred_dim),
        mlp_ratio=config.mlp_ratio,
        norm_eps=config.norm_eps,
    )
    init_transformer(predictor, depth=config.init_depth, std=config.init_std)
    return predictor


def model_gradients(jepa: MaskedJEPA) -> Tensor:
    """The gradients (R, G) of the atlas that a model was made for."""
    encoder: BrainEncoder = jepa.encoder
    return encoder.positions.gradients


def _positions(config: BrainModelConfig, dim: int) -> BrainPositions:
    return BrainPositions(dim, config.n_regions, config.n_gradients, kind=config.region_positions)


def _regulariser(config: BrainModelConfig) -> Regulariser | None:
    if config.regulariser == "vicreg":
        return VICReg(weight=config.regulariser_weight)
    if config.regulariser == "sigreg":
        return SIGReg(weight=config.regulariser_weight)
    return None
