"""What a Brain-JEPA model is made of: every number that its weights or its objective depend on.

The defaults are the published ViT-B (arXiv 2409.19407): 450 regions, 160 frames in patches of 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from biojepa.engine.losses import LossKind
from biojepa.engine.settings import check_number, check_types, from_plain, to_plain
from biojepa.errors import ConfigError
from biojepa.fmri.masking import SpatioTemporalSampler

RegulariserName = Literal["none", "vicreg", "sigreg"]
TargetNorm = Literal["none", "layernorm", "l2"]
RegionPositions = Literal["gradients", "learned", "none"]
MAX_TOKENS = 65_536  # ours: beyond this the position table and attention are out of reach

# encoder and predictor (paper, appendix B); the predictor has as many heads as the encoder
SIZES: dict[str, dict[str, int]] = {
    "s": {"dim": 384, "depth": 12, "heads": 6, "pred_dim": 192, "pred_depth": 6, "pred_heads": 6},
    "b": {"dim": 768, "depth": 12, "heads": 12}
    | {"pred_dim": 384, "pred_depth": 6, "pred_heads": 12},
    "l": {"dim": 1024, "depth": 24, "heads": 16}
    | {"pred_dim": 384, "pred_depth": 12, "pred_heads": 16},
}


@dataclass(frozen=True)
class BrainModelConfig:
    """Architecture, masks and targets of a Brain-JEPA.

    Parameters
    ----------
    n_regions : int
        Of the model's own atlas; with gradient positions other atlases can be used too.
    n_times : int
        Window of pretraining, frames at the model's TR. The encoder also takes others.
    patch : int
        Frames per token.
    n_gradients : int
        Connectivity gradients per region.
    dim, depth, heads : int
        Of the encoder.
    pred_dim, pred_depth, pred_heads : int
        Of the predictor.
    mlp_ratio, norm_eps : float
        Of both.
    drop_path : float
        Largest probability of dropping a residual branch; grows linearly with depth.
    region_positions : {"gradients", "learned", "none"}
    init_std : float
        Of the initial weights.
    init_rescale : bool
        Scale the residual projections' initial weights down by depth; the published code undoes
        its own rescaling.
    observe, cross_roi, cross_roi_time, cross_time, cross_time_width : (float, float)
        Ranges of the masks, see `SpatioTemporalSampler`.
    mask_recipe : {"default", "paper"}
    momentum_start, momentum_end : float
        Momentum of the target encoder, linear over the run, moved after the step.
    target_norm : {"layernorm", "none", "l2"}
    target_layers : int
        Targets are the mean over the last so many blocks.
    loss : {"smooth_l1", "l1", "mse", "cosine"}
    average : {"tokens", "groups"}
        Every target token counts alike (published code), or each of the three masked kinds of a
        run (paper, which also has `loss="mse"`).
    regulariser : {"none", "vicreg", "sigreg"}
        Keeps the context encoder's output from collapsing.
    regulariser_weight : float
    downstream : {"target", "context"}
        The network whose features are used.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    n_regions: int = 450
    n_times: int = 160
    patch: int = 16
    n_gradients: int = 30
    dim: int = 768
    depth: int = 12
    heads: int = 12
    pred_dim: int = 384
    pred_depth: int = 6
    pred_heads: int = 12
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-6
    drop_path: float = 0.0
    region_positions: RegionPositions = "gradients"
    init_std: float = 0.02
    init_rescale: bool = False
    observe: tuple[float, float] = (0.84, 1.0)
    cross_roi: tuple[float, float] = (0.45, 0.60)
    cross_roi_time: tuple[float, float] = (0.2, 0.6)
    cross_time: tuple[float, float] = (0.15, 0.30)
    cross_time_width: tuple[float, float] = (0.0, 0.4)
    mask_recipe: str = "default"
    momentum_start: float = 0.996
    momentum_end: float = 1.0
    target_norm: TargetNorm = "layernorm"
    target_layers: int = 1
    loss: LossKind = "smooth_l1"
    average: Literal["tokens", "groups"] = "tokens"
    regulariser: RegulariserName = "none"
    regulariser_weight: float = 0.0
    downstream: Literal["target", "context"] = "target"

    def __post_init__(self) -> None:
        for name in _RANGES:  # JSON has lists
            value: Any = getattr(self, name)
            if not isinstance(value, list | tuple):
                raise ConfigError(f"expected two shares for {name}, got {value!r}")
            object.__setattr__(self, name, tuple(value))
        self._check()

    @property
    def n_patches(self) -> int:
        """Time patches of the pretraining window; a rest shorter than a patch is cut."""
        return self.n_times // self.patch

    @property
    def n_tokens(self) -> int:
        """Tokens of the pretraining window."""
        return self.n_regions * self.n_patches

    @property
    def init_depth(self) -> int | None:
        """Depth that scales the residual initialisation; None for none."""
        return self.depth if self.init_rescale else None

    def sampler(self) -> SpatioTemporalSampler:
        """The mask sampler of these settings."""
        return SpatioTemporalSampler(
            self.n_regions,
            self.n_patches,
            patch=self.patch,
            recipe=self.mask_recipe,
            **{name: getattr(self, name) for name in _RANGES},
        )

    def for_window(self, n_times: int) -> BrainModelConfig:
        """The same model for another pretraining window, frames."""
        return replace(self, n_times=n_times)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BrainModelConfig:
        """Build from the dict of `to_config`.

        Raises
        ------
        ConfigError
            If a key is unknown (the nearest known one is named) or a value is out of range.
        """
        return from_plain(cls, config, what="model")

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict."""
        return to_plain(self)

    def _check(self) -> None:
        check_types(self, _CHOICES)
        counts = ["n_regions", "patch", "n_gradients", "dim", "depth", "heads"]
        for name in [*counts, "pred_dim", "pred_depth", "pred_heads"]:
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} >= 1, got {getattr(self, name)}")
        for width, heads in (("dim", "heads"), ("pred_dim", "pred_heads")):
            value = getattr(self, width)
            if value % getattr(self, heads) or value % 4:
                raise ConfigError(
                    f"expected a {width} divisible by 4 (two halves of sines and cosines) and by "
                    f"{heads}, got {value} and {getattr(self, heads)}"
                )
        if not (self.n_patches >= 1 and 2 <= self.n_tokens <= MAX_TOKENS):
            raise ConfigError(
                f"expected a window of 2 to {MAX_TOKENS} tokens, got {self.n_regions} regions of "
                f"n_times={self.n_times} frames in patches of {self.patch}"
            )
        for name in ("momentum_start", "momentum_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected 0 <= {name} <= 1, got {getattr(self, name)}")
        if not 1 <= self.target_layers <= self.depth:
            raise ConfigError(
                f"expected target_layers of 1 to depth={self.depth}, got {self.target_layers}"
            )
        if not 0 <= self.drop_path < 1 or self.mlp_ratio <= 0 or self.norm_eps <= 0:
            raise ConfigError(
                "expected 0 <= drop_path < 1, mlp_ratio > 0 and norm_eps > 0, got "
                f"{self.drop_path}, {self.mlp_ratio} and {self.norm_eps}"
            )
        if self.regulariser_weight < 0:
            raise ConfigError(f"expected regulariser_weight >= 0, got {self.regulariser_weight}")
        for name in _RANGES:
            for share in getattr(self, name):
                check_number(name, share)
        self.sampler()


_RANGES = ("observe", "cross_roi", "cross_roi_time", "cross_time", "cross_time_width")
_CHOICES: dict[str, tuple[Any, ...]] = {
    "region_positions": get_args(RegionPositions),
    "mask_recipe": ("default", "paper"),
    "target_norm": get_args(TargetNorm),
    "loss": get_args(LossKind),
    "average": ("tokens", "groups"),
    "regulariser": get_args(RegulariserName),
    "downstream": ("target", "context"),
}
