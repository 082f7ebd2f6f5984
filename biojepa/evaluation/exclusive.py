"""Tasks with exactly one class a record: softmax instead of one question a class.

Classifiers are then fitted on class numbers, which makes the probe multinomial and the loss of
networks a cross-entropy. Their answers become log odds of each class whose probabilities sum to 1,
so that every metric of columns reads them as it reads the others; the temperature divides the
logits of the softmax, and the answer of a record is its most likely class.

Letters: n records, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from biojepa.errors import DataError
from biojepa.evaluation.calibration import LOG_RANGE
from biojepa.evaluation.metrics import Floats, as_columns

UNSEEN = -40.0  # ours: log probability of a class that the training part lacks, e-17


class OneOf:
    """A classifier of class numbers that answers with log odds of all classes.

    Parameters
    ----------
    classifier : object
        With `fit(X, y (n,), groups=)` and `decision_function(X)`, logits as in scikit-learn.
    """

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier

    def fit(self, X: Any, y: Floats, *, groups: Sequence[object] | None = None) -> OneOf:
        """Fit on columns (n, C) with a single 1 in each row."""
        labels = class_numbers(y)
        self.present_, self.n_classes_ = np.unique(labels), y.shape[1]
        self.classifier.fit(X, labels, groups=groups)
        return self

    def decision_function(self, X: Any) -> Floats:
        """Log odds (n, C)."""
        logits = np.asarray(self.classifier.decision_function(X), dtype=np.float64)
        if logits.ndim == 1:
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        if logits.shape[1] != len(self.present_):
            raise DataError(
                f"expected logits of {len(self.present_)} classes, got shape {logits.shape}"
            )
        log_p = np.full((len(logits), self.n_classes_), UNSEEN)
        log_p[:, self.present_] = log_softmax(logits, axis=1)
        return _log_odds(log_p)


def class_numbers(y: ArrayLike) -> NDArray[np.int64]:
    """The class of each record (n,), from 0/1 columns (n, C).

    Raises
    ------
    DataError
        If a record has not exactly one class.
    """
    columns = np.asarray(y, dtype=np.float64)
    odd = ~np.isin(columns, (0, 1)).all(axis=1) | (columns.sum(axis=1) != 1)
    if odd.any():
        raise DataError(
            f"expected exactly one class a record, got {int(odd.sum())} of {len(columns)} records "
            f"with none, several or unknown ones (first: row {np.flatnonzero(odd)[0]})"
        )
    return columns.argmax(axis=1).astype(np.int64)


def fit_softmax_temperature(y_true: ArrayLike, logits: ArrayLike) -> float:
    """The temperature of the softmax, as `fit_temperature` of single questions.

    Parameters
    ----------
    y_true : array-like, shape (n, C)
        One class a record, of validation records.
    logits : array-like, shape (n, C)
        Log odds of `OneOf`.

    Raises
    ------
    DataError
        If shapes or values are not usable.
    """
    y, scores = as_columns(y_true, logits)
    log_p, rows, own = _log_p(scores), np.arange(len(y)), class_numbers(y)

    def loss(log_temperature: float) -> float:
        scaled = log_p * np.exp(-log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[rows, own]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=LOG_RANGE, method="bounded").x))


def softmax_probabilities(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Probabilities (n, C) that sum to 1 in each record, from the log odds of `OneOf`."""
    return np.asarray(softmax(_log_p(np.asarray(logits, dtype=np.float64)) / temperature, axis=1))


def most_likely(scores: ArrayLike) -> Floats:
    """A single 1 in each row, at the largest score (n, C)."""
    values = np.asarray(scores)
    return (np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]).astype(np.float64)


def accuracy(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Share of records whose most likely class is theirs.

    Parameters
    ----------
    y_true, scores : array-like, shape (n, C)

    Raises
    ------
    DataError
        If a record has not exactly one class, or shapes or values are not usable.
    """
    y, values = as_columns(y_true, scores)
    return float((values.argmax(axis=1) == class_numbers(y)).mean())


def _log_p(log_odds: Floats) -> Floats:
    return -np.logaddexp(0.0, -log_odds)


def _log_odds(log_p: Floats) -> Floats:
    """Log of p / (1 - p), with 1 - p as the sum of the others, which loses no digits."""
    others = [logsumexp(np.delete(log_p, c, axis=1), axis=1) for c in range(log_p.shape[1])]
    return log_p - np.stack(others, axis=1)
