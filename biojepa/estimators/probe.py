"""The linear probe: standardised features and logistic regression, also with unknown labels.

Letters: n records, D features, K classes or columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.errors import CheckpointError, DataError
from biojepa.estimators.labels import (
    ClassWeight,
    LabelCode,
    check_class_weight,
    draw_seed,
    read_labels,
)

CERTAIN = 40.0  # ours: a log odds whose probability is 0 or 1 to within 1e-17

# ours: a float32 feature that varies by less than so much of itself varies by rounding, which
# standardisation would blow up to the size of the others
ROUNDING = 1e-5


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Logistic regression on standardised features.

    Parameters
    ----------
    C : float
        Inverse strength of the L2 penalty; small for a few hundred records.
    class_weight : "balanced", dict or None
        As in scikit-learn; for 0/1 columns, of the classes 0 and 1 in each.
    max_iter : int
    random_state : int, RandomState, Generator or None
        The solver makes no draw; taken so that pipelines can set it.

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    coef_ : ndarray, shape (K, D), or (1, D) for two classes
        Of the standardised features.
    intercept_ : ndarray, shape (K,) or (1,)
    scaler_ : StandardScaler
    n_iter_ : ndarray
        Iterations of each regression.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from biojepa.estimators.probe import LinearProbe
    >>> X = np.random.default_rng(0).standard_normal((60, 4))
    >>> y = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(float)
    >>> y[:10, 1] = np.nan  # unknown
    >>> LinearProbe().fit(X, y).predict_proba(X).shape
    (60, 2)
    """

    def __init__(
        self,
        *,
        C: float = 0.01,
        class_weight: ClassWeight = None,
        max_iter: int = 1000,
        random_state: Any = None,
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> LinearProbe:
        """Fit scaler and regression.

        Parameters
        ----------
        X : array-like, shape (n, D)
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown: the record is left out of that column).
            A column with one known class predicts that class.

        Returns
        -------
        LinearProbe

        Raises
        ------
        DataError, ConfigError, ValueError
            If features, labels or settings cannot be used.
        """
        check_class_weight(self.class_weight)
        features: NDArray = validate_data(self, X, dtype=[np.float64, np.float32])
        code, labels = read_labels(y, len(features), estimator="LinearProbe")
        seed = draw_seed(self.random_state)
        self.scaler_ = StandardScaler().fit(features.astype(np.float64))
        if features.dtype == np.float32:
            noise = self.scaler_.scale_ < ROUNDING * np.abs(features).max(axis=0)
            self.scaler_.scale_[noise] = 1.0
        Z = self.scaler_.transform(features.astype(np.float64))
        targets = labels.T if code.columns else [code.classes[labels]]
        fits = [self._regression(Z, target, seed) for target in targets]
        self.coef_ = np.concatenate([coef for coef, _, _ in fits])
        self.intercept_ = np.concatenate([intercept for _, intercept, _ in fits])
        self.n_iter_ = np.concatenate([n_iter for _, _, n_iter in fits])
        self.classes_ = code.classes_
        self._code = code
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log odds: (n,) for two classes, else (n, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scores = self.scaler_.transform(X) @ self.coef_.T + self.intercept_
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

    def export_state(self) -> dict[str, NDArray]:
        """The fitted numbers: `mean` and `std` (D,), `coef` (K, D), `intercept` (K,)."""
        check_is_fitted(self)
        scaler = self.scaler_
        arrays = {"mean": scaler.mean_, "std": scaler.scale_}
        return arrays | {"coef": self.coef_, "intercept": self.intercept_}

    @classmethod
    def from_state(cls, state: Mapping[str, ArrayLike], code: LabelCode) -> LinearProbe:
        """A fitted probe from `export_state`.

        Raises
        ------
        CheckpointError
            If the arrays do not fit together or to the classes.
        """
        arrays = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
        shapes = {name: value.shape for name, value in arrays.items()}
        n_rows = 1 if not code.columns and len(code) == 2 else len(code)
        n_features = shapes["mean"][0] if shapes.get("mean") else 0
        expected = {"mean": (n_features,), "std": (n_features,)}
        if shapes != expected | {"coef": (n_rows, n_features), "intercept": (n_rows,)}:
            raise CheckpointError(
                f"expected mean and std (D,), coef ({n_rows}, D) and intercept ({n_rows},) of a "
                f"probe of {len(code)} classes, got {shapes}"
            )
        probe = cls()
        scaler = probe.scaler_ = StandardScaler()
        scaler.mean_, scaler.scale_ = arrays["mean"], arrays["std"]
        scaler.n_features_in_ = probe.n_features_in_ = n_features
        probe.coef_, probe.intercept_ = arrays["coef"], arrays["intercept"]
        probe.classes_ = code.classes_
        probe._code = code
        return probe

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _regression(
        self, Z: NDArray, target: NDArray, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray]:
        """Weights, offset and iterations of one regression; of a constant if there is one class."""
        if target.dtype.kind == "f":
            known = ~np.isnan(target)
            Z, target = Z[known], target[known]
            if not len(target):
                raise DataError("expected a known label in every column of y, got one with none")
        if (target == target[0]).all():
            constant = np.array([CERTAIN if target[0] else -CERTAIN])
            return np.zeros((1, Z.shape[1])), constant, np.ones(1, dtype=int)
        weight = self.class_weight
        regression = LogisticRegression(
            C=self.C,
            class_weight=weight if weight is None or isinstance(weight, str) else dict(weight),
            max_iter=self.max_iter,
            random_state=seed,
        ).fit(Z, target)
        return regression.coef_, regression.intercept_, regression.n_iter_
