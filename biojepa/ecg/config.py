"""What an ECG-JEPA model is made of: every number that its weights or its objective depend on.

The defaults are the published ViT-XS (arXiv 2410.13867): 12 leads at 500 Hz, 10 s, tokens of 50 ms
of all leads, no bias anywhere, not even in LayerNorm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from biojepa.data.leads import STANDARD_12, canonical_leads
from biojepa.ecg.masking import BlockSampler
from biojepa.engine.losses import LossKind
from biojepa.engine.settings import check_names, check_number, check_types, from_plain, to_plain
from biojepa.errors import ConfigError

RegulariserName = Literal["none", "vicreg", "sigreg"]
TargetNorm = Literal["none", "layernorm", "l2"]
MAX_TOKENS = 65_536  # ours: beyond this the position table and attention are out of reach

# dim, depth, heads of the encoder and of the predictor (published table of sizes)
SIZES: dict[str, dict[str, int]] = {
    "xs": {"dim": 192, "depth": 8, "heads": 4, "pred_dim": 96, "pred_depth": 8, "pred_heads": 4},
    "s": {"dim": 384, "depth": 8, "heads": 6, "pred_dim": 192, "pred_depth": 8, "pred_heads": 6},
    "b": {"dim": 768, "depth": 12, "heads": 12}
    | {"pred_dim": 384, "pred_depth": 12, "pred_heads": 12},
}


@dataclass(frozen=True)
class ECGModelConfig:
    """Architecture, masks and targets of an ECG-JEPA.

    Parameters
    ----------
    leads : tuple of str
        In the order of the input's channels; spelling is made canonical.
    rate_hz : float
        Sampling rate of the input, hertz.
    n_times : int
        Window of pretraining, samples. The encoder also takes shorter and longer ones.
    patch : int
        Samples per token.
    dim, depth, heads : int
        Of the encoder.
    pred_dim, pred_depth, pred_heads : int
        Of the predictor.
    mlp_ratio : float
        Of both.
    bias, qkv_bias : bool
        `bias=False` removes the bias of every layer and of every LayerNorm.
    norm_bias : bool or None
        Of the LayerNorms; None follows `bias`. True with `bias=False`: first published code.
    registers : int
        Learned tokens without position that the encoder puts before the others.
    init_std : float
        Of the initial weights; 0.02 is made for widths of several hundred.
    norm_eps : float
    layer_scale : float
        Start of a learned factor on each residual branch; 0 for none.
    dropout, attn_dropout : float
    keep : (float, float)
        Share of tokens seen as context, drawn uniformly between these per batch.
    min_block : int
        Shortest masked block, tokens.
    mask_recipe : {"paper", "default"}
        Block masks as published (ends of the record are hardly ever predicted) or unbiased.
    momentum_start, momentum_end : float
        Momentum of the target encoder, linear over the run.
    momentum_update : {"before", "after"}
        Before the forward pass or after the optimiser step.
    momentum_per : {"forward", "step"}
        Once per forward pass (twice a step with two micro-batches) or per step.
    target_norm : {"none", "layernorm", "l2"}
        Of each target token, without learned weights.
    target_layers : int
        Targets are the mean over the last so many blocks.
    loss : {"l1", "smooth_l1", "mse", "cosine"}
    average : {"tokens", "sets"}
        What counts alike: every target token, or every record.
    regulariser : {"none", "vicreg", "sigreg"}
        Keeps the context encoder's output from collapsing.
    regulariser_weight : float
    record_weight : float
        Of a second target beside the tokens': the mean over all tokens of the record.
    lead_dropout : float
        Probability that a lead is blanked in pretraining, for models that serve fewer leads.
    gain_jitter, noise_jitter : float
        Spread of a lead's random gain (natural logarithm) and of white noise that is added, in
        units of the normalised signal.
    time_stretch : float
        Windows of pretraining are up to this share longer or shorter, then resampled.
    downstream : {"target", "context"}
        The network whose features are used.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    LeadError
        If a lead is named twice.
    """

    leads: tuple[str, ...] = STANDARD_12
    rate_hz: float = 500.0
    n_times: int = 5000
    patch: int = 25
    dim: int = 192
    depth: int = 8
    heads: int = 4
    pred_dim: int = 96
    pred_depth: int = 8
    pred_heads: int = 4
    mlp_ratio: float = 4.0
    bias: bool = False
    qkv_bias: bool = False
    norm_bias: bool | None = None
    registers: int = 1
    init_std: float = 0.02
    norm_eps: float = 1e-6
    layer_scale: float = 0.0
    dropout: float = 0.0
    attn_dropout: float = 0.0
    keep: tuple[float, float] = (0.15, 0.25)
    min_block: int = 10
    mask_recipe: str = "paper"
    momentum_start: float = 0.998
    momentum_end: float = 0.9995
    momentum_update: str = "before"
    momentum_per: str = "forward"
    target_norm: TargetNorm = "none"
    target_layers: int = 1
    loss: LossKind = "l1"
    average: Literal["tokens", "sets"] = "tokens"
    regulariser: RegulariserName = "none"
    regulariser_weight: float = 0.0
    record_weight: float = 0.0
    lead_dropout: float = 0.0
    gain_jitter: float = 0.0
    noise_jitter: float = 0.0
    time_stretch: float = 0.0
    downstream: Literal["target", "context"] = "target"

    def __post_init__(self) -> None:
        check_names(self.leads)
        if not isinstance(self.keep, Iterable):
            raise ConfigError(f"expected keep=(low, high), got {self.keep!r}")
        object.__setattr__(self, "leads", canonical_leads(self.leads))
        object.__setattr__(self, "keep", tuple(self.keep))
        self._check()

    @property
    def n_tokens(self) -> int:
        """Tokens of the pretraining window; a rest shorter than a patch is cut."""
        return self.n_times // self.patch

    @property
    def has_norm_bias(self) -> bool:
        """Whether the LayerNorms have a bias."""
        return self.bias if self.norm_bias is None else self.norm_bias

    def sampler(self) -> BlockSampler:
        """The block sampler of these settings.

        Raises
        ------
        ConfigError
            If they do not fit the number of tokens; see `for_window`.
        """
        return BlockSampler(
            self.n_tokens, keep=self.keep, min_block=self.min_block, recipe=self.mask_recipe
        )

    def for_window(self, n_times: int) -> ECGModelConfig:
        """The same model for another pretraining window.

        Parameters
        ----------
        n_times : int
            Samples; at least two patches. On short windows `min_block` and the share of tokens
            kept are lowered until there is something to see and something to predict.

        Raises
        ------
        ConfigError
            If the window is shorter than two patches.
        """
        sampler = self.sampler().for_tokens(n_times // self.patch)
        return replace(self, n_times=n_times, keep=sampler.keep, min_block=sampler.min_block)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ECGModelConfig:
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
        _check_types(self)
        if not self.leads:
            raise ConfigError("expected at least one lead, got none")
        for name in ("patch", "dim", "depth", "heads", "pred_dim", "pred_depth", "pred_heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} >= 1, got {getattr(self, name)}")
        for width, heads in (("dim", "heads"), ("pred_dim", "pred_heads")):
            value = getattr(self, width)
            if value % getattr(self, heads) or value % 2:
                raise ConfigError(
                    f"expected an even {width} divisible by {heads}, got {value} and "
                    f"{getattr(self, heads)}"
                )
        if not 2 <= self.n_tokens <= MAX_TOKENS:
            raise ConfigError(
                f"expected a window of 2 to {MAX_TOKENS} tokens, got n_times={self.n_times} "
                f"samples in patches of {self.patch}"
            )
        for name in ("dropout", "attn_dropout", "lead_dropout", "time_stretch"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"expected 0 <= {name} < 1, got {getattr(self, name)}")
        for name in ("momentum_start", "momentum_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected 0 <= {name} <= 1, got {getattr(self, name)}")
        if not 1 <= self.target_layers <= self.depth:
            raise ConfigError(
                f"expected target_layers of 1 to depth={self.depth}, got {self.target_layers}"
            )
        if self.registers < 0 or self.mlp_ratio <= 0 or self.norm_eps <= 0:
            raise ConfigError(
                "expected registers >= 0, mlp_ratio > 0 and norm_eps > 0, got "
                f"{self.registers}, {self.mlp_ratio} and {self.norm_eps}"
            )


_CHOICES: dict[str, tuple[Any, ...]] = {
    "mask_recipe": ("paper", "default"),
    "momentum_update": ("before", "after"),
    "momentum_per": ("forward", "step"),
    "target_norm": get_args(TargetNorm),
    "loss": get_args(LossKind),
    "average": ("tokens", "sets"),
    "regulariser": get_args(RegulariserName),
    "downstream": ("target", "context"),
    "norm_bias": (None, False, True),
}


def _check_types(config: ECGModelConfig) -> None:
    """Refuse values of another type, as files may hold them, before they are compared."""
    check_types(config, _CHOICES)
    if len(config.keep) != 2:
        raise ConfigError(f"expected keep=(low, high), got {config.keep!r}")
    for share in config.keep:
        check_number("keep", share)
    if config.rate_hz <= 0 or config.layer_scale < 0:
        raise ConfigError(
            "expected rate_hz > 0 and layer_scale >= 0, got "
            f"{config.rate_hz} and {config.layer_scale}"
        )
    for name in ("regulariser_weight", "record_weight", "gain_jitter", "noise_jitter"):
        if getattr(config, name) < 0:
            raise ConfigError(f"expected {name} >= 0, got {getattr(config, name)}")
