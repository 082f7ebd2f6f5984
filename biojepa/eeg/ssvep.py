"""CCA and TRCA: the usual answers to "which light is looked at", without training and with it.

None of the packages that biojepa installs has them (MOABB does), and each is a few lines.

- CCA (Lin et al. 2006): the largest canonical correlation of a trial with sines and cosines of each
  light's frequency and harmonics. Knows no labels but the frequencies.
- TRCA (Nakanishi et al. 2018): for each class the spatial filter that makes its trials most alike;
  a trial goes to the class whose filtered mean it correlates with most (the ensemble form: all
  filters together), here in one band. Needs lights whose phase is the same in every trial, which
  `phase_consistency` measures.

Letters: n trials, C channels, T samples, K classes, H rows of a reference.

References
----------
Lin et al. 2006, IEEE TBME 53:2610; Nakanishi et al. 2018, IEEE TBME 65:104; Vinck et al.
2010, NeuroImage 51:112.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, ClassifierMixin

from biojepa.data.conditioning import filtered

BAND_HZ = (6.0, 45.0)
_RIDGE = 1e-6  # share of the mean variance, so that channels may depend on each other


class SSVEPCCA(ClassifierMixin, BaseEstimator):
    """Canonical correlation with sines and cosines.

    Parameters
    ----------
    hertz : sequence of float
        Frequency of each class, in the order of `classes_`.
    sfreq : float
        Of the trials, hertz.
    n_harmonics : int
        The first is the frequency itself.
    """

    def __init__(self, hertz: Sequence[float], *, sfreq: float, n_harmonics: int = 2) -> None:
        self.hertz = hertz
        self.sfreq = sfreq
        self.n_harmonics = n_harmonics

    def fit(self, X: ArrayLike, y: ArrayLike) -> SSVEPCCA:
        """Remember the classes."""
        self.classes_ = np.arange(len(self.hertz))
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Largest canonical correlation with each light, (n, K)."""
        trials = _band(X, self.sfreq)
        time = np.arange(trials.shape[-1]) / self.sfreq
        bases = []
        for hertz in self.hertz:
            angles = 2 * np.pi * hertz * np.outer(np.arange(1, self.n_harmonics + 1), time)
            bases.append(np.linalg.qr(np.concatenate([np.sin(angles), np.cos(angles)]).T)[0])
        found = np.empty((len(trials), len(bases)))
        for i, trial in enumerate(trials):
            own = np.linalg.qr(trial.T)[0]
            found[i] = [np.linalg.svd(own.T @ base, compute_uv=False)[0] for base in bases]
        return found

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class of each trial."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]


class SSVEPTRCA(ClassifierMixin, BaseEstimator):
    """Task-related component analysis, ensemble form.

    Parameters
    ----------
    sfreq : float
        Of the trials, hertz.
    """

    def __init__(self, *, sfreq: float) -> None:
        self.sfreq = sfreq

    def fit(self, X: ArrayLike, y: ArrayLike) -> SSVEPTRCA:
        """Find each class's filter and mean trial."""
        trials, labels = _band(X, self.sfreq), np.asarray(y)
        self.classes_ = np.unique(labels)
        means, filters = [], []
        for label in self.classes_:
            own = trials[labels == label]
            means.append(own.mean(axis=0))
            filters.append(_most_alike(own))
        self.filters_ = np.stack(filters, axis=1)
        self.templates_ = np.stack(means)
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Correlation with each class's mean trial, filtered, (n, K)."""
        trials = np.einsum("ck,nct->nkt", self.filters_, _band(X, self.sfreq))
        known = np.einsum("ck,mct->mkt", self.filters_, self.templates_)
        return _unit(trials).reshape(len(trials), -1) @ _unit(known).reshape(len(known), -1).T

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class of each trial."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]


def narrow_bands(X: ArrayLike, hertz: Sequence[float], sfreq: float) -> NDArray[np.float64]:
    """Channels once for each light, filtered around its frequency, (n, K C, T)."""
    trials = np.asarray(X, dtype=np.float64)
    parts = [filtered(trials, (f - 0.5, f + 0.5), sfreq) for f in hertz]
    return np.concatenate(parts, axis=1)


def phase_consistency(X: ArrayLike, hertz: float, sfreq: float) -> NDArray[np.float64]:
    """How alike the phase at a frequency is in all trials, for each channel, (C,).

    1 if it is the same in all, 0 on average if it is random, with any number of trials (the
    pairwise phase consistency of Vinck et al. 2010).
    """
    trials = np.asarray(X, dtype=np.float64)
    wave = np.exp(-2j * np.pi * hertz * np.arange(trials.shape[-1]) / sfreq)
    found = (trials - trials.mean(axis=-1, keepdims=True)) @ wave
    n = len(trials)
    return (np.abs((found / np.abs(found)).sum(axis=0)) ** 2 - n) / (n * (n - 1))


def _band(X: ArrayLike, sfreq: float) -> NDArray[np.float64]:
    trials = filtered(np.asarray(X, dtype=np.float64), BAND_HZ, sfreq)
    return trials - trials.mean(axis=-1, keepdims=True)


def _most_alike(trials: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spatial filter (C,) with the largest covariance between trials over that within them."""
    total = trials.sum(axis=0)
    within = np.einsum("nct,ndt->cd", trials, trials)
    between = total @ total.T - within
    within += _RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    return eigh(between, within)[1][:, -1]


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred and of length 1 over filters and time together."""
    flat = x - x.mean(axis=-1, keepdims=True)
    size = np.linalg.norm(flat, axis=(1, 2), keepdims=True)
    return flat / np.maximum(size, np.finfo(float).tiny)
