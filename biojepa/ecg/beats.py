"""The classical baseline: the median beat in millivolt, its measures, the rhythm, a simple model.

`BeatFeatures` describes a record as a cardiologist's ruler would; `BeatClassifier` puts logistic
regression or boosted trees on top. Amplitude counts here, and no network is involved: what JEPA
features are worth has to be judged beside this. R peaks come from our own detector
(`_r_peaks`, scipy alone): the libraries that have one bring dozens of packages or are GPL.

Letters: n records, C leads, T samples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from biojepa.data.leads import canonical_leads
from biojepa.data.records import Records, open_records
from biojepa.ecg._beat_measures import (
    GLOBAL_MEASURES,
    LEAD_MEASURES,
    RHYTHM,
    measure_beat,
    median_beat,
    resample_beat,
    rhythm,
)
from biojepa.ecg._r_peaks import find_r_peaks
from biojepa.ecg.inputs import ECGInputs, OnMissing
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.pretrain import name_leads
from biojepa.errors import ConfigError
from biojepa.estimators.classifier import RecordClassifier
from biojepa.estimators.labels import draw_seed
from biojepa.estimators.per_class import PerClass
from biojepa.estimators.probe import LinearProbe

RATE_HZ = 250.0  # ours: 4 ms, at which intervals are measured
Model = Literal["logistic", "boosting"]


class BeatFeatures(TransformerMixin, BaseEstimator):
    """Median beat, its amplitudes and intervals, and the rhythm of ECG recordings.

    Nothing is learned but which leads there are. Leads that are flat, missing or lost give zeros,
    and so does a record without a beat: every feature of every record is finite.

    Parameters
    ----------
    fs : float, optional
        Samples per second of arrays, hertz, at least 50; files and stores say theirs.
    leads : sequence of str, optional
        Names of the channels of arrays, in order; see `ECGJEPA`.
    units : {"mV", "uV", "V", "adc", "arbitrary"}
    on_missing : {"error", "drop"}
        What to do in `transform` with a lead of `fit` that a recording lacks.
    n_points : int
        Points of the median beat in each lead, from 0.25 s before the QRS complex to 0.45 s after.

    Attributes
    ----------
    leads_ : tuple of str
    n_features_in_ : int
        Channels.

    Examples
    --------
    >>> from biojepa.data.simulate import simulate_ecg
    >>> from biojepa.ecg.beats import BeatFeatures
    >>> cohort = simulate_ecg(5, rate_hz=250, random_state=0)
    >>> features = BeatFeatures(fs=250, leads=cohort.leads)
    >>> features.fit_transform(cohort.values).shape  # 12 x (48 points + 6 measures) + 6 + 9
    (5, 663)
    """

    def __init__(
        self,
        *,
        fs: float | None = None,
        leads: Sequence[str] | None = None,
        units: str = "mV",
        on_missing: OnMissing = "error",
        n_points: int = 48,
    ) -> None:
        self.fs = fs
        self.leads = leads
        self.units = units
        self.on_missing = on_missing
        self.n_points = n_points

    def fit(self, X: Any, y: Any = None) -> BeatFeatures:
        """Note which leads the recordings have.

        Parameters
        ----------
        X : array (n, leads, time), list of arrays (leads, time), SignalStore or paths
        y : ignored

        Raises
        ------
        DataError, LeadError, ConfigError
            If recordings or settings cannot be used.
        """
        if self.n_points < 2:
            raise ConfigError(f"expected n_points of at least 2, got {self.n_points}")
        records = self._open(X)
        self.n_features_in_ = len(records.channels or ()) or records.read(0).values.shape[0]
        self.leads_ = name_leads(records.channels, self.n_features_in_)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Features of recordings, in the order of `get_feature_names_out`.

        Parameters
        ----------
        X
            As in `fit`; of any rate and length.

        Returns
        -------
        ndarray, shape (n, C * (n_points + 6) + 15)
        """
        check_is_fitted(self)
        return np.stack([self._describe(values) for values in self._prepared(X)])

    def median_beats(self, X: Any) -> NDArray[np.float64]:
        """Median beats at 250 Hz, millivolt, (n, C, 174); the QRS complex is at 0.25 s."""
        check_is_fitted(self)
        beats = [
            median_beat(values, find_r_peaks(values, RATE_HZ), RATE_HZ)[0]
            for values in self._prepared(X)
        ]
        return np.stack(beats)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names such as `V1_beat_07`, `V5_ST` and `RR_mean_s`."""
        check_is_fitted(self)
        points = [f"{lead}_beat_{i:02}" for lead in self.leads_ for i in range(self.n_points)]
        measures = [f"{lead}_{name}" for lead in self.leads_ for name in LEAD_MEASURES]
        return np.array([*points, *measures, *GLOBAL_MEASURES, *RHYTHM], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.requires_fit = True
        return tags

    def _open(self, X: Any) -> Records:
        return open_records(X, fs=self.fs, channels=self.leads, units=self.units)

    def _prepared(self, X: Any) -> list[NDArray[np.float32]]:
        """Millivolts of each record at 250 Hz, 0.5 to 40 Hz, leads as in `fit`."""
        records = self._open(X)
        road = ECGPreprocess(
            leads=self.leads_,
            rate_hz=RATE_HZ,
            normalise="none",
            clip=None,
            cap_mv=None if self.units == "arbitrary" else ECGPreprocess.cap_mv,
        )
        channels = records.channels
        if channels is None:
            n_channels = records.read(0).values.shape[0]
            channels = (
                self.leads_ if n_channels == len(self.leads_) else name_leads(None, n_channels)
            )
        inputs = ECGInputs(records, road, self.on_missing, canonical_leads(channels))
        return [record.values for record in inputs.iterate()]

    def _describe(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        peaks = find_r_peaks(values, RATE_HZ)
        beat, likeness = median_beat(values, peaks, RATE_HZ)
        axis = ("I", "aVF")
        rows = [self.leads_.index(lead) for lead in axis if lead in self.leads_]
        return np.concatenate(
            [
                resample_beat(beat, self.n_points).ravel(),
                measure_beat(beat, RATE_HZ, axis_leads=(rows[0], rows[1]) if rows[1:] else None),
                rhythm(peaks, likeness, values.shape[1], RATE_HZ),
            ]
        )


class BeatClassifier(RecordClassifier):
    """Logistic regression or boosted trees on `BeatFeatures`.

    Parameters
    ----------
    model : {"logistic", "boosting"}
        Standardised logistic regression, or one `HistGradientBoostingClassifier` a class.
    fs, leads, units, on_missing, n_points
        See `BeatFeatures`.
    C : float
        Inverse strength of the penalty of "logistic".
    max_iter : int
        Trees a class of "boosting".
    learning_rate : float
        Of "boosting".
    random_state : int, RandomState, Generator or None

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    features_ : BeatFeatures
    probe_ : LinearProbe or PerClass
    n_features_in_ : int
        Channels.
    """

    def __init__(
        self,
        *,
        model: Model = "logistic",
        fs: float | None = None,
        leads: Sequence[str] | None = None,
        units: str = "mV",
        on_missing: OnMissing = "error",
        n_points: int = 48,
        C: float = 0.01,
        max_iter: int = 100,
        learning_rate: float = 0.1,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.fs = fs
        self.leads = leads
        self.units = units
        self.on_missing = on_missing
        self.n_points = n_points
        self.C = C
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, groups: Sequence[object] | None = None) -> BeatClassifier:
        """Fit on labelled recordings.

        Parameters
        ----------
        X
            As in `BeatFeatures.fit`.
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown).
        groups : ignored
            Taken so that all classifiers are called alike.

        Raises
        ------
        DataError, LeadError, ConfigError
        """
        if self.model not in get_args(Model):
            raise ConfigError(f"expected model in {get_args(Model)}, got {self.model!r}")
        self.features_ = self._set(BeatFeatures())
        features = self.features_.fit_transform(X)
        self.n_features_in_ = self.features_.n_features_in_
        seed = draw_seed(self.random_state)
        self.probe_: LinearProbe | PerClass
        if self.model == "logistic":
            self.probe_ = LinearProbe(C=self.C, random_state=seed)
        else:
            trees = HistGradientBoostingClassifier(
                max_iter=self.max_iter, learning_rate=self.learning_rate, early_stopping=False
            )
            self.probe_ = PerClass(trees, random_state=seed)
        self.probe_.fit(features, y)
        self.classes_ = self.probe_.classes_
        return self

    def _set(self, features: BeatFeatures) -> BeatFeatures:
        """The features with this estimator's present settings."""
        names = ("fs", "leads", "units", "on_missing", "n_points")
        return features.set_params(**{name: getattr(self, name) for name in names})

    def _features(self, X: Any) -> NDArray[np.float64]:
        return self._set(self.features_).transform(X)
