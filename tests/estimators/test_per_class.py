"""One binary classifier a class: columns with unknown labels, classes, constant columns."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from biojepa.errors import DataError
from biojepa.estimators.per_class import PerClass

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 4))
COLUMNS = np.stack([X[:, 0] > 0, X[:, 1] > 0.2, X[:, 2] > -0.2], axis=1).astype(float)


def test_each_column_is_its_own_classifier_on_its_known_records() -> None:
    y = COLUMNS.copy()
    y[:20, 1] = np.nan
    fitted = PerClass(LogisticRegression()).fit(X, y)
    scores = fitted.decision_function(X)
    alone = LogisticRegression().fit(X[20:], y[20:, 1])
    np.testing.assert_allclose(scores[:, 1], alone.decision_function(X))
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 1], alone.predict_proba(X)[:, 1])
    np.testing.assert_array_equal(fitted.predict(X), (scores > 0).astype(float))


def test_two_classes_are_one_classifier() -> None:
    y = np.where(COLUMNS[:, 0] > 0, "AF", "SR")
    fitted = PerClass(LogisticRegression()).fit(X, y)
    alone = LogisticRegression().fit(X, y)
    assert len(fitted.estimators_) == 1
    np.testing.assert_allclose(fitted.decision_function(X), alone.decision_function(X))
    np.testing.assert_allclose(fitted.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(fitted.predict(X), alone.predict(X))


def test_several_classes_give_probabilities_that_sum_to_one() -> None:
    y = np.array(["a", "b", "c"])[np.clip(X[:, 0].round(), -1, 1).astype(int) + 1]
    fitted = PerClass(LogisticRegression()).fit(X, y)
    proba = fitted.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (fitted.classes_[proba.argmax(axis=1)] == fitted.predict(X)).all()
    assert (fitted.predict(X) == y).mean() > 0.7


def test_a_column_of_one_class_predicts_it() -> None:
    y = COLUMNS.copy()
    y[:, 1], y[:, 2] = 0, 1
    proba = PerClass(LogisticRegression()).fit(X, y).predict_proba(X)
    assert proba[:, 1].max() < 1e-12
    assert proba[:, 2].min() > 1 - 1e-12
    y[:, 1] = np.nan
    with pytest.raises(DataError, match="known label in every column"):
        PerClass(LogisticRegression()).fit(X, y)


def test_trees_are_the_same_for_the_same_random_state() -> None:
    trees = HistGradientBoostingClassifier(max_iter=5, max_features=0.5)
    first = PerClass(trees, random_state=1).fit(X, COLUMNS)
    again = clone(first).fit(X, COLUMNS)
    np.testing.assert_array_equal(first.decision_function(X), again.decision_function(X))
    assert first.estimator.random_state is None
