"""Momentum copies: how far, when, and how often they move."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from biojepa.engine.momentum import Momentum, momentum_copy
from biojepa.engine.schedules import Constant, Linear
from biojepa.engine.step import StepInfo
from biojepa.errors import ConfigError


def pair(start: float = 2.0, now: float = 6.0) -> tuple[nn.Linear, nn.Linear]:
    source = nn.Linear(2, 1)
    nn.init.constant_(source.weight, start)
    target = momentum_copy(source)
    nn.init.constant_(source.weight, now)
    return source, target


def test_the_numbers_by_hand() -> None:
    source, target = pair()
    Momentum(source, target, Constant(0.75)).move(0.75)
    assert target.weight.tolist() == [[3.0, 3.0]]
    assert source.weight.tolist() == [[6.0, 6.0]]


def test_momentum_one_is_frozen_and_zero_is_a_copy() -> None:
    source, target = pair()
    copy = Momentum(source, target, Constant(1.0))
    copy.move(1.0)
    assert target.weight.tolist() == [[2.0, 2.0]]
    copy.move(0.0)
    assert torch.equal(target.weight, source.weight)


def test_no_gradient_reaches_a_copy() -> None:
    assert not any(p.requires_grad for p in pair()[1].parameters())


def moves(copy: Momentum, steps: int, accumulate: int) -> list[tuple[str, float]]:
    """When the loop's calls move a copy, and by what momentum."""
    seen: list[tuple[str, float]] = []
    where = ""
    copy.move = lambda m: seen.append((where, m))  # type: ignore[method-assign]
    for step in range(steps):
        for micro in range(accumulate):
            where = f"before {step}.{micro}"
            info = StepInfo(step, steps, 2, micro, accumulate)
            copy.before_forward(info)
        where = f"after {step}"
        copy.after_step(info)
    return seen


def count(step: float, total: int) -> float:
    return step + total / 1000


@pytest.mark.parametrize(
    ("update", "per", "expected"),
    [
        ("after", "step", [("after 0", 0.002), ("after 1", 1.002)]),
        ("before", "step", [("before 0.0", 0.002), ("before 1.0", 1.002)]),
        (
            "before",
            "forward",
            [("before 0.0", 0.002), ("before 0.1", 1.002), ("before 1.0", 2.002)]
            + [("before 1.1", 3.002)],
        ),
    ],
)
def test_when_and_how_often_a_copy_moves_under_accumulation(update, per, expected) -> None:
    copy = Momentum(*pair(), count, update=update, per=per)
    assert moves(copy, steps=2, accumulate=2) == expected


def test_per_epoch_the_momentum_is_constant_within_an_epoch() -> None:
    copy = Momentum(*pair(), count, per="epoch")
    assert [m for _, m in moves(copy, steps=6, accumulate=1)] == pytest.approx(
        [0.003, 0.003, 1.003, 1.003, 2.003, 2.003]
    )


def test_a_schedule_that_outlives_the_run_never_arrives() -> None:
    copy = Momentum(*pair(), Linear(0.0, 1.0, horizon=1.25))
    assert copy.momentum(StepInfo(100, 100, 10)) == pytest.approx(0.8)


def test_buffers_are_not_averaged() -> None:
    source = nn.BatchNorm1d(2)
    target = momentum_copy(source)
    source.running_mean.fill_(5.0)
    Momentum(source, target, Constant(0.0)).move(0.0)
    assert target.running_mean.tolist() == [0.0, 0.0]


def test_an_unknown_moment_is_refused() -> None:
    with pytest.raises(ConfigError, match="'during'"):
        Momentum(*pair(), Constant(0.5), update="during")
