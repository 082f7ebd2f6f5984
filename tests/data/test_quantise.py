import numpy as np
import pytest

from biojepa.data.quantise import MISSING_CODE, dequantise, quantise
from biojepa.errors import DataError


def _round_trip(x, **kwargs):
    q = quantise(x, **kwargs)
    out = np.empty(q.codes.shape, np.float32)
    dequantise(q.codes, q.gain, q.offset, out=out, has_missing=q.n_missing > 0)
    return q, out


def _assert_within_half_a_step(x, q, out):
    error = np.abs(out.astype(float) - np.asarray(x, float))
    # single precision adds its own rounding: 2^-24 of the value, at most 1/16 of a step
    assert (error <= q.gain[:, None].astype(float) * 0.57).all()


@pytest.mark.parametrize("per_mv", [1000, 200, 2000, 500])
def test_the_usual_recorder_grids_are_found_and_kept_without_loss(per_mv):
    codes = np.random.default_rng(0).integers(-4000, 4000, (2, 300))
    q, out = _round_trip((codes / per_mv).astype(np.float32))
    np.testing.assert_allclose(out, codes / per_mv, rtol=2e-7, atol=0)
    assert np.array_equal(np.rint(out * per_mv), codes)


def test_a_given_gain_keeps_the_codes_of_the_recorder():
    codes = np.random.default_rng(0).integers(-32767, 32767, (2, 300))
    gain = np.array([1 / 306, 1 / 411])
    q, _ = _round_trip((codes * gain[:, None]).astype(np.float32), gain=gain)
    assert np.array_equal(q.codes, codes)


def test_a_given_gain_with_a_large_offset_keeps_the_codes_of_the_recorder():
    codes = np.random.default_rng(0).integers(90_000, 100_000, (1, 300))
    q, out = _round_trip(codes.astype(np.float32), gain=1.0)
    assert np.array_equal(out, codes)


def test_a_gain_that_does_not_fit_the_values_is_not_used():
    x = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    q, out = _round_trip(x, gain=0.5)
    assert (q.gain < 1e-3).all()
    _assert_within_half_a_step(x, q, out)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-6, 1.0, 1e9, 1e38])
@pytest.mark.parametrize("mean", [0.0, 1.0, -100.0])
def test_any_scale_comes_back_within_half_a_step(scale, mean):
    x = np.random.default_rng(0).uniform(-1, 1, (3, 200)) + mean
    x = (x * scale / (1 + abs(mean))).astype(np.float32)
    q, out = _round_trip(x)
    assert np.isfinite(out).all()
    _assert_within_half_a_step(x, q, out)


@pytest.mark.parametrize("level", [0.0, 0.5, 0.123456789, -7e8, np.finfo(np.float32).max])
def test_a_flat_channel_comes_back_exactly(level):
    x = np.full((1, 30), level, np.float32)
    _, out = _round_trip(x)
    assert np.array_equal(out, x)


def test_zero_stays_zero_in_a_channel_that_crosses_it():
    x = np.random.default_rng(0).standard_normal((1, 200)).astype(np.float32)
    x[0, 50:60] = 0
    assert (_round_trip(x)[1][0, 50:60] == 0).all()


def test_missing_samples_come_back_as_nan_and_do_not_widen_the_range():
    x = np.random.default_rng(0).standard_normal((3, 200)).astype(np.float32) + 50
    x[0, 5:9] = np.nan
    x[1] = np.nan
    q, out = _round_trip(x)
    assert q.n_missing == 204
    assert np.array_equal(np.isnan(out), np.isnan(x))
    assert (q.codes[1] == MISSING_CODE).all()
    assert (q.gain[[0, 2]] < 1e-3).all()


def test_the_largest_and_smallest_sample_do_not_become_missing():
    x = np.array([[-1.0, 1.0, -1.0, 0.3]], np.float32) * np.float32(np.pi)
    q, out = _round_trip(x)
    assert np.isfinite(out).all()
    assert q.codes.min() == -32767


@pytest.mark.parametrize(
    "bad", [np.array([[1.0, np.inf]]), np.array([[1e300, 0.0]]), np.zeros(5), np.array([["a"]])]
)
def test_values_that_no_recorder_gives_are_refused(bad):
    with pytest.raises(DataError):
        quantise(bad)


@pytest.mark.parametrize("gain", [0.0, np.nan, [1.0, 2.0, 3.0]])
def test_an_impossible_gain_is_refused(gain):
    with pytest.raises(DataError, match="gain"):
        quantise(np.zeros((2, 5)), gain=gain)


def test_the_input_is_left_as_it_was():
    x = np.array([[np.nan, 1.0]])
    quantise(x)
    assert np.isnan(x[0, 0])
