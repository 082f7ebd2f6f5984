"""Ridge regression as a classifier for many more features than records, with probabilities.

The penalty is the one with the least leave-one-out error, which ridge regression has in closed
form; a logistic curve through the leave-one-out predictions turns scores into log odds, so no
record calibrates a score that it helped to fit.

Letters: n records, D features, K classes or columns.

References
----------
Platt 1999, Probabilistic outputs for support vector machines (the logistic curve).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.errors import DataError
from biojepa.estimators.labels import read_labels
from biojepa.estimators.probe import CERTAIN

ALPHAS = tuple(float(a) for a in np.logspace(-3, 6, 19))  # ours: to where 50,000 features need it
LEAST_SLOPE = 0.01  # ours: scores keep their order also where leave-one-out finds nothing


class RidgeProbe(ClassifierMixin, BaseEstimator):
    """Ridge classifier with a penalty by leave-one-out and calibrated log odds.

    Features are taken as they are: scale them before.

    Parameters
    ----------
    alphas : sequence of float
        Penalties to choose from, for each column on its own.

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    alpha_ : ndarray, shape (K,) or (1,) for two classes
        Chosen penalties; NaN for a column of one class.
    coef_ : ndarray, shape (K, D) or (1, D)
        Of the log odds.
    intercept_ : ndarray, shape (K,) or (1,)
    n_features_in_ : int
    """

    def __init__(self, *, alphas: tuple[float, ...] = ALPHAS) -> None:
        self.alphas = alphas

    def fit(self, X: ArrayLike, y: ArrayLike) -> RidgeProbe:
        """Fit.

        Parameters
        ----------
        X : array-like, shape (n, D)
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown: the record is left out of that column).

        Raises
        ------
        DataError, ConfigError, ValueError
            If features or labels cannot be used.
        """
        features: NDArray = validate_data(self, X, dtype=np.float64)
        code, labels = read_labels(y, len(features), estimator="RidgeProbe")
        if code.columns:
            columns = labels
        else:
            columns = np.eye(len(code))[labels][:, 1 if len(code) == 2 else 0 :]
        n_columns = columns.shape[1]
        self.coef_ = np.zeros((n_columns, features.shape[1]))
        self.intercept_, self.alpha_ = np.zeros(n_columns), np.full(n_columns, np.nan)
        known = ~np.isnan(columns)
        # columns that know the same records share one decomposition
        for rows in np.unique(known, axis=1).T:
            together = np.flatnonzero((known == rows[:, None]).all(axis=0))
            self._fit_columns(features[rows], columns[rows][:, together], together)
        self.classes_ = code.classes_
        self._code = code
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log odds: (n,) for two classes, else (n, K)."""
        check_is_fitted(self)
        features: NDArray = validate_data(self, X, dtype=np.float64, reset=False)
        scores = features @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, (n, K); of 1 in each column for 0/1 columns."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return self._code.probabilities(scores)

    def predict(self, X: ArrayLike) -> NDArray:
        """Classes (n,), or 0/1 columns (n, K)."""
        scores = self.decision_function(X)
        return self._code.predict(scores)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _fit_columns(self, X: NDArray, targets: NDArray, places: NDArray) -> None:
        """Columns in which the labels of all rows of X are known."""
        if not len(X):
            raise DataError("expected a known label in every column of y, got one with none")
        constant = (targets == targets[0]).all(axis=0)
        self.intercept_[places[constant]] = np.where(targets[0, constant] > 0, CERTAIN, -CERTAIN)
        places, targets = places[~constant], targets[:, ~constant]
        if not len(places):
            return
        ridge = RidgeCV(
            alphas=self.alphas,
            scoring="neg_mean_squared_error",  # with a scorer, predictions are stored
            alpha_per_target=targets.shape[1] > 1,
            store_cv_results=True,
        ).fit(X, 2 * targets - 1)
        chosen = np.atleast_1d(ridge.alpha_)
        left_out = ridge.cv_results_.reshape(len(X), len(places), len(self.alphas))
        weights = np.atleast_2d(ridge.coef_)
        offsets = np.atleast_1d(ridge.intercept_)
        for k, place in enumerate(places.tolist()):
            unseen = left_out[:, k, self.alphas.index(float(chosen[k]))]
            curve = LogisticRegression(C=10.0).fit(unseen[:, None], targets[:, k].astype(int))
            slope = max(float(curve.coef_[0, 0]), LEAST_SLOPE)
            self.coef_[place] = slope * weights[k]
            self.intercept_[place] = slope * offsets[k] + float(curve.intercept_[0])
            self.alpha_[place] = chosen[k]
