"""Learning rate, weight decay and momentum as pure functions of the step.

A schedule is a frozen dataclass of numbers: `schedule(step, total_steps)` is its value, with
nothing to advance, store or restore. Beyond its end a schedule stays at its last value.

Two published habits differ by one step: ECG-JEPA's cosines reach their end on the last step
(`step = total - 1`), I-JEPA's cosines and everybody's linear momentum would reach it one step later
(`step = total`). `arrive` says which.

Sources: ECG-JEPA (arXiv 2410.13867; 10,000 warm-up steps, momentum 0.998 to 0.9995), V-JEPA
(2404.08471; schedules 1.25 times as long as the run, `horizon`). A momentum that changes once an
epoch (CNN-JEPA, 2408.07514) is `Momentum(per="epoch")`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from biojepa.errors import ConfigError

Arrival = Literal["last", "total"]


class Schedule(Protocol):
    """A value for each step of a run."""

    def __call__(self, step: float, total_steps: int) -> float:
        """Value at a step, counted from 0."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same value at every step.

    Parameters
    ----------
    value : float
    """

    value: float

    def __call__(self, step: float, total_steps: int) -> float:
        """Value at a step, counted from 0."""
        return self.value


@dataclass(frozen=True)
class Linear:
    """A straight line.

    Parameters
    ----------
    start, end : float
    horizon : float
        Length of the schedule as a multiple of the run: 1.25 stops at 80 % of the way.
    arrive : {"total", "last"}
        Whether `end` belongs to step `total_steps` or to the last step.
    """

    start: float
    end: float
    horizon: float = 1.0
    arrive: Arrival = "total"

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(self.horizon, self.arrive)

    def __call__(self, step: float, total_steps: int) -> float:
        """Value at a step, counted from 0."""
        done = _progress(step, total_steps * self.horizon, self.arrive)
        return self.start + (self.end - self.start) * done


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from start to end: slow, fast, slow.

    Parameters
    ----------
    start, end : float
    horizon : float
        Length of the schedule as a multiple of the run.
    arrive : {"last", "total"}
        Whether `end` belongs to the last step or to step `total_steps`.
    """

    start: float
    end: float
    horizon: float = 1.0
    arrive: Arrival = "last"

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(self.horizon, self.arrive)

    def __call__(self, step: float, total_steps: int) -> float:
        """Value at a step, counted from 0."""
        done = _progress(step, total_steps * self.horizon, self.arrive)
        return _half_cosine(self.start, self.end, done)


@dataclass(frozen=True)
class WarmupCosine:
    """A straight rise, then half a cosine down.

    Parameters
    ----------
    start : float
        Value at the end of the warm-up, from which the cosine starts.
    end : float
    warmup_steps : int
        A run that is not longer than its warm-up never leaves it.
    warmup_from : float
        Value at step 0.
    horizon : float
        Length of the schedule as a multiple of the run; the warm-up is not stretched.
    arrive : {"last", "total"}
        Whether `end` belongs to the last step or to step `total_steps`.
    """

    start: float
    end: float
    warmup_steps: int
    warmup_from: float
    horizon: float = 1.0
    arrive: Arrival = "last"

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(self.horizon, self.arrive)
        if self.warmup_steps < 0:
            raise ConfigError(f"expected warmup_steps >= 0, got {self.warmup_steps}")

    def __call__(self, step: float, total_steps: int) -> float:
        """Value at a step, counted from 0."""
        if step < self.warmup_steps:
            rise = (self.start - self.warmup_from) * max(step, 0) / self.warmup_steps
            return self.warmup_from + rise
        length = total_steps * self.horizon - self.warmup_steps
        done = _progress(step - self.warmup_steps, length, self.arrive)
        return _half_cosine(self.start, self.end, done)


def _progress(step: float, length: float, arrive: Arrival) -> float:
    """Share of the schedule that is behind, 0 to 1."""
    span = length - 1 if arrive == "last" else length
    if span <= 0:
        return 1.0 if step > 0 else 0.0
    return min(max(step / span, 0.0), 1.0)


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + 0.5 * (1 + math.cos(math.pi * done)) * (start - end)


def _check(horizon: float, arrive: str) -> None:
    if not (math.isfinite(horizon) and horizon > 0):
        raise ConfigError(f"expected horizon > 0, got {horizon}")
    if arrive not in get_args(Arrival):
        raise ConfigError(f"expected arrive of {list(get_args(Arrival))}, got {arrive!r}")
