"""The linear probe for numbers: standardised features and ridge regression, unknown targets out.

Letters: n records, D features, K targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.errors import CheckpointError, DataError

ALPHAS = np.logspace(-1, 5, 13)  # ours: from hardly any penalty to hardly any fit


class RidgeProbe(RegressorMixin, BaseEstimator):
    """Ridge regression on standardised features.

    Parameters
    ----------
    alpha : float or None
        Strength of the L2 penalty; None chooses it by generalised cross-validation.

    Attributes
    ----------
    coef_ : ndarray, shape (K, D)
        Of the standardised features.
    intercept_ : ndarray, shape (K,)
    alpha_ : ndarray, shape (K,)
    scaler_ : StandardScaler
    n_features_in_ : int
    """

    def __init__(self, *, alpha: float | None = None) -> None:
        self.alpha = alpha

    def fit(self, X: ArrayLike, y: ArrayLike) -> RidgeProbe:
        """Fit scaler and regression.

        Parameters
        ----------
        X : array-like, shape (n, D)
        y : array-like, shape (n,) or (n, K)
            Numbers; with several columns, NaN where unknown.

        Raises
        ------
        DataError, ValueError
            If features or targets cannot be used.
        """
        features: NDArray = validate_data(self, X, dtype=[np.float64, np.float32])
        targets, self._flat = read_targets(y, len(features), estimator="RidgeProbe")
        self.scaler_ = StandardScaler().fit(features.astype(np.float64))
        Z = self.scaler_.transform(features.astype(np.float64))
        fits = [self._column(Z, column) for column in targets.T]
        self.coef_ = np.stack([fit.coef_ for fit in fits])
        self.intercept_ = np.array([fit.intercept_ for fit in fits])
        self.alpha_ = np.array([fit.alpha_ if self.alpha is None else self.alpha for fit in fits])
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Numbers, (n,) or (n, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        out = self.scaler_.transform(X) @ self.coef_.T + self.intercept_
        return out[:, 0] if self._flat else out

    def export_state(self) -> dict[str, NDArray]:
        """The fitted numbers: `mean` and `std` (D,), `coef` (K, D), `intercept` (K,)."""
        check_is_fitted(self)
        arrays = {"mean": self.scaler_.mean_, "std": self.scaler_.scale_}
        return arrays | {"coef": self.coef_, "intercept": self.intercept_}

    @classmethod
    def from_state(cls, state: Mapping[str, ArrayLike], *, flat: bool) -> RidgeProbe:
        """A fitted probe from `export_state`; `flat` predicts (n,).

        Raises
        ------
        CheckpointError
            If the arrays do not fit together.
        """
        arrays = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
        shapes = {name: value.shape for name, value in arrays.items()}
        K, D = shapes.get("coef", (0, 0)) if arrays["coef"].ndim == 2 else (0, 0)
        wanted = {"mean": (D,), "std": (D,), "coef": (K, D), "intercept": (K,)}
        if shapes != wanted or not K or (flat and K != 1):
            raise CheckpointError(f"expected the arrays of a ridge probe, got shapes {shapes}")
        probe = cls()
        scaler = probe.scaler_ = StandardScaler()
        scaler.mean_, scaler.scale_ = arrays["mean"], arrays["std"]
        scaler.n_features_in_ = probe.n_features_in_ = D
        probe.coef_, probe.intercept_ = arrays["coef"], arrays["intercept"]
        probe._flat = flat
        return probe

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _column(self, Z: NDArray, target: NDArray) -> Any:
        known = ~np.isnan(target)
        model = RidgeCV(alphas=ALPHAS) if self.alpha is None else Ridge(alpha=self.alpha)
        return model.fit(Z[known], target[known])


def read_targets(y: Any, n_records: int, *, estimator: str) -> tuple[NDArray[np.float64], bool]:
    """Numbers to predict, (n, K), and whether they were given as (n,).

    Raises
    ------
    DataError
        If they are missing, of another number, not real, or a column has fewer than two known.
    """
    if y is None:
        raise DataError(
            f"{estimator} requires y to be passed, but the target y is None: give one number a "
            "record"
        )
    try:
        values = np.asarray(y)
        numeric = values.dtype.kind in "fiub" or values.dtype == object
        targets = values.astype(np.float64) if numeric else None
    except (TypeError, ValueError):
        targets = None
    if targets is None or targets.ndim not in (1, 2):
        raise DataError(f"expected real numbers y of shape (n,) or (n, K), got {type(y).__name__}")
    if len(targets) != n_records:
        raise DataError(
            f"expected one target a record, got inconsistent numbers of {n_records} records and "
            f"{len(targets)} targets"
        )
    flat = targets.ndim == 1
    table = targets[:, None] if flat else targets
    if np.isinf(table).any() or (table.shape[1] == 1 and np.isnan(table).any()):
        raise DataError(
            "expected finite numbers, got y that contains NaN or infinity: leave these records "
            "out (unknown numbers may stay in y of several columns)"
        )
    if ((~np.isnan(table)).sum(axis=0) < 2).any():
        raise DataError(
            f"expected at least 2 known numbers in every column of y, got {len(table)} sample(s): "
            "give more records (1 sample has no spread)"
        )
    return table, flat
