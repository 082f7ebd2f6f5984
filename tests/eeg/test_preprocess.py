"""The road from raw EEG to the model's input: order, units, gaps, reference, filter."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.errors import ConfigError, DataError


@pytest.fixture
def x() -> np.ndarray:
    return 10 * np.random.default_rng(0).standard_normal((5, 4, 1000))


def test_a_record_alone_is_prepared_as_among_others(x):
    road = EEGPreprocess()
    whole = road(x, 250.0)
    alone = road(x[3], 250.0)
    assert whole.values.shape == (5, 4, 512)
    assert np.array_equal(whole.values[3], alone.values)
    assert whole.values.dtype == np.float32


def test_the_input_is_not_changed_and_may_be_of_any_real_kind(x):
    before = x.copy()
    x.flags.writeable = False
    road = EEGPreprocess()
    wanted = road(x, 128.0).values
    assert np.array_equal(x, before)
    assert np.allclose(road(x.astype(">f4"), 128.0).values, wanted, atol=1e-3)
    assert road(x.astype(np.int16), 128.0).valid.all()


def test_the_reference_is_the_mean_of_the_channels_that_are_there(x):
    road = EEGPreprocess(bandpass_hz=None)
    x[0, 1] = np.nan
    x[0, 2] = 3.0  # flat
    out = road(x, 128.0)
    assert out.valid[0].tolist() == [True, False, False, True]
    assert np.abs(out.values[1:].mean(axis=1)).max() < 1e-5
    assert not out.values[0, 1:3].any()
    assert np.allclose(out.values[0, 0], x[0, 0], atol=1e-4)  # two are too few to average


def test_one_or_two_channels_are_not_referenced_away(x):
    for n in (1, 2):
        out = EEGPreprocess(bandpass_hz=None)(x[:, :n], 128.0).values
        assert np.allclose(out, x[:, :n], atol=1e-4)


def test_the_band_is_kept_and_the_rest_is_removed():
    time = np.arange(2560) / 256
    tones = {f: 20 * np.sin(2 * np.pi * f * time) for f in (0.05, 10.0, 60.0)}
    out = EEGPreprocess(reference="none")(np.stack(list(tones.values())), 256.0).values
    inner = out[:, 256:-256].std(axis=1)
    assert inner[1] == pytest.approx(20 / np.sqrt(2), rel=0.02)
    assert inner[0] < 1.0
    assert inner[2] < 0.5


def test_small_gaps_are_interpolated_and_large_ones_cost_the_channel(x):
    x[0, 0, 100:110] = np.nan
    x[1, 0, :600] = np.inf
    x[2, 0, 5] = 1e25
    out = EEGPreprocess()(x, 128.0)
    assert out.valid[:, 0].tolist() == [True, False, True, True, True]
    assert np.isfinite(out.values).all()
    assert np.abs(out.values[2, 0]).max() < 100


def test_arbitrary_units_give_the_same_at_any_scale(x):
    road = EEGPreprocess()
    small = road(x * 1e-9, 128.0, arbitrary=True)
    large = road(x * 1e9, 128.0, arbitrary=True)
    assert np.allclose(small.values, large.values, atol=1e-4)
    assert small.valid.all()
    assert 3 < small.values.std() < 30


def test_a_slow_recording_keeps_what_it_has():
    x = 10 * np.random.default_rng(0).standard_normal((3, 400))
    assert EEGPreprocess()(x, 64.0).values.shape == (3, 800)


@pytest.mark.parametrize(
    "bad", [np.zeros(5), np.zeros((2, 0)), np.zeros((2, 3), complex), np.array([["a", "b"]])]
)
def test_what_is_no_eeg_is_refused(bad):
    with pytest.raises(DataError):
        EEGPreprocess()(bad, 128.0)


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, 1e9])
def test_impossible_rates_are_refused(x, rate):
    with pytest.raises(DataError, match="sampling rate"):
        EEGPreprocess()(x, rate)


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": "mastoid"},
        {"bandpass_hz": (40.0, 0.5)},
        {"bandpass_hz": (0.5, 70.0)},
        {"rate_hz": 0.0},
        {"cap_uv": 0.0},
        {"max_missing": 2.0},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError):
        EEGPreprocess(**changes)


def test_settings_survive_json():
    road = EEGPreprocess(bandpass_hz=(1.0, None), reference="none")
    assert EEGPreprocess.from_config(road.to_config()) == road
    with pytest.raises(ConfigError, match="did you mean 'reference'"):
        EEGPreprocess.from_config({"refrence": "none"})
