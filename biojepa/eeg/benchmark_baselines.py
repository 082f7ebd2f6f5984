"""The baselines of the BCI benchmark: what every laboratory would try first.

All take trials (n, C, T) at the common rate and band and filter for themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from biojepa.data.conditioning import filtered
from biojepa.eeg.ssvep import narrow_bands
from biojepa.extras import require

IMAGERY_HZ, ERP_HZ = (8.0, 30.0), (1.0, 20.0)
N_CSP, N_XDAWN = 6, 4


class Chance(ClassifierMixin, BaseEstimator):
    """Answers drawn from the shares of the classes.

    Parameters
    ----------
    random_state : int
    """

    def __init__(self, *, random_state: int) -> None:
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Chance:
        """Count the classes."""
        self.classes_, count = np.unique(np.asarray(y), return_counts=True)
        self.share_ = count / count.sum()
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Random probabilities (n, K) whose largest falls on a class as often as in training."""
        rng = np.random.default_rng(self.random_state)
        draws = rng.multinomial(1, self.share_, size=len(np.asarray(X)))
        mixed = draws + rng.uniform(0, 0.5, draws.shape)
        return mixed / mixed.sum(axis=1, keepdims=True)


def csp_lda(sfreq: float) -> Pipeline:
    """Common spatial patterns, log power, linear discriminant (Blankertz et al. 2008)."""
    riemann = require("pyriemann", "eeg", why="to compute baselines")
    _parts(riemann)
    return make_pipeline(
        _band(IMAGERY_HZ, sfreq),
        riemann.estimation.Covariances("oas"),
        riemann.spatialfilters.CSP(nfilter=N_CSP, log=True),
        LinearDiscriminantAnalysis(),
    )


def tangent_lr(sfreq: float) -> Pipeline:
    """Covariances in the tangent space, logistic regression (Barachant et al. 2012)."""
    riemann = require("pyriemann", "eeg", why="to compute baselines")
    _parts(riemann)
    return make_pipeline(
        _band(IMAGERY_HZ, sfreq),
        riemann.estimation.Covariances("oas"),
        riemann.tangentspace.TangentSpace(),
        StandardScaler(),
        _logistic(None),
    )


def ssvep_tangent_lr(sfreq: float, hertz: Sequence[float]) -> Pipeline:
    """The same on channels filtered around each light (Kalunga et al. 2016)."""
    riemann = require("pyriemann", "eeg", why="to compute baselines")
    _parts(riemann)
    return make_pipeline(
        FunctionTransformer(partial(narrow_bands, hertz=tuple(hertz), sfreq=sfreq)),
        riemann.estimation.Covariances("oas"),
        riemann.tangentspace.TangentSpace(),
        StandardScaler(),
        _logistic(None),
    )


def xdawn_lda(sfreq: float) -> Pipeline:
    """Xdawn filters, samples of every 50 ms, shrunken discriminant (Rivet et al. 2009)."""
    riemann = require("pyriemann", "eeg", why="to compute baselines")
    _parts(riemann)
    return make_pipeline(
        _band(ERP_HZ, sfreq),
        riemann.spatialfilters.Xdawn(nfilter=N_XDAWN),
        FunctionTransformer(partial(_thinned, every=round(0.05 * sfreq))),
        StandardScaler(),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    )


def xdawn_lr(sfreq: float) -> Pipeline:
    """Covariances of Xdawn components and their means, tangent space, logistic regression."""
    riemann = require("pyriemann", "eeg", why="to compute baselines")
    _parts(riemann)
    return make_pipeline(
        _band(ERP_HZ, sfreq),
        riemann.estimation.XdawnCovariances(nfilter=N_XDAWN, estimator="oas"),
        riemann.tangentspace.TangentSpace(),
        StandardScaler(),
        _logistic("balanced"),
    )


def _parts(riemann: Any) -> None:
    """Submodules that the package does not import by itself."""
    for part in ("estimation", "spatialfilters", "tangentspace"):
        require(f"{riemann.__name__}.{part}", "eeg", why="to compute baselines")


def _logistic(class_weight: str | None) -> LogisticRegression:
    return LogisticRegression(C=0.1, max_iter=2000, class_weight=class_weight)


def _band(band: tuple[float, float], sfreq: float) -> FunctionTransformer:
    return FunctionTransformer(partial(_filtered, band=band, sfreq=sfreq))


def _filtered(X: ArrayLike, band: tuple[float, float], sfreq: float) -> NDArray[np.float64]:
    return filtered(np.asarray(X, dtype=np.float64), band, sfreq)


def _thinned(X: NDArray, every: int) -> NDArray:
    """Means over `every` samples, side by side."""
    count = X.shape[-1] // every
    cut = X[..., : count * every].reshape(*X.shape[:-1], count, every)
    return cut.mean(axis=-1).reshape(len(X), -1)
