"""One set of answers, whether a probe was fitted or a network."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from biojepa.estimators.classifier import RecordClassifier
from biojepa.estimators.labels import read_labels
from biojepa.estimators.probe import LinearProbe

X = np.random.default_rng(0).standard_normal((40, 3))
CLASSES = np.array(["ill", "well"])[(X[:, 0] > 0).astype(int)]
COLUMNS = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(float)


class OfProbe(RecordClassifier):
    def fit(self, X, y):
        self.probe_ = LinearProbe(C=100).fit(self._features(X), y)
        self.classes_ = self.probe_.classes_
        return self

    def _features(self, X):
        return 2 * X


class OfNetwork(RecordClassifier):
    def fit(self, X, y):
        self._code, _ = read_labels(y, len(X), estimator="OfNetwork")
        self.probe_, self.classes_ = None, self._code.classes_
        return self

    def _logits(self, X):
        return np.stack([-X[:, 0], X[:, 0]], axis=1) if self._code.dtype.kind == "U" else X[:, :2]


@pytest.mark.parametrize("kind", [OfProbe, OfNetwork])
def test_classes_scores_and_probabilities_agree(kind) -> None:
    found = kind().fit(X, CLASSES)
    assert found.decision_function(X).shape == (40,)
    assert np.allclose(found.predict_proba(X).sum(axis=1), 1)
    assert np.array_equal(
        found.predict(X), np.array(["ill", "well"])[found.predict_proba(X).argmax(1)]
    )
    assert found.score(X, CLASSES) > 0.9


@pytest.mark.parametrize("kind", [OfProbe, OfNetwork])
def test_columns_are_judged_one_by_one(kind) -> None:
    found = kind().fit(X, COLUMNS)
    assert found.predict_proba(X).shape == (40, 2)
    assert np.array_equal(found.predict(X), found.predict_proba(X) > 0.5)
    assert (found.predict(X) == COLUMNS).mean() > 0.9


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_nothing_is_answered_before_fit(method) -> None:
    with pytest.raises(NotFittedError):
        getattr(OfProbe(), method)(X)
