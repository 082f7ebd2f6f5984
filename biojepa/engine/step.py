"""Where a run stands: what the loop tells objectives and momentum copies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepInfo:
    """One moment of a run.

    Parameters
    ----------
    step : int
        Optimiser step, from 0.
    total_steps, steps_per_epoch : int
    micro : int
        Micro-batch inside the step, from 0.
    accumulate : int
        Micro-batches of a step.
    """

    step: int
    total_steps: int
    steps_per_epoch: int
    micro: int = 0
    accumulate: int = 1

    @property
    def forward(self) -> int:
        """Number of forward passes before this one, over the whole run."""
        return self.step * self.accumulate + self.micro
