"""F1 with thresholds that were fixed on other records.

A threshold chosen on the records that are reported on fits their noise; PTB-XL's published F1
("Fmax") does so. Here a threshold comes from validation scores and is only applied to others.

Letters: n records, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from biojepa.errors import DataError
from biojepa.evaluation.metrics import Floats, as_columns


def f1_thresholds(y_true: ArrayLike, y_score: ArrayLike) -> Floats:
    """The threshold of each class at which F1 is largest on these (validation) records.

    Parameters
    ----------
    y_true : array-like, shape (n,) or (n, C)
        0, 1 or NaN (unknown: left out of its class).
    y_score : array-like, shape (n,) or (n, C)

    Returns
    -------
    ndarray, shape (C,)
        A record is positive when its score is above. Half-way between two scores, so that it does
        not hang on one record; infinite for a class without a positive, which is never called.

    Raises
    ------
    DataError
        As `biojepa.evaluation.macro_auc`.
    """
    y, scores = as_columns(y_true, y_score)
    return np.array([_best(labels, score) for labels, score in zip(y.T, scores.T, strict=True)])


def f1_per_class(y_true: ArrayLike, y_score: ArrayLike, thresholds: ArrayLike) -> Floats:
    """F1 of each class with given thresholds.

    Parameters
    ----------
    y_true, y_score : array-like, shape (n,) or (n, C)
    thresholds : array-like, shape (C,) or (n, C)
        One a class, or one a record and class where folds have their own.

    Returns
    -------
    ndarray, shape (C,)
        NaN for a class without a positive.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    y, scores = as_columns(y_true, y_score)
    limits = np.asarray(thresholds, dtype=np.float64)
    if limits.shape not in ((y.shape[1],), y.shape):
        raise DataError(f"expected thresholds ({y.shape[1]},) or {y.shape}, got {limits.shape}")
    called = scores > limits
    known = ~np.isnan(y)
    hits = (called & (y == 1)).sum(0)
    wrong = (called & known & (y == 0)).sum(0)
    missed = (~called & (y == 1)).sum(0)
    nothing = np.full(y.shape[1], np.nan)
    return np.divide(2 * hits, 2 * hits + wrong + missed, out=nothing, where=hits + missed > 0)


def _best(labels: Floats, score: Floats) -> float:
    known = ~np.isnan(labels)
    labels, score = labels[known], score[known]
    n_positive = (labels == 1).sum()
    if n_positive == 0:
        return np.inf
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + n_positive)
    # a threshold stands between two different scores only
    f1[:-1][ranked[:-1] == ranked[1:]] = -1
    last = int(f1.argmax())
    if last + 1 < len(ranked):
        return float((ranked[last] + ranked[last + 1]) / 2)
    return float(np.nextafter(ranked[last], -np.inf))
