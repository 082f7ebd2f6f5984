"""Schedules against the published numbers and at their ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biojepa.engine.schedules import (
    Constant,
    Cosine,
    Linear,
    Schedule,
    WarmupCosine,
)
from biojepa.errors import ConfigError
from tests.conftest import PARITY

ALL: list[Schedule] = [
    Constant(0.1),
    Linear(0.998, 0.9995),
    Cosine(0.01, 0.1, horizon=1.25),
    WarmupCosine(1e-3, 1e-6, warmup_steps=10, warmup_from=1e-6),
]


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ecg" / "schedules.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize(
    ("column", "schedule"),
    [
        (0, WarmupCosine(1e-3, 1e-6, warmup_steps=10_000, warmup_from=1e-6)),
        (1, Cosine(0.01, 0.1)),
        (2, Linear(0.998, 0.9995)),
    ],
)
def test_pretraining_schedules_equal_the_published_ones(
    published: dict[str, np.ndarray], column: int, schedule: Schedule
) -> None:
    ours = [schedule(int(step), 100_000) for step in published["pretrain_steps"]]
    expected = published["pretrain_lr_wd_momentum"][:, column]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)


def test_fine_tuning_rate_equals_the_published_one(published: dict[str, np.ndarray]) -> None:
    schedule = WarmupCosine(1e-4, 1e-6, warmup_steps=200, warmup_from=1e-6)
    ours = [schedule(int(step), 5_000) for step in published["finetune_after_linear_steps"]]
    np.testing.assert_allclose(ours, published["finetune_after_linear_lr"], rtol=0, atol=1e-12)


@given(step=st.floats(0, 1e6), total=st.integers(1, 100_000))
def test_values_stay_between_start_and_end_at_any_step(step: float, total: int) -> None:
    for schedule in ALL[1:3]:
        low, high = sorted((schedule.start, schedule.end))  # type: ignore[attr-defined]
        assert low - 1e-12 <= schedule(step, total) <= high + 1e-12


@pytest.mark.parametrize("schedule", [Linear(1.0, 0.2), Cosine(1.0, 0.2)])
def test_beyond_its_end_a_schedule_stays(schedule: Schedule) -> None:
    assert schedule(100, 100) == pytest.approx(0.2)
    assert schedule(10_000, 100) == schedule(100, 100)


def test_a_stretched_schedule_stops_at_four_fifths() -> None:
    # V-JEPA's momentum: 0.998 to 1 over 1.25 runs ends at 0.9996
    assert Linear(0.998, 1.0, horizon=1.25)(90_000, 90_000) == pytest.approx(0.9996)


def test_arrival_says_which_step_holds_the_end() -> None:
    assert Cosine(0.0, 1.0)(9, 10) == 1.0
    assert Cosine(0.0, 1.0, arrive="total")(9, 10) < 1.0
    assert Cosine(0.0, 1.0, arrive="total")(10, 10) == 1.0
    assert Linear(0.0, 1.0, arrive="last")(9, 10) == 1.0


def test_a_run_within_its_warm_up_only_rises() -> None:
    schedule = WarmupCosine(1.0, 0.0, warmup_steps=10, warmup_from=0.0)
    values = [schedule(step, 8) for step in range(8)]
    assert values == pytest.approx([step / 10 for step in range(8)])
    assert schedule(10, 8) == 1.0


def test_without_a_warm_up_the_rate_starts_at_its_start() -> None:
    assert WarmupCosine(0.5, 0.0, warmup_steps=0, warmup_from=0.0)(0, 100) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cosine(1.0, 0.0, horizon=0), "horizon"),
        (lambda: Linear(1.0, 0.0, arrive="never"), "arrive"),
        (lambda: WarmupCosine(1.0, 0.0, warmup_steps=-1, warmup_from=0.0), "warmup_steps"),
    ],
)
def test_wrong_settings_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
