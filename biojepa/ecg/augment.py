"""Augmentations of pretraining: gain and noise jitter, and lead dropout after it.

Ours. A record keeps its meaning when an amplifier's gain or the noise floor changes; with a few
thousand records the encoder otherwise learns these by heart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.lead_dropout import LeadDropout
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError


Augment = Callable[[Signals, BatchKey], Signals]


@dataclass(frozen=True)
class Chain:
    """Several augmentations, one after the other."""

    steps: tuple[Augment, ...]

    def __call__(self, x: Signals, key: BatchKey) -> Signals:
        """Apply them to a batch."""
        for step in self.steps:
            x = step(x, key)
        return x


def augmentation(config: ECGModelConfig) -> Augment | None:
    """The augmentations of these settings; None if there are none."""
    steps: list[Augment] = []
    if config.gain_jitter or config.noise_jitter:
        steps.append(Jitter(config.gain_jitter, config.noise_jitter))
    if config.lead_dropout:
        steps.append(LeadDropout(config.lead_dropout))
    return Chain(tuple(steps)) if steps else None


@dataclass(frozen=True)
class Jitter:
    """Multiply each lead by a random gain and add white noise.

    Parameters
    ----------
    gain : float
        Standard deviation of the natural logarithm of a lead's gain.
    noise : float
        Standard deviation of the noise, in units of the normalised signal.

    Raises
    ------
    ConfigError
        If one is negative or not finite.
    """

    gain: float
    noise: float

    def __post_init__(self) -> None:
        if not (0 <= self.gain < float("inf") and 0 <= self.noise < float("inf")):
            raise ConfigError(
                f"expected finite gain >= 0 and noise >= 0, got {self.gain} and {self.noise}"
            )

    def __call__(self, x: Signals, key: BatchKey) -> Signals:
        """Jitter a batch.

        Parameters
        ----------
        x : Signals
            Values (B, C, T).
        key : BatchKey
            A record's draws depend on its place in the global batch, not on its rank.

        Returns
        -------
        Signals
            New values; what is not valid is left to the encoder to ignore.
        """
        _, n_leads, n_times = x.values.shape
        gains = key.generator("gain").standard_normal((key.size, n_leads), dtype=np.float32)
        values = x.values * torch.from_numpy(np.exp(self.gain * gains[key.rows]))[..., None]
        if self.noise:
            size = (key.size, n_leads, n_times)
            noise = key.generator("noise").standard_normal(size, dtype=np.float32)[key.rows]
            values = values + self.noise * torch.from_numpy(noise)
        return Signals(values, x.positions, x.valid)
