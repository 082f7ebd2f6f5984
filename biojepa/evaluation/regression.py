"""Metrics of predicted numbers; several columns (targets, or seeds of one) are averaged.

Shapes: n records, C columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from biojepa.errors import DataError
from biojepa.evaluation.metrics import Floats


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean distance of predicted from true numbers, in their unit.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,) or (n, C)
        NaN in `y_true` where unknown.

    Raises
    ------
    DataError
        If shapes differ, predictions are not finite, or nothing is known.
    """
    y, found = _columns(y_true, y_pred)
    return float(
        np.mean([np.abs(f - t)[~np.isnan(t)].mean() for t, f in zip(y, found, strict=False)])
    )


def pearson_r(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Pearson's correlation of predicted and true numbers; 0 for a constant prediction.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,) or (n, C)

    Raises
    ------
    DataError
        As `mean_absolute_error`, and if the true numbers are all the same.
    """
    values = []
    for t, f in zip(*_columns(y_true, y_pred), strict=True):
        known = ~np.isnan(t)
        a, b = t[known] - t[known].mean(), f[known] - f[known].mean()
        if not a.any():
            raise DataError("expected true numbers that differ, got one number throughout")
        norm = np.linalg.norm(a) * np.linalg.norm(b)
        flat = np.linalg.norm(b) <= 1e-12 * np.sqrt(len(b)) * max(1.0, float(np.abs(f).max()))
        values.append(0.0 if flat else float(a @ b / norm))
    return float(np.mean(values))


def r_squared(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Share of the variance that is explained: 1 is perfect, 0 is the mean, below is worse.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,) or (n, C)

    Raises
    ------
    DataError
        As `pearson_r`.
    """
    values = []
    for t, f in zip(*_columns(y_true, y_pred), strict=True):
        known = ~np.isnan(t)
        spread = float(np.square(t[known] - t[known].mean()).sum())
        if spread == 0:
            raise DataError("expected true numbers that differ, got one number throughout")
        values.append(1.0 - float(np.square(t[known] - f[known]).sum()) / spread)
    return float(np.mean(values))


def _columns(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Floats, Floats]:
    """Both as (C, n), checked."""
    y, found = (np.asarray(v, dtype=np.float64) for v in (y_true, y_pred))
    if y.shape != found.shape or y.ndim not in (1, 2) or not y.size:
        raise DataError(
            "expected true and predicted numbers of one shape, (n,) or (n, columns), got "
            f"{y.shape} and {found.shape}"
        )
    if not np.isfinite(found).all():
        raise DataError(
            f"expected finite predictions, got {int((~np.isfinite(found)).sum())} that are not: "
            "look for NaN in the features or a diverged model"
        )
    y, found = np.atleast_2d(y.T), np.atleast_2d(found.T)
    if np.isnan(y).all(axis=1).any() or np.isinf(y).any():
        raise DataError("expected a known, finite number in every column of y_true")
    return y, found
