"""Windows, pooling and batching of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.ecg.model import build_jepa
from biojepa.ecg.recipes import get_recipe
from biojepa.errors import ConfigError
from biojepa.estimators.features import (
    check_pool,
    extract_features,
    feature_width,
    grid_shifts,
    layer_numbers,
    shifted_windows,
    windows_of,
)


@pytest.fixture(scope="module")
def jepa():
    """A tiny model of 8 leads at 100 Hz, patches of 20 samples."""
    return build_jepa(get_recipe("tiny").model).eval()


def features(jepa, records, **options):
    """Features with the settings of the tests."""
    settings = {"window": 1000, "shortest": 40, "pool": "mean", "layers": [-1]}
    return extract_features(jepa, records, **settings | options)


def test_a_long_record_is_cut_into_windows_and_the_last_one_ends_with_it():
    record = np.arange(2300, dtype=np.float32)[None].repeat(8, 0)
    starts = [int(w.values[0, 0]) for w in windows_of(record, 1000, 40)]
    assert starts == [0, 1000, 1300]


def test_a_record_of_exactly_two_windows_has_two():
    assert len(list(windows_of(np.zeros((8, 2000), np.float32), 1000, 40))) == 2


def test_a_very_short_record_is_padded_and_marked():
    (window,) = windows_of(np.ones((8, 7), np.float32), 1000, 40)
    assert window.values.shape == (8, 40)
    assert window.valid is not None
    assert window.valid.sum() == 8 * 7


def test_features_of_a_long_record_are_the_mean_over_its_windows(jepa):
    record = np.random.default_rng(0).standard_normal((8, 2000)).astype(np.float32)
    halves = features(jepa, [record[:, :1000], record[:, 1000:]])
    np.testing.assert_allclose(features(jepa, [record])[0], halves.mean(0), atol=1e-6)


def test_the_batch_size_does_not_matter(jepa):
    records = list(np.random.default_rng(0).standard_normal((9, 8, 600)).astype(np.float32))
    np.testing.assert_allclose(
        features(jepa, records, batch_size=2), features(jepa, records, batch_size=64), atol=1e-5
    )


def test_mean_and_register_are_the_means_of_those_tokens(jepa):
    record = np.random.default_rng(0).standard_normal((8, 1000)).astype(np.float32)
    encoder = jepa.target_encoder
    with torch.no_grad():
        from biojepa.engine import Signals

        tokens = encoder.embed(Signals(torch.from_numpy(record)[None]))
        out = encoder.contextualise(tokens, registers=True)[0].numpy()
    np.testing.assert_allclose(features(jepa, [record])[0], out[1:].mean(0), atol=1e-5)
    register = features(jepa, [record], pool="register")[0]
    np.testing.assert_allclose(register, out[0], atol=1e-5)
    both = features(jepa, [record], pool="mean_std")[0]
    np.testing.assert_allclose(both, np.r_[out[1:].mean(0), out[1:].std(0)], atol=1e-5)


def test_several_layers_stand_side_by_side(jepa):
    record = np.random.default_rng(0).standard_normal((8, 1000)).astype(np.float32)
    both = features(jepa, [record], layers=[0, 1])
    assert both.shape == (1, feature_width(32, pool="mean", layers=[0, 1]))
    np.testing.assert_allclose(both[0, :32], features(jepa, [record], layers=[0])[0], atol=1e-6)
    np.testing.assert_allclose(both[0, 32:], features(jepa, [record], layers=[-1])[0], atol=1e-6)


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="pool"):
        check_pool("max", "fp32")
    with pytest.raises(ConfigError, match="precision"):
        check_pool("mean", "fp8")


def test_shifted_windows_start_at_fractions_of_a_patch():
    record = np.arange(1000, dtype=np.float32)[None].repeat(8, 0)
    found = list(shifted_windows(record, 980, 40, patch=20, shifts=4))
    assert [int(w.values[0, 0]) for w in found] == [0, 20, 5, 10, 15]
    assert [w.values.shape[1] for w in found] == [980, 980, 980, 980, 980]


def test_a_record_too_short_to_shift_is_read_once():
    (window,) = shifted_windows(np.ones((8, 42), np.float32), 1000, 40, patch=20, shifts=4)
    assert window.values.shape == (8, 42)


def test_features_with_shifts_are_the_mean_over_the_placements(jepa):
    record = np.random.default_rng(0).standard_normal((8, 600)).astype(np.float32)
    found = features(jepa, [record], patch=20, shifts=2)
    expected = features(jepa, [record, record[:, 10:]]).mean(0)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_layers_are_numbers_or_all():
    assert layer_numbers("all", 3) == [0, 1, 2]
    assert layer_numbers((0, -1), 3) == [0, -1]
    for wrong in ("last", ()):
        with pytest.raises(ConfigError, match="layer"):
            layer_numbers(wrong, 3)


def test_long_patches_are_shifted_unless_told_otherwise():
    assert (grid_shifts(None, 0.2), grid_shifts(None, 0.05), grid_shifts(2, 0.2)) == (4, 1, 2)
    with pytest.raises(ConfigError, match="shifts >= 1"):
        grid_shifts(0, 0.2)
