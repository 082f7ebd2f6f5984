"""The contract between the training loop and everything that can be trained.

The loop trains Objectives. It knows no modality, no masks and no labels. One step is

    before_step -> [before_forward -> forward -> backward] x accumulation -> finite guard
    -> clip -> optimiser -> after_step

and a skipped step (non-finite loss or gradient) runs no `after_step` but advances the counter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.engine.diagnostics import (
    alpha_req,
    embedding_std,
    per_dimension_std,
    rankme,
    sigreg_statistic,
)
from biojepa.engine.loader import Collator
from biojepa.engine.losses import full_precision
from biojepa.engine.momentum import Momentum
from biojepa.engine.randomness import torch_generator
from biojepa.engine.signals import Signals
from biojepa.engine.step import StepInfo

N_DIRECTIONS = 64  # of the monitored SIGReg statistic


class Losses:
    """Named parts of a loss, each a sum and what it counts, and their weights.

    The loop turns them into `sum of sums / sum of counts` over ranks and micro-batches.

    Parameters
    ----------
    parts : mapping of str to (Tensor, Tensor or float)
        Sum and count. A part that is one number a batch has count 1.
    weights : mapping of str to float
        Of each part in the total, 1 if not named; a part of weight 0 is only logged.
    """

    def __init__(
        self,
        parts: Mapping[str, tuple[Tensor, Tensor | float]],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.parts = dict(parts)
        self.weights = dict(weights or {})

    def total(self, counts: Mapping[str, float] | None = None) -> Tensor:
        """The weighted total.

        Parameters
        ----------
        counts : mapping of str to float, optional
            What each part is divided by instead of its own count.

        Returns
        -------
        Tensor, scalar
        """
        terms = []
        for name, (part, count) in self.parts.items():
            weight = self.weights.get(name, 1.0)
            if weight:
                part = part if weight == 1.0 else weight * part
                terms.append(full_precision(part / (count if counts is None else counts[name])))
        return sum(terms[1:], terms[0])


@dataclass
class ParamGroup:
    """Parameters that are trained alike.

    Parameters
    ----------
    params : list of Parameter
    decay : bool
        Whether weight decay applies.
    lr_scale : float
        Factor on the learning rate (layer decay).
    clip_group : str
        Gradients of one name are clipped together.
    frozen_until : int
        Step before which these parameters do not move.
    """

    params: list[nn.Parameter]
    decay: bool = True
    lr_scale: float = 1.0
    clip_group: str = "all"
    frozen_until: int = 0
    names: list[str] = field(default_factory=list)


class Objective(nn.Module):
    """Something to minimise, with its networks inside."""

    def collator(self) -> Collator:
        """What turns samples into the batches of `forward`."""
        raise TypeError(f"{type(self).__name__} does not say how its batches are made")

    def forward(self, batch: Any, rng: torch.Generator) -> Losses:
        """Losses of a batch.

        Parameters
        ----------
        batch
            What the collator made.
        rng : torch.Generator
            For noise, slices and drops, on the batch's device; the same on every rank, so a
            per-sample draw fills a table for the global batch first.
        """
        raise TypeError(f"{type(self).__name__} has no forward")

    def encode(self, x: Signals, *, layer: int = -1) -> Tensor:
        """Tokens (B, N, D) of the network that the paper uses downstream."""
        raise TypeError(f"{type(self).__name__} encodes nothing")

    def counts(self, batch: Any) -> Mapping[str, float] | None:
        """What each part of the loss will count in this batch, known before the forward.

        None says: the same in every micro-batch and on every rank.
        """
        return None

    def param_groups(self, recipe: Any = None) -> list[ParamGroup]:
        """Weights of linear and convolution layers decay; norms, tokens and biases do not."""
        return split_by_decay(self)

    def momentum_copies(self) -> dict[str, Momentum]:
        """The momentum copies, by the attribute that holds each; none by default."""
        return {}

    def before_step(self, info: StepInfo) -> None:
        """Called once before the forward passes of a step."""

    def before_forward(self, info: StepInfo) -> None:
        """Called before each forward pass."""

    def after_step(self, info: StepInfo) -> None:
        """Called after the optimiser moved; not after a skipped step."""

    def diagnose(self, batch: Any, rng: torch.Generator) -> dict[str, float]:
        """Label-free diagnostics of a batch that does not change over the run.

        By default RankMe, the mean per-dimension std of the normalised embeddings and alpha-ReQ
        of the mean token, if the batch has `signals`; none otherwise.
        """
        if not hasattr(batch, "signals"):
            return {}
        pooled = self.encode(batch.signals).float().mean(dim=1)
        return embedding_health(pooled)

    def export_state(self) -> dict[str, Tensor]:
        """The weights that a user gets."""
        return {name: value.detach() for name, value in self.state_dict().items()}


def embedding_health(pooled: Tensor) -> dict[str, float]:
    """RankMe, stds, alpha-ReQ and the SIGReg statistic of embeddings (n, D).

    `std` is the mean over dimensions of the L2-normalised embeddings, `std_least` that of the
    stillest dimension as it is; the SIGReg statistic is taken along the same directions at every
    step. `dim` tells the collapse alarm what RankMe could reach: D, or n where that is less.
    """
    rng = torch_generator(0, "directions")
    directions = F.normalize(torch.randn(pooled.shape[1], N_DIRECTIONS, generator=rng), dim=0)
    return {
        "rankme": float(rankme(pooled)),
        "std": float(embedding_std(pooled)),
        "std_least": float(per_dimension_std(pooled).min()),
        "alpha_req": float(alpha_req(pooled)),
        "sigreg": sigreg_statistic(pooled, directions.to(pooled.device)),
        "dim": float(min(pooled.shape)),
    }


def split_by_decay(module: nn.Module) -> list[ParamGroup]:
    """Two groups of the trainable parameters: layer weights decay, everything else does not."""
    decayed = {
        id(part.weight)
        for part in module.modules()
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    }
    groups = ParamGroup([], decay=True), ParamGroup([], decay=False)
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            group = groups[0] if id(parameter) in decayed else groups[1]
            group.params.append(parameter)
            group.names.append(name)
    return [group for group in groups if group.params]
