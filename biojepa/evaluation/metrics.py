"""Multi-label metrics that say which classes they rest on.

A class without a positive (or without a negative) has no AUC. scikit-learn of today returns NaN
for it, which spoils a mean without a word, and older versions raised. Here such a class is left out
of the mean and listed by `per_class_auc`; if nothing is left, that is an error, never a NaN.

Shapes: n records, C classes, R resamples. Every metric is computed from per-record weights, so that
a bootstrap resample is a column of counts and a thousand of them are one pass over sorted scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from biojepa.errors import ConfigError, DataError

Floats = NDArray[np.float64]
ClassRule = Literal["present", "all"]
Kind = Literal["auc", "auprc", "brier"]


def macro_auc(y_true: ArrayLike, y_score: ArrayLike, *, rule: ClassRule = "present") -> float:
    """Mean over classes of the area under the ROC curve.

    Parameters
    ----------
    y_true : array-like, shape (n,) or (n, C)
        0, 1 or bool; NaN where a label is unknown (that record is left out of that class). With
        scores of C >= 3 columns, shape (n,) holds class numbers 0 .. C-1 (one against the rest).
    y_score : array-like, shape (n,) or (n, C)
        Any increasing score: probabilities, logits. For binary labels of shape (n,) two columns
        are allowed; the second is that of class 1.
    rule : {"present", "all"}
        "present" takes the mean over classes that have a positive and a negative; "all" raises if
        any class has not.

    Returns
    -------
    float
        Ties count one half, as everywhere.

    Raises
    ------
    DataError
        If shapes do not match, labels are not 0/1, scores are NaN, no class has both a positive
        and a negative, or `rule="all"` and some class has not.
    """
    return _macro(*as_columns(y_true, y_score), kind="auc", rule=rule)


def auprc(y_true: ArrayLike, y_score: ArrayLike, *, rule: ClassRule = "present") -> float:
    """Mean over classes of the average precision (area under precision and recall, stepwise).

    Parameters
    ----------
    y_true, y_score, rule
        As in `macro_auc`; the same classes are left out.

    Returns
    -------
    float

    Raises
    ------
    DataError
        As `macro_auc`.
    """
    return _macro(*as_columns(y_true, y_score), kind="auprc", rule=rule)


def brier(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean over classes of the squared error of probabilities.

    Parameters
    ----------
    y_true : array-like, shape (n,) or (n, C)
        As in `macro_auc`.
    y_score : array-like, shape (n,) or (n, C)
        Probabilities, 0 to 1.

    Returns
    -------
    float
        0 is perfect, 0.25 is a constant one half. Classes without any known label are left out.

    Raises
    ------
    DataError
        As `macro_auc`, and if scores are not probabilities.
    """
    y, scores = as_columns(y_true, y_score)
    check_probabilities(scores)
    return _macro(y, scores, kind="brier", rule="present")


def per_class_auc(
    y_true: ArrayLike, y_score: ArrayLike, classes: Sequence[str] | None = None
) -> pd.DataFrame:
    """Area under the ROC curve of each class, and what it rests on.

    Parameters
    ----------
    y_true, y_score : array-like
        As in `macro_auc`.
    classes : sequence of str, length C, optional
        Names of the columns; numbers without it.

    Returns
    -------
    DataFrame
        One row a class: `auc` (NaN where it is not defined), `n_positive`, `n_negative`,
        `n_unknown`.

    Raises
    ------
    DataError
        If shapes, labels or scores are not usable, or `classes` has another length.
    """
    y, scores = as_columns(y_true, y_score)
    names = list(range(y.shape[1])) if classes is None else list(classes)
    if len(names) != y.shape[1]:
        raise DataError(f"expected {y.shape[1]} class names, got {len(names)}")
    weights = np.ones((len(y), 1))
    return pd.DataFrame(
        {
            "auc": class_values(y, scores, weights, kind="auc")[:, 0],
            "n_positive": (y == 1).sum(0),
            "n_negative": (y == 0).sum(0),
            "n_unknown": np.isnan(y).sum(0),
        },
        index=pd.Index(names, name="class"),
    )


def as_columns(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Floats, Floats]:
    """Labels and scores as matrices of one shape (n, C), checked.

    Raises
    ------
    DataError
        As `macro_auc`.
    """
    y, scores = _floats(y_true, "labels"), _floats(y_score, "scores")
    if y.ndim not in (1, 2) or scores.ndim not in (1, 2) or len(y) != len(scores) or len(y) == 0:
        raise DataError(
            "expected labels and scores of the same records, shapes (n,) or (n, classes), got "
            f"{y.shape} and {scores.shape}"
        )
    if np.isnan(scores).any():
        rows = np.unique(np.nonzero(np.isnan(scores))[0])
        raise DataError(
            f"expected scores without NaN, got NaN in {len(rows)} of {len(scores)} records "
            f"(first: row {rows[0]}): look for NaN in the features or a diverged classifier"
        )
    if scores.ndim == 1:
        scores = scores[:, None]
    if y.ndim == 1:
        y = y[:, None]
        if scores.shape[1] == 2:
            scores = scores[:, 1:]
        elif scores.shape[1] > 2:
            y = _one_against_rest(y[:, 0], scores.shape[1])
    if y.shape != scores.shape:
        raise DataError(
            f"expected as many score columns as label columns, got {scores.shape[1]} and "
            f"{y.shape[1]}"
        )
    odd = ~(np.isnan(y) | (y == 0) | (y == 1))
    if odd.any():
        raise DataError(
            f"expected labels 0, 1 or NaN (unknown), got {y[odd][0]:g}: one column a class, or "
            "class numbers with one score column a class"
        )
    return y, scores


def check_probabilities(scores: Floats) -> None:
    """Raise a DataError if the scores are not within 0 and 1."""
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        raise DataError(
            f"expected probabilities between 0 and 1, got {scores.min():g} to {scores.max():g}: "
            "pass predict_proba, or the sigmoid of the logits"
        )


def class_values(y: Floats, scores: Floats, weights: Floats, *, kind: Kind) -> Floats:
    """A metric of each class for each of R weightings of the records.

    Parameters
    ----------
    y, scores : ndarray, shape (n, C)
        From `as_columns`.
    weights : ndarray, shape (n, R)
        How often each record counts.
    kind : {"auc", "auprc", "brier"}

    Returns
    -------
    ndarray, shape (C, R)
        NaN where a class has no positive or no negative (brier: no known label).
    """
    values = np.empty((y.shape[1], weights.shape[1]))
    for column, (labels, score) in enumerate(zip(y.T, scores.T, strict=True)):
        known = ~np.isnan(labels)
        labels, score, counts = labels[known], score[known], weights[known]
        if len(labels) == 0:
            values[column] = np.nan
        elif kind == "brier":
            values[column] = _ratio((labels - score) ** 2 @ counts, counts.sum(0))
        else:
            positive, negative = _counts_by_score(labels, score, counts)
            curve = _auc if kind == "auc" else _average_precision
            values[column] = curve(positive, negative)
    return values


def _counts_by_score(labels: Floats, score: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Weight of positives and negatives at each distinct score, rising, shapes (S, R)."""
    order = np.argsort(score, kind="stable")
    sorted_score = score[order]
    first = np.flatnonzero(np.r_[True, sorted_score[1:] != sorted_score[:-1]])
    counts, is_positive = counts[order], labels[order, None] == 1
    positive = np.add.reduceat(np.where(is_positive, counts, 0.0), first, axis=0)
    negative = np.add.reduceat(np.where(is_positive, 0.0, counts), first, axis=0)
    return positive, negative


def _auc(positive: Floats, negative: Floats) -> Floats:
    below = np.cumsum(negative, axis=0) - 0.5 * negative
    pairs = positive.sum(0) * negative.sum(0)
    return _ratio((positive * below).sum(0), pairs)


def _average_precision(positive: Floats, negative: Floats) -> Floats:
    hits = np.cumsum(positive[::-1], axis=0)
    called = hits + np.cumsum(negative[::-1], axis=0)
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    n_positive = np.where(negative.sum(0) > 0, hits[-1], 0.0)
    return _ratio((precision * positive[::-1]).sum(0), n_positive)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    undefined = np.full_like(numerator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _macro(y: Floats, scores: Floats, *, kind: Kind, rule: ClassRule) -> float:
    if rule not in get_args(ClassRule):
        raise ConfigError(f"expected rule of {list(get_args(ClassRule))}, got {rule!r}")
    values = class_values(y, scores, np.ones((len(y), 1)), kind=kind)[:, 0]
    defined = ~np.isnan(values)
    if not defined.any():
        raise DataError(
            f"expected at least one class with a positive and a negative among {len(y)} records, "
            f"got none of {y.shape[1]}: use more records, or splits stratified by label"
        )
    if rule == "all" and not defined.all():
        raise DataError(
            "expected a positive and a negative in every class, got none in columns "
            f'{np.flatnonzero(~defined).tolist()}: pass rule="present" to leave them out'
        )
    return float(values[defined].mean())


def _one_against_rest(labels: Floats, n_classes: int) -> Floats:
    known = ~np.isnan(labels)
    if not np.isin(labels[known], np.arange(n_classes)).all():
        raise DataError(
            f"expected class numbers 0 .. {n_classes - 1} for {n_classes} score columns, got "
            f"{np.unique(labels[known])[:5].tolist()}"
        )
    y = (labels[:, None] == np.arange(n_classes)).astype(np.float64)
    y[~known] = np.nan
    return y


def _floats(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"expected numeric {name}: encode class names as 0/1 columns first ({error})"
        ) from error
