"""One binary classifier a class, also with unknown labels, around any scikit-learn classifier.

Letters: n records, D features, K classes or columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.errors import DataError
from biojepa.estimators.labels import draw_seed, read_labels
from biojepa.estimators.probe import CERTAIN


class PerClass(ClassifierMixin, BaseEstimator):
    """Each class against the others; a record counts only where its label is known.

    Parameters
    ----------
    estimator : scikit-learn classifier
        With `decision_function` as log odds. A clone of it is fitted for each class.
    random_state : int, RandomState, Generator or None
        Given to the clones, if they take one.

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    estimators_ : list of classifier or float
        One for two classes, else K; a number is the log odds of a class that is always or never
        there.
    n_features_in_ : int
    """

    def __init__(self, estimator: Any, *, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> PerClass:
        """Fit.

        Parameters
        ----------
        X : array-like, shape (n, D)
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown).

        Raises
        ------
        DataError, ConfigError, ValueError
            If features, labels or settings cannot be used.
        """
        features: NDArray = validate_data(self, X, dtype=np.float64)
        code, labels = read_labels(y, len(features), estimator="PerClass")
        seed = draw_seed(self.random_state)
        if code.columns:
            columns = list(labels.T)
        else:
            wanted = range(1, 2) if len(code) == 2 else range(len(code))
            columns = [(labels == k).astype(np.float64) for k in wanted]
        self.estimators_ = [self._one(features, column, seed) for column in columns]
        self.classes_ = code.classes_
        self._code = code
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log odds of each class against the others: (n,) for two classes, else (n, K)."""
        check_is_fitted(self)
        features: NDArray = validate_data(self, X, dtype=np.float64, reset=False)
        scores = [
            np.full(len(features), fitted)
            if isinstance(fitted, float)
            else np.asarray(fitted.decision_function(features), dtype=np.float64)
            for fitted in self.estimators_
        ]
        return scores[0] if len(scores) == 1 else np.stack(scores, axis=1)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, (n, K), scaled to sum 1; of 1 in each column for columns."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        if self._code.columns or len(self.estimators_) == 1:
            return self._code.probabilities(scores)
        alone = 0.5 * (1.0 + np.tanh(0.5 * scores))
        return alone / alone.sum(axis=1, keepdims=True)

    def predict(self, X: ArrayLike) -> NDArray:
        """Classes (n,), or 0/1 columns (n, K)."""
        scores = self.decision_function(X)
        return self._code.predict(scores)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _one(self, features: NDArray, column: NDArray, seed: int) -> Any:
        known = ~np.isnan(column)
        target = column[known].astype(int)
        if not len(target):
            raise DataError("expected a known label in every column of y, got one with none")
        if (target == target[0]).all():
            return CERTAIN if target[0] else -CERTAIN
        own = clone(self.estimator)
        if "random_state" in own.get_params():
            own.set_params(random_state=seed)
        return own.fit(features[known], target)
