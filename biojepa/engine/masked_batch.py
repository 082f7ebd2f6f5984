"""Batches for masked prediction: signals, and the masks drawn for them in the loader.

Shapes: B batch, C channels, T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import MaskPlan, Signals


class Sampler(Protocol):
    """Draws which tokens are seen and which are predicted."""

    def __call__(
        self, n_samples: int, rng: np.random.Generator, *, rows: np.ndarray | None = None
    ) -> list[MaskPlan]:
        """Plans for a global batch of `n_samples`; only its `rows` are returned if given."""


def sampler_for(sampler: Sampler, x: Signals) -> Sampler:
    """The sampler for the layout of a batch: its `for_signals(x)`, if it has one."""
    chosen: Sampler = sampler.for_signals(x) if hasattr(sampler, "for_signals") else sampler
    return chosen


def few_targets(plans: Sequence[MaskPlan], n_tokens: int) -> Tensor | None:
    """The targets (B, M) of a step that asks for one set of less than half of the tokens."""
    sets = [index for plan in plans for index in plan.targets]
    return sets[0] if len(sets) == 1 and 2 * sets[0].shape[1] < n_tokens else None


@dataclass(frozen=True)
class MaskedBatch:
    """Signals and the mask plans drawn for them."""

    signals: Signals
    plans: tuple[MaskPlan, ...]

    def __len__(self) -> int:
        return len(self.signals)


@dataclass(frozen=True)
class MaskedCollator:
    """Draws mask plans for a batch; runs in loader workers.

    Parameters
    ----------
    sampler : Sampler
    augment : callable (Signals, BatchKey) -> Signals, optional
        Lead dropout and the like.
    """

    sampler: Sampler
    augment: Callable[[Signals, BatchKey], Signals] | None = None

    def __call__(self, samples: Any, key: BatchKey) -> MaskedBatch:
        """Make a batch of samples: Signals, or an array of shape (B, C, T)."""
        signals = samples if isinstance(samples, Signals) else Signals(torch.as_tensor(samples))
        if self.augment is not None:
            signals = self.augment(signals, key)
        sampler = sampler_for(self.sampler, signals)
        plans = sampler(key.size, key.generator("mask"), rows=key.rows)
        return MaskedBatch(signals, tuple(plans))
