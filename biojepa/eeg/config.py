"""What a Signal-JEPA is made of: every number that its weights or its objective depend on.

The defaults are the published network (arXiv:2403.11772; braindecode 1.8) and the paper's masks.
Learning rate, momentum and the number of averaged layers are not published with the EEG settings:
those here are ours, near what the same authors used later, and the docstring says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from biojepa.eeg.local_conv import CONV, n_samples_of, n_tokens_of
from biojepa.eeg.masking import SpaceTimeBlocks, SpatialBlocks
from biojepa.engine.losses import LossKind
from biojepa.engine.settings import check_number, check_types, from_plain, to_plain
from biojepa.errors import ConfigError, LeadError

Masks = Literal["paper", "config", "space-time"]
RegulariserName = Literal["none", "vicreg", "sigreg"]
Position = tuple[float, float, float]

MAX_TOKENS = 65_536  # ours: beyond this attention is out of reach


@dataclass(frozen=True)
class EEGModelConfig:
    """Architecture, masks and targets of a Signal-JEPA.

    Parameters
    ----------
    channels : tuple of str
        Rows of the table of channels.
    positions : tuple of (float, float, float)
        Of these channels, metres in the template's frame (`biojepa.data.montage`); (0, 0, 0) is
        the learned unknown place.
    rate_hz : float
        Sampling rate of the input, hertz.
    n_times : int
        Window of pretraining, samples. The encoder also takes shorter and longer ones.
    conv : tuple of (int, int, int)
        Filters, kernel and stride of each convolution of the local encoder.
    features_hz : float
        Tokens a second; base of the time encoding.
    spat_dim, time_dim : int
        Dimensions of a token that hold place and time.
    dim, depth, heads : int
        Of the contextual encoder.
    pred_depth : int
        Layers of the predictor; its width and heads are the encoder's.
    hidden : int
        Width inside the feed-forward parts; 2048 as published, 32 times the token.
    dropout : float
        In all layers and in attention. 0.1 as published; 0 is about three times faster on a CPU.
    masks : {"paper", "config", "space-time"}
        See `biojepa.eeg.masking`.
    radius : float
        Of a block, head radii: 0.4, 0.6 or 0.8 is "40, 60 or 80 %" in the paper.
    min_unmasked : int
        So many channels, those furthest from the centre, are never masked.
    radius_m : float
        Of a space-time block, metres.
    patches : int
        Tokens that a space-time block lasts.
    mask_ratio : float
        Share of tokens that space-time blocks mask.
    momentum_start, momentum_end : float
        Momentum of the contextual encoder's copy, linear over the run.
    target_norm : {"none", "layernorm", "l2"}
    target_layers : int
        Targets are the mean over the last so many layers; 1 takes the normed output.
    loss : {"l1", "smooth_l1", "mse", "cosine"}
    average : {"tokens", "sets"}
    regulariser : {"none", "vicreg", "sigreg"}
    regulariser_weight : float
    downstream : {"target", "context"}
        The contextual network whose features are used.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    LeadError
        If a channel is named twice.
    """

    channels: tuple[str, ...]
    positions: tuple[Position, ...]
    rate_hz: float = 128.0
    n_times: int = 2080  # 16 tokens; the paper's "16 s" needs 2072, braindecode's 2048 makes 15
    conv: tuple[tuple[int, int, int], ...] = CONV
    features_hz: float = 1.0
    spat_dim: int = 30
    time_dim: int = 34
    dim: int = 64
    depth: int = 8
    heads: int = 8
    pred_depth: int = 4
    hidden: int = 2048
    dropout: float = 0.1
    masks: Masks = "paper"
    radius: float = 0.6  # of the published checkpoint
    min_unmasked: int = 8
    radius_m: float = 0.09  # recommended in arXiv:2609.33487
    patches: int = 2
    mask_ratio: float = 0.55
    momentum_start: float = 0.999  # not published; of the authors' later code
    momentum_end: float = 0.9999
    target_norm: Literal["none", "layernorm", "l2"] = "none"
    target_layers: int = 1  # the published settings say 4, see `recipes`
    loss: LossKind = "l1"
    average: Literal["tokens", "sets"] = "tokens"
    regulariser: RegulariserName = "none"
    regulariser_weight: float = 0.0
    downstream: Literal["target", "context"] = "target"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(str(name) for name in self.channels))
        for name in ("positions", "conv"):
            rows = tuple(tuple(row) for row in getattr(self, name))
            object.__setattr__(self, name, rows)
        self._check()

    def tokens_of(self, n_times: int) -> int:
        """Tokens of one channel that `n_times` samples give; 0 or less if too short."""
        return n_tokens_of(n_times, self.conv)

    def samples_of(self, n_tokens: int) -> int:
        """The fewest samples that give `n_tokens` tokens of a channel."""
        return n_samples_of(n_tokens, self.conv)

    @property
    def n_steps(self) -> int:
        """Tokens of one channel in the pretraining window."""
        return self.tokens_of(self.n_times)

    def sampler(self) -> SpatialBlocks | SpaceTimeBlocks:
        """The mask sampler of these settings, for the channels of any batch."""
        place = np.asarray(self.positions, dtype=np.float64)
        if self.masks == "space-time":
            return SpaceTimeBlocks(
                place,
                self.n_steps,
                radius_m=self.radius_m,
                patches=self.patches,
                mask_ratio=self.mask_ratio,
                conv=self.conv,
            )
        return SpatialBlocks(
            place,
            self.n_steps,
            radius=self.radius,
            min_unmasked=self.min_unmasked,
            reading=self.masks,
            conv=self.conv,
        )

    def for_window(self, n_times: int) -> EEGModelConfig:
        """The same model for another pretraining window, samples."""
        return replace(self, n_times=n_times)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EEGModelConfig:
        """Build from the dict of `to_config`.

        Raises
        ------
        ConfigError
            If a key is unknown (the nearest known one is named) or a value is out of range.
        """
        return from_plain(cls, config, what="model")

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict."""
        rows = {k: [list(row) for row in getattr(self, k)] for k in ("positions", "conv")}
        return to_plain(self) | rows

    def _check(self) -> None:
        check_types(self, _CHOICES)
        if not self.channels or len(self.channels) != len(self.positions):
            raise ConfigError(
                f"expected a position for each of at least one channel, got {len(self.channels)} "
                f"channels and {len(self.positions)} positions"
            )
        if len({name.lower() for name in self.channels}) < len(self.channels):
            raise LeadError(f"expected every channel once, got {', '.join(self.channels)}")
        for row in self.positions:
            if len(row) != 3:
                raise ConfigError(f"expected xyz positions, got {row}")
            for value in row:
                check_number("positions", value)
        for layer in self.conv:
            if len(layer) != 3 or not all(type(n) is int and n >= 1 for n in layer):
                raise ConfigError(f"expected (filters, kernel, stride) above 0, got {layer}")
        for name in ("depth", "heads", "pred_depth", "hidden", "patches", "target_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} >= 1, got {getattr(self, name)}")
        widths = self.spat_dim % 6 or self.time_dim % 2 or self.dim % self.heads
        if widths or self.conv[-1][0] != self.dim or self.spat_dim + self.time_dim != self.dim:
            raise ConfigError(
                "expected spat_dim (a multiple of 6) + time_dim (even) = dim = filters of the "
                f"last convolution, divisible by heads, got {self.spat_dim} + {self.time_dim}, "
                f"{self.dim}, {self.conv[-1][0]} and {self.heads}"
            )
        if not 1 <= self.n_steps * len(self.channels) <= MAX_TOKENS:
            raise ConfigError(
                f"expected a window of 1 to {MAX_TOKENS} tokens, got n_times={self.n_times}: a "
                f"token needs {self.samples_of(1)} samples"
            )
        if self.target_layers > self.depth:
            raise ConfigError(
                f"expected target_layers of 1 to depth={self.depth}, got {self.target_layers}"
            )
        for name in ("dropout", "momentum_start", "momentum_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected 0 <= {name} <= 1, got {getattr(self, name)}")
        if not 0 < self.mask_ratio < 1:
            raise ConfigError(f"expected 0 < mask_ratio < 1, got {self.mask_ratio}")
        if min(self.rate_hz, self.features_hz, self.radius, self.radius_m) <= 0:
            raise ConfigError("expected rate_hz, features_hz, radius and radius_m above 0")
        if self.min_unmasked < 0 or self.regulariser_weight < 0:
            raise ConfigError("expected min_unmasked and regulariser_weight of at least 0")


_CHOICES: dict[str, tuple[Any, ...]] = {
    "masks": ("paper", "config", "space-time"),
    "target_norm": ("none", "layernorm", "l2"),
    "loss": ("l1", "smooth_l1", "mse", "cosine"),
    "average": ("tokens", "sets"),
    "regulariser": ("none", "vicreg", "sigreg"),
    "downstream": ("target", "context"),
}
