"""Momentum copies: a network whose weights follow another's as an exponential moving average.

    target <- m target + (1 - m) source

Where in the step it moves, and how often, belongs to the method: ECG-JEPA moves it before the
target pass and once per forward, the others after the optimiser. A copy has no state of its own
beside its weights: m is a function of the step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biojepa.engine.step import StepInfo
from biojepa.errors import ConfigError

Schedule = Callable[[float, int], float]
WHEN = ("before", "after")
PER = ("step", "forward", "epoch")


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy that no gradient reaches."""
    twin = copy.deepcopy(module)
    return twin.requires_grad_(False)


@dataclass
class Momentum:
    """How a copy follows its source.

    Parameters
    ----------
    source, target : nn.Module
    schedule : callable (step, total_steps) -> float
        Momentum m in [0, 1].
    update : {"before", "after"}
        Before the forward pass, or after the optimiser step.
    per : {"step", "forward", "epoch"}
        How often: once per optimiser step, once per forward pass (twice a step when two
        micro-batches are accumulated), or every step with m constant over an epoch.

    Notes
    -----
    Parameters are averaged, buffers are not (a copy in train mode keeps its own statistics).
    """

    source: nn.Module
    target: nn.Module
    schedule: Schedule
    update: str = "after"
    per: str = "step"

    def __post_init__(self) -> None:
        if self.update not in WHEN or self.per not in PER:
            raise ConfigError(
                f"expected update in {WHEN} and per in {PER}, got {self.update!r} and {self.per!r}"
            )

    def momentum(self, info: StepInfo) -> float:
        """The momentum at one moment of the run."""
        if self.per == "forward":
            return self.schedule(info.forward, info.total_steps)
        if self.per == "epoch":
            epochs = max(1, info.total_steps // info.steps_per_epoch)
            return self.schedule(info.step // info.steps_per_epoch, epochs)
        return self.schedule(info.step, info.total_steps)

    def before_forward(self, info: StepInfo) -> None:
        """Move the copy if this is the moment."""
        if self.update == "before" and (self.per == "forward" or info.micro == 0):
            self.move(self.momentum(info))

    def after_step(self, info: StepInfo) -> None:
        """Move the copy if this is the moment."""
        if self.update == "after":
            self.move(self.momentum(info))

    @torch.no_grad()
    def move(self, m: float) -> None:
        """Target <- m target + (1 - m) source, for all parameters at once."""
        targets = [_local(p) for p in self.target.parameters()]
        sources = [_local(p) for p in self.source.parameters()]
        torch._foreach_mul_(targets, m)
        torch._foreach_add_(targets, sources, alpha=1.0 - m)


def _local(parameter: Tensor) -> Tensor:
    """The local part of a parameter that FSDP2 shards; copies are sharded as their source."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter
