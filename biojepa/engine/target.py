"""What masked prediction predicts: which network gives the targets, and how it follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from biojepa.engine.momentum import PER, WHEN, Schedule
from biojepa.engine.schedules import Linear
from biojepa.errors import ConfigError


@dataclass(frozen=True)
class Target:
    """What is predicted, and how the momentum copy behind it moves.

    Parameters
    ----------
    of : {"all", "contextual", "signal"}
        Copy the whole encoder, or only its contextual part: local features are then computed
        once, by the trained network, for both. "signal": no copy, the hidden patches themselves
        (the encoder's `patches(x)`), which makes it a masked autoencoder, arXiv 2111.06377.
    norm : {"none", "layernorm", "l2"}
        Normalisation of each target token (or patch), without learned weights.
    layers : int
        Targets are the mean over the last so many blocks.
    mode : {"eval", "train"}
        Mode of the copy (dropout, batch statistics).
    update : {"after", "before"}
    per : {"step", "forward", "epoch"}
    momentum : callable (step, total_steps) -> float
    """

    of: str = "all"
    norm: str = "none"
    layers: int = 1
    mode: str = "eval"
    update: str = "after"
    per: str = "step"
    momentum: Schedule = field(default_factory=lambda: Linear(0.996, 1.0))

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "of": ("all", "contextual", "signal"),
            "norm": ("none", "layernorm", "l2"),
        }
        choices |= {"mode": ("eval", "train"), "update": WHEN, "per": PER}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"expected {name} in {allowed}, got {getattr(self, name)!r}")
