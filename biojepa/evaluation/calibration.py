"""Calibration: do probabilities mean what they say, and one number that repairs their scale.

Every class is a yes-or-no question of its own (multi-label), so errors are computed class by class
and averaged; the reliability curve pools all answers. The temperature is fitted on validation
records and applied to others: fitted on the test records it would flatter every model.

Letters: n records, C classes.

References
----------
Guo et al., "On calibration of modern neural networks", arXiv 1706.04599 (ECE, temperature).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit

from biojepa.errors import ConfigError, DataError
from biojepa.evaluation.metrics import Floats, as_columns, check_probabilities

N_BINS = 15
LOG_RANGE = (-5.0, 5.0)  # ours: temperatures from 0.007 to 148


class Reliability(NamedTuple):
    """Answers in bins of equal width of their probability.

    Parameters
    ----------
    probability, frequency : ndarray, shape (n_bins,)
        Mean probability said, and share of positives; NaN in an empty bin.
    n_answers : ndarray of int, shape (n_bins,)
    """

    probability: Floats
    frequency: Floats
    n_answers: np.ndarray


def reliability(y_true: ArrayLike, y_prob: ArrayLike, *, n_bins: int = N_BINS) -> Reliability:
    """The reliability curve of all answers together.

    Parameters
    ----------
    y_true : array-like, shape (n,) or (n, C)
        0, 1 or NaN (unknown: left out).
    y_prob : array-like, shape (n,) or (n, C)
        Probabilities, 0 to 1.
    n_bins : int

    Returns
    -------
    Reliability

    Raises
    ------
    DataError
        If shapes or values are not usable.
    ConfigError
        If `n_bins` is below 1.
    """
    y, probability = as_columns(y_true, y_prob)
    return _binned(y.ravel(), probability.ravel(), n_bins)


def expected_calibration_error(
    y_true: ArrayLike, y_prob: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """Mean over classes of the expected calibration error.

    Parameters
    ----------
    y_true, y_prob, n_bins
        As in `reliability`.

    Returns
    -------
    float
        0 when in every bin the share of positives is the mean probability. Classes without a known
        label are left out.

    Raises
    ------
    DataError, ConfigError
        As `reliability`.
    """
    y, probability = as_columns(y_true, y_prob)
    errors = []
    for labels, said in zip(y.T, probability.T, strict=True):
        curve = _binned(labels, said, n_bins)
        if curve.n_answers.sum():
            gap = np.nan_to_num(np.abs(curve.probability - curve.frequency))
            errors.append(float((gap * curve.n_answers).sum() / curve.n_answers.sum()))
    if not errors:
        raise DataError("expected at least one known label, got none")
    return float(np.mean(errors))


def fit_temperature(y_true: ArrayLike, logits: ArrayLike) -> float:
    """The number that logits are divided by to make their probabilities most likely.

    Parameters
    ----------
    y_true : array-like, shape (n,) or (n, C)
        Labels of validation records: never of those that are reported on.
    logits : array-like, shape (n,) or (n, C)
        Log odds, or any score whose zero is the even chance.

    Returns
    -------
    float
        Above 1 for a model that is too sure. One for all classes.

    Raises
    ------
    DataError
        If shapes or values are not usable, or no label is known.
    """
    y, scores = as_columns(y_true, logits)
    known = ~np.isnan(y)
    if not known.any():
        raise DataError("expected at least one known label to fit a temperature, got none")
    sign, scores = np.where(y[known] == 1, -1.0, 1.0), scores[known]

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, sign * scores * np.exp(-log_temperature)).mean())

    found = minimize_scalar(loss, bounds=LOG_RANGE, method="bounded")
    return float(np.exp(found.x))


def probabilities(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Probability of each class on its own from its log odds.

    Parameters
    ----------
    logits : array-like, shape (n,) or (n, C)
    temperature : float
        Of `fit_temperature`.
    """
    return np.asarray(expit(np.asarray(logits, dtype=np.float64) / temperature))


def _binned(labels: Floats, said: Floats, n_bins: int) -> Reliability:
    if n_bins < 1:
        raise ConfigError(f"expected n_bins >= 1, got {n_bins}")
    check_probabilities(said)
    known = ~np.isnan(labels)
    labels, said = labels[known], said[known]
    place = np.minimum((said * n_bins).astype(int), n_bins - 1)
    count = np.bincount(place, minlength=n_bins)
    nothing = np.full(n_bins, np.nan)
    sums = [np.bincount(place, weights=w, minlength=n_bins) for w in (said, labels)]
    means = [np.divide(s, count, out=nothing.copy(), where=count > 0) for s in sums]
    return Reliability(means[0], means[1], count)
