"""The ridge probe: leave-one-out penalty, calibrated log odds, unknown labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.metrics import brier_score_loss, roc_auc_score

from biojepa.errors import DataError
from biojepa.estimators.ridge import ALPHAS, RidgeProbe

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 400))
COLUMNS = np.stack([X[:, :20].sum(1) > 0, X[:, 20:40].sum(1) > 2, X[:, 9] > -1], axis=1).astype(
    float
)


def test_the_penalty_and_the_order_are_those_of_leave_one_out_ridge() -> None:
    fitted = RidgeProbe().fit(X, COLUMNS)
    for k in range(3):
        alone = RidgeCV(alphas=ALPHAS).fit(X, 2 * COLUMNS[:, k] - 1)
        assert fitted.alpha_[k] == pytest.approx(alone.alpha_)
        scores, theirs = fitted.decision_function(X)[:, k], alone.predict(X)
        np.testing.assert_allclose(np.corrcoef(scores, theirs)[0, 1], 1)


def test_probabilities_of_new_records_are_better_than_the_base_rate() -> None:
    fitted = RidgeProbe().fit(X[:80], COLUMNS[:80])
    proba = fitted.predict_proba(X[80:])
    for k in (0, 1):
        truth = COLUMNS[80:, k]
        rate = COLUMNS[:80, k].mean()
        assert roc_auc_score(truth, proba[:, k]) > 0.6
        assert brier_score_loss(truth, proba[:, k]) < np.mean((truth - rate) ** 2)


def test_noise_is_not_called_certain() -> None:
    y = RNG.integers(0, 2, (120, 2)).astype(float)
    proba = RidgeProbe().fit(X[:80], y[:80]).predict_proba(X[80:])
    assert np.abs(proba - 0.5).max() < 0.35


def test_an_unknown_label_leaves_the_record_out_of_that_column() -> None:
    y = COLUMNS.copy()
    y[:30, 1] = np.nan
    fitted = RidgeProbe().fit(X, y)
    alone = RidgeProbe().fit(X[30:], y[30:, :2])
    np.testing.assert_allclose(
        fitted.decision_function(X)[:, 1], alone.decision_function(X)[:, 1], atol=1e-8
    )
    whole = RidgeProbe().fit(X, COLUMNS)
    np.testing.assert_allclose(
        fitted.decision_function(X)[:, 0], whole.decision_function(X)[:, 0], atol=1e-8
    )


def test_classes_and_constant_columns() -> None:
    names = np.array(["a", "b", "c"])[np.digitize(X[:, :20].sum(1), [-2, 2])]
    fitted = RidgeProbe().fit(X, names)
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)
    assert (fitted.predict(X) == names).mean() > 0.7
    two = RidgeProbe().fit(X, names == "a")
    assert two.decision_function(X).shape == (120,)
    y = COLUMNS.copy()
    y[:, 2] = 1
    assert RidgeProbe().fit(X, y).predict_proba(X)[:, 2].min() > 1 - 1e-12
    y[:, 2] = np.nan
    with pytest.raises(DataError, match="known label in every column"):
        clone(fitted).fit(X, y)
