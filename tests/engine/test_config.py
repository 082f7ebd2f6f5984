"""Settings of a run: ranges, schedules, and which of them make another run."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from biojepa.engine import TrainConfig
from biojepa.engine.config import FREE_TO_CHANGE, changed_settings
from biojepa.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("accumulate", 0),
        ("keep_last", 0),
        ("lr", float("nan")),
        ("lr", -1.0),
        ("warmup_lr", -1.0),
        ("weight_decay", float("inf")),
        ("clip", -0.1),
        ("seed", -1),
        ("workers", -1),
        ("beta2", 1.0),
        ("precision", "16-mixed"),
        ("strategy", "deepspeed"),
        ("warmup_steps", 1000),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, value) -> None:
    with pytest.raises(ConfigError, match=setting.rstrip("2")):
        TrainConfig(**{setting: value})


def test_rates_rise_then_fall_and_decay_rises() -> None:
    config = TrainConfig(
        steps=101, warmup_steps=10, lr=1.0, warmup_lr=0.1, final_lr=0.0, final_weight_decay=0.1
    )
    assert config.lr_at(0) == pytest.approx(0.1)
    assert config.lr_at(5) == pytest.approx(0.55)
    assert config.lr_at(10) == pytest.approx(1.0)
    assert config.lr_at(55) == pytest.approx(0.5)
    assert config.lr_at(100) == pytest.approx(0.0, abs=1e-12)
    assert config.weight_decay_at(0) == pytest.approx(0.01)
    assert config.weight_decay_at(100) == pytest.approx(0.1)
    assert replace(config, final_weight_decay=None).weight_decay_at(100) == 0.01


def test_a_longer_horizon_stops_schedules_on_the_way() -> None:
    config = TrainConfig(steps=80, warmup_steps=0, lr=1.0, final_lr=0.0, schedule_horizon=1.25)
    whole = TrainConfig(steps=100, warmup_steps=0, lr=1.0, final_lr=0.0)
    assert config.lr_at(79) == whole.lr_at(79)


def test_changed_settings_are_listed_and_free_ones_are_not() -> None:
    before = asdict(TrainConfig())
    now = TrainConfig(lr=0.5, seed=3, workers=4, log_every=7)
    assert changed_settings(before, now) == ["lr: 0.001 -> 0.5", "seed: 0 -> 3"]


def test_free_settings_are_settings() -> None:
    assert set(asdict(TrainConfig())) >= FREE_TO_CHANGE
