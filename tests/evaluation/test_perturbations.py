from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import ConfigError
from biojepa.evaluation.perturbations import (
    PERTURBATIONS,
    baseline_wander,
    gain_error,
    missing_channels,
    powerline,
    resampled,
    white_noise,
)

EVERY = [(f, level) for f, levels in PERTURBATIONS.items() for level in levels]


@pytest.fixture
def signals() -> np.ndarray:
    rng = np.random.default_rng(0)
    time = np.arange(1000) / 100
    beat = np.sin(2 * np.pi * 1.2 * time) + 0.3 * np.sin(2 * np.pi * 6 * time)
    size = rng.uniform(0.2, 1.5, (3, 12, 1))
    return (size * beat).astype(np.float32)


@pytest.mark.parametrize(("family", "level"), EVERY)
def test_shape_type_and_the_caller_s_array_stay(signals, family: str, level: str) -> None:
    before = signals.copy()
    perturb = PERTURBATIONS[family][level]
    out = perturb(signals, 100.0, np.random.default_rng(1))
    assert out.shape == signals.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.array_equal(signals, before)
    assert not np.array_equal(out, before)
    assert np.array_equal(out, perturb(signals, 100.0, np.random.default_rng(1)))


@pytest.mark.parametrize("snr_db", [20, 0])
def test_noise_has_the_ratio_that_it_says(signals, snr_db: float) -> None:
    added = white_noise(signals, 100.0, np.random.default_rng(0), snr_db=snr_db) - signals
    ratio = 10 * np.log10(signals.var(-1) / added.var(-1))
    assert ratio == pytest.approx(np.full((3, 12), snr_db), abs=0.6)


@pytest.mark.parametrize(
    ("add", "low_hz", "high_hz"),
    [(baseline_wander, 0.05, 0.5), (powerline, 49.0, 51.0)],
)
def test_what_is_added_lies_in_its_band(signals, add, low_hz: float, high_hz: float) -> None:
    added = add(signals.repeat(5, -1), 500.0, np.random.default_rng(0), amplitude_mv=0.3)
    added = added - signals.repeat(5, -1)
    power = (np.abs(np.fft.rfft(added)) ** 2).sum((0, 1))
    hz = np.fft.rfftfreq(added.shape[-1], 1 / 500)
    assert power[(hz >= low_hz) & (hz <= high_hz)].sum() > 0.9 * power.sum()
    assert 0.15 <= np.abs(added).max(-1).min() <= np.abs(added).max(-1).max() <= 0.301


@pytest.mark.parametrize("n_missing", range(1, 12))
def test_so_many_channels_are_flat_and_the_others_untouched(signals, n_missing: int) -> None:
    out = missing_channels(signals, 100.0, np.random.default_rng(0), n_missing=n_missing)
    flat = (out == 0).all(-1)
    assert flat.sum(1).tolist() == [n_missing] * 3
    assert np.array_equal(out[~flat], signals[~flat])


def test_the_channels_that_go_differ_between_records(signals) -> None:
    many = signals.repeat(30, 0)
    flat = (missing_channels(many, 100.0, np.random.default_rng(0), n_missing=3) == 0).all(-1)
    assert flat.any(0).all()


def test_all_channels_cannot_go(signals) -> None:
    with pytest.raises(ConfigError, match="0 to 11 missing"):
        missing_channels(signals, 100.0, np.random.default_rng(0), n_missing=12)


def test_a_gain_error_is_a_factor(signals) -> None:
    out = gain_error(signals, 100.0, np.random.default_rng(0), factor=0.5)
    assert np.array_equal(out, 0.5 * signals)


def test_a_lower_rate_keeps_what_is_slow_and_loses_what_is_fast(signals) -> None:
    out = resampled(signals, 100.0, np.random.default_rng(0), to_hz=25)
    assert np.abs(out - signals)[..., 50:-50].max() < 0.05 * np.abs(signals).max()
    fast = np.sin(2 * np.pi * 30 * np.arange(1000) / 100).astype(np.float32)[None, None]
    lost = resampled(fast, 100.0, np.random.default_rng(0), to_hz=25)
    assert lost.std() < 0.1 * fast.std()
    same = resampled(signals, 25.0, np.random.default_rng(0), to_hz=25)
    assert np.array_equal(same, signals)
    assert same is not signals
