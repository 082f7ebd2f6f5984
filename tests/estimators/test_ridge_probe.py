"""The ridge probe against scikit-learn's ridge, and with unknown targets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from biojepa.errors import CheckpointError, DataError
from biojepa.estimators.ridge_probe import RidgeProbe

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5)) * [1, 10, 0.1, 1, 1] + 3
Y = X @ np.array([1.0, 0.2, 3.0, 0.0, 0.0]) + 0.1 * RNG.standard_normal(60)


def test_it_is_ridge_on_standardised_features() -> None:
    Z = StandardScaler().fit_transform(X)
    expected = Ridge(alpha=2.0).fit(Z, Y).predict(Z)
    np.testing.assert_allclose(RidgeProbe(alpha=2.0).fit(X, Y).predict(X), expected)


def test_the_penalty_is_chosen_and_follows_the_noise() -> None:
    noise = RNG.standard_normal(60)
    assert RidgeProbe().fit(X, Y).alpha_[0] < RidgeProbe().fit(X, noise).alpha_[0]


def test_unknown_targets_are_left_out_of_their_column() -> None:
    targets = np.stack([Y, -Y], axis=1)
    targets[:20, 1] = np.nan
    both = RidgeProbe(alpha=1.0).fit(X, targets)
    assert both.predict(X).shape == (60, 2)
    np.testing.assert_allclose(both.coef_[0], RidgeProbe(alpha=1.0).fit(X, Y).coef_[0])


def test_the_fitted_numbers_rebuild_it() -> None:
    probe = RidgeProbe().fit(X, Y)
    again = RidgeProbe.from_state(probe.export_state(), flat=True)
    np.testing.assert_array_equal(again.predict(X), probe.predict(X))
    state = probe.export_state() | {"mean": np.zeros(4)}
    with pytest.raises(CheckpointError, match="ridge probe"):
        RidgeProbe.from_state(state, flat=True)


@pytest.mark.parametrize("y", [None, Y[:-1], np.where(Y > 3, np.nan, Y), np.full(60, "a")])
def test_targets_that_cannot_be_used_are_refused(y) -> None:
    with pytest.raises(DataError, match=r"expected|requires"):
        RidgeProbe().fit(X, y)


@parametrize_with_checks([RidgeProbe(alpha=1.0)])
def test_it_obeys_scikit_learn(estimator, check) -> None:
    check(estimator)
