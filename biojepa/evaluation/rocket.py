"""Hydra and MultiRocket: random convolutions and a linear classifier, the baseline to beat.

Tens of thousands of fixed random features of the raw signals, from the package aeon (BSD), then
ridge regression. Nothing is pretrained, amplitude counts, and it takes minutes.

Letters: n records, C channels, T samples, D features, K classes.

References
----------
Tan et al. 2022, MultiRocket, Data Min Knowl Discov 36:1623. Dempster, Schmidt & Webb 2023, Hydra,
Data Min Knowl Discov 37:1779 (the pair, the square root and the scaling of sparse counts).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from sklearn.preprocessing import StandardScaler

from biojepa.data.records import open_records
from biojepa.errors import ConfigError, DataError
from biojepa.estimators.classifier import RecordClassifier
from biojepa.estimators.labels import draw_seed
from biojepa.estimators.ridge import RidgeProbe
from biojepa.extras import require

MODULE = "aeon.transformations.collection.convolution_based"
SHORTEST = 10  # samples that MultiRocket needs


class RocketClassifier(RecordClassifier):
    """Hydra and MultiRocket features, scaled, with a ridge classifier.

    Parameters
    ----------
    fs : float
        Samples per second of the arrays, hertz; files and stores say theirs.
    leads : sequence of str, optional
        Names of the channels, in order; their number is checked. All channels are used.
    units : {"mV", "uV", "V", "adc", "arbitrary"}
    rate_hz : float
        Faster signals are resampled to this rate, hertz.
    n_kernels : int
        Of MultiRocket; about eight times as many features.
    n_groups : int
        Of Hydra.
    n_jobs : int
    random_state : int, RandomState, Generator or None

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    probe_ : RidgeProbe
    n_features_in_ : int
        Channels.

    Notes
    -----
    Needs the extra `bench`. aeon 1.6 asks for numba < 0.64, which does not know NumPy 2.4, and for
    pandas < 3.1: install the extra into an environment of its own, without `constraints.txt`.
    """

    def __init__(
        self,
        *,
        fs: float | None = None,
        leads: Sequence[str] | None = None,
        units: str = "mV",
        rate_hz: float = 100.0,
        n_kernels: int = 6250,
        n_groups: int = 64,
        n_jobs: int = 1,
        random_state: Any = None,
    ) -> None:
        self.fs = fs
        self.leads = leads
        self.units = units
        self.rate_hz = rate_hz
        self.n_kernels = n_kernels
        self.n_groups = n_groups
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, groups: Sequence[object] | None = None) -> RocketClassifier:
        """Fit on labelled recordings.

        Parameters
        ----------
        X : array (n, C, T), list of arrays (C, T), SignalStore or paths
            Of one length and rate. Missing samples (NaN) count as zero.
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown).
        groups : ignored
            Taken so that all classifiers are called alike.

        Raises
        ------
        MissingDependencyError
            If aeon is not installed.
        DataError, ConfigError
            If recordings, labels or settings cannot be used.
        """
        convolutions = require(MODULE, "bench", why="to compute Hydra and MultiRocket features")
        if not self.rate_hz > 0:
            raise ConfigError(f"expected rate_hz above 0 hertz, got {self.rate_hz}")
        seed = draw_seed(self.random_state) % 2**31
        self.n_times_: int | None = None
        signals = self._signals(X)
        self.n_features_in_, self.n_times_ = signals.shape[1:]
        self.hydra_ = convolutions.HydraTransformer(
            n_groups=self.n_groups, n_jobs=self.n_jobs, output_type="numpy", random_state=seed
        )
        self.multirocket_ = convolutions.MultiRocket(
            n_kernels=self.n_kernels, n_jobs=self.n_jobs, random_state=seed
        )
        with torch.random.fork_rng(devices=[]):  # Hydra seeds torch's global generator
            self.hydra_.fit(signals)
            self.multirocket_.fit(signals)
        counts = self._counts(signals)
        empty = (counts == 0).mean(axis=0)
        self._mean, self._spread = counts.mean(axis=0), counts.std(axis=0) + empty**4 + 1e-8
        pooled = self.multirocket_.transform(signals)
        self._scaler = StandardScaler().fit(pooled)
        features = self._scaled(counts, pooled)
        self.probe_ = RidgeProbe().fit(features, y)
        self.classes_ = self.probe_.classes_
        return self

    def _features(self, X: Any) -> NDArray[np.float64]:
        signals = self._signals(X)
        return self._scaled(self._counts(signals), self.multirocket_.transform(signals))

    def _signals(self, X: Any) -> NDArray[np.float32]:
        """Signals at `rate_hz` of one length, (n, C, T)."""
        records = open_records(X, fs=self.fs, channels=self.leads, units=self.units)
        rows = []
        for index in range(len(records)):
            record = records.read(index)
            values = np.nan_to_num(np.asarray(record.values, dtype=np.float64), posinf=0, neginf=0)
            if record.rate_hz > self.rate_hz:
                ratio = Fraction(self.rate_hz / record.rate_hz).limit_denominator(1000)
                values = resample_poly(
                    values, ratio.numerator, ratio.denominator, axis=1, padtype="line"
                )
            rows.append(values.astype(np.float32))
        shapes = sorted({row.shape for row in rows})
        wanted = getattr(self, "n_times_", None) or shapes[0][1]
        if len(shapes) > 1 or shapes[0][1] != wanted or wanted < SHORTEST:
            raise DataError(
                f"expected records of one length, {max(wanted, SHORTEST)} samples at "
                f"{self.rate_hz:g} Hz, got shapes {shapes[:3]}: cut or pad them first"
            )
        return np.stack(rows)

    def _counts(self, signals: NDArray[np.float32]) -> NDArray[np.float64]:
        """Hydra's counts after the square root, (n, D)."""
        return np.sqrt(np.maximum(self.hydra_.transform(signals), 0)).astype(np.float64)

    def _scaled(self, counts: NDArray, pooled: NDArray) -> NDArray[np.float64]:
        """Scaled features side by side; a count of zero stays zero, since it says nothing."""
        sparse = (counts - self._mean) * (counts != 0) / self._spread
        return np.concatenate([sparse, self._scaler.transform(pooled)], axis=1)
