"""Ways to combine JEPA and beat features."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.ecg.combination import WAYS, Combined, compare
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.metrics import macro_auc


@pytest.fixture(scope="module")
def halves() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two kinds of features, each of which knows a part of what makes the labels."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, 240, 2))
    y = (parts.sum(0) + 0.3 * rng.standard_normal((240, 2)) > 0).astype(float)
    return parts[0], parts[1], y


@pytest.mark.parametrize("way", WAYS)
def test_every_way_uses_both_kinds_of_features(halves, way):
    jepa, beats, y = halves
    both = np.concatenate([jepa, beats], axis=1)
    alone = LinearProbe(C=1.0).fit(jepa[:160], y[:160])
    fitted = Combined(2, way=way, C=1.0).fit(both[:160], y[:160])
    scores = fitted.decision_function(both[160:])
    assert scores.shape == (80, 2)
    assert np.isfinite(scores).all()
    assert macro_auc(y[160:], scores) > macro_auc(y[160:], alone.decision_function(jepa[160:]))


def test_the_mean_log_odds_is_the_mean_of_its_two_parts(halves):
    jepa, beats, y = halves
    both = np.concatenate([jepa, beats], axis=1)
    fitted = Combined(2, way="mean log odds", C=1.0).fit(both, y)
    linear, trees = (part for _, part in fitted.parts_)
    expected = (linear.decision_function(jepa) + trees.decision_function(beats)) / 2
    assert np.allclose(fitted.decision_function(both), expected, rtol=0, atol=1e-12)


def test_the_comparison_names_either_kind_alone_and_every_way(halves):
    jepa, beats, y = halves
    patients = np.arange(240).astype(str)
    found = compare(jepa, beats, y, patients, C=1.0, seed=0)
    assert set(found) == {"JEPA alone, logistic", "beats alone, trees", *WAYS}
    assert all(0.5 < auc <= 1 for auc in found.values())
