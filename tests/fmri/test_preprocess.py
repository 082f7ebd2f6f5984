"""From region series to the model's input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from biojepa.errors import ConfigError, DataError
from biojepa.fmri.preprocess import BrainPreprocess, robust_statistics


def bold(n_regions: int = 5, n_times: int = 200, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    offset = rng.uniform(5000, 12000, n_regions)[:, None]
    return offset + 30 * rng.standard_normal((n_regions, n_times))


def test_each_region_has_mean_zero_and_deviation_one_whatever_its_offset() -> None:
    run = BrainPreprocess()(bold(), 2.0)
    np.testing.assert_allclose(run.values.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(run.values.std(axis=1), 1, atol=1e-5)
    assert run.values.dtype == np.float32
    assert run.valid.all()
    assert run.notes == ()


def test_the_scale_and_offset_of_a_region_change_nothing() -> None:
    x = bold()
    other = x * np.linspace(0.01, 500, 5)[:, None] - 1e5
    np.testing.assert_allclose(
        BrainPreprocess()(x, 2.0).values, BrainPreprocess()(other, 2.0).values, atol=1e-3
    )


def test_the_published_scaling_is_by_hand() -> None:
    runs = [bold(seed=s) for s in range(9)]
    means = np.stack([r.mean(axis=1) for r in runs])
    median, iqr = robust_statistics(means)
    np.testing.assert_allclose(median, np.median(means, axis=0))
    preprocess = BrainPreprocess(normalise="robust", median=median, iqr=iqr, clip=None)
    expected = (runs[0] - np.array(median)[:, None]) / np.array(iqr)[:, None]
    np.testing.assert_allclose(preprocess(runs[0], 2.0).values, expected, rtol=1e-5)
    static = preprocess(runs[0], 2.0).values
    assert static.mean(axis=1).var() > 20 * static.var(axis=1).mean()  # why it is no default


def test_the_published_scaling_of_standardised_series_is_refused() -> None:
    means = 1e-17 * np.random.default_rng(0).standard_normal((9, 5))
    with pytest.raises(DataError, match="already standardised"):
        robust_statistics(means)


def test_one_scale_for_the_run_keeps_the_offsets() -> None:
    x = bold()
    values = BrainPreprocess(normalise="global", clip=None)(x, 2.0).values
    np.testing.assert_allclose(values, (x - x.mean()) / x.std(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("resample", ["poly", "linear", "nearest"])
@pytest.mark.parametrize("tr_s", [0.72, 0.735, 1.5, 2.5])
def test_a_slow_wave_keeps_its_period_at_any_repetition_time(resample, tr_s) -> None:
    time = np.arange(0, 600, tr_s)
    x = np.sin(2 * np.pi * 0.02 * time)[None]
    run = BrainPreprocess(resample=resample, normalise="none")(x, tr_s)
    assert abs(run.values.shape[1] - 300) <= 2
    expected = np.sin(2 * np.pi * 0.02 * 2.0 * np.arange(run.values.shape[1]))
    error = np.abs(run.values[0] - expected)[5:-5].max()
    assert error < {"poly": 0.02, "linear": 0.05, "nearest": 0.32}[resample]


def test_what_is_faster_than_the_new_rate_is_filtered_out_by_default_only() -> None:
    time = np.arange(0, 600, 0.5)
    fast = np.sin(2 * np.pi * 0.45 * time)[None]  # folds down to 0.05 Hz at a TR of 2 s
    power = {
        how: BrainPreprocess(resample=how, normalise="none")(fast, 0.5).values[:, 10:-10].std()
        for how in ("poly", "nearest")
    }
    assert power["poly"] < 0.02
    assert power["nearest"] > 0.5


def test_nearest_frames_are_those_of_the_published_code() -> None:
    frames = np.arange(490.0)[None]
    run = BrainPreprocess(tr_s=0.735 * 480 / 160, resample="nearest", normalise="none", clip=None)
    picked = run(frames, 0.735).values[0][:160]
    assert np.array_equal(picked, np.arange(160) * 3)


def test_flat_missing_and_mostly_missing_regions_are_masked_and_named() -> None:
    x = bold(6)
    x[1] = 7000.0
    x[2] = np.nan
    x[3, :150] = np.nan
    x[4, 20:30] = np.inf
    run = BrainPreprocess()(x, 2.0)
    assert run.valid.tolist() == [True, False, False, False, True, True]
    assert np.isfinite(run.values).all()
    assert not run.values[~run.valid].any()
    text = " ".join(run.notes)
    assert "2 regions lost" in text
    assert "1 regions flat" in text
    assert "1 regions with missing frames" in text
    nothing = BrainPreprocess()(np.zeros((3, 50)), 2.0)
    assert "no region can be used" in nothing.notes[-1]


def test_a_spike_is_clipped_and_a_huge_value_is_missing() -> None:
    x = bold()
    x[0, 50] += 1e5
    x[1, 50] = 1e25
    run = BrainPreprocess()(x, 2.0)
    assert np.abs(run.values).max() <= 6.0
    assert abs(run.values[1, 50]) < 4


def test_the_input_is_not_changed() -> None:
    x = bold()
    x[0, 3] = np.nan
    before = x.copy()
    BrainPreprocess()(x, 0.8)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("tr_s", "message"),
    [(2000.0, "milliseconds. pass tr=2"), (0.0, "in seconds"), (float("nan"), "in seconds")],
)
def test_an_impossible_repetition_time_is_refused(tr_s, message) -> None:
    with pytest.raises(DataError, match=message):
        BrainPreprocess()(bold(), tr_s)


@pytest.mark.parametrize(
    "setting",
    [{"normalise": "zscore"}, {"normalise": "robust"}, {"median": (1.0,), "iqr": (1.0,)}]
    + [{"tr_s": 2000.0}, {"clip": 0.0}, {"max_missing": 2.0}, {"resample": "cubic"}],
)
def test_impossible_settings_are_refused(setting) -> None:
    with pytest.raises(ConfigError):
        BrainPreprocess(**setting)


def test_the_settings_survive_json() -> None:
    settings = BrainPreprocess(normalise="robust", median=(1.0, 2.0), iqr=(0.5, 0.5))
    plain = json.loads(json.dumps(settings.to_config()))
    assert BrainPreprocess.from_config(plain) == settings
    with pytest.raises(DataError, match="2 regions, which the stored statistics are of, got 5"):
        settings(bold(), 2.0)
