"""`SignalJEPAClassifier`: Signal-JEPA's downstream networks as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.data.montage import OnUnknown
from biojepa.data.records import is_table
from biojepa.eeg._classifier_file import FittedClassifier, read_classifier, write_classifier
from biojepa.eeg._classifier_settings import Regime, check_settings, protocol_of
from biojepa.eeg._encoder import start_from
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.finetune import channel_features, logits_of, make_network, train_network
from biojepa.eeg.heads import Architecture, SignalClassifierNet
from biojepa.eeg.inputs import EEGInputs, only_part
from biojepa.eeg.preprocess import Prepared
from biojepa.engine.devices import resolve_device
from biojepa.errors import DataError
from biojepa.estimators.classifier import RecordClassifier
from biojepa.estimators.encoder import pretrained_of
from biojepa.estimators.labels import ClassWeight, draw_seed, read_labels
from biojepa.estimators.probe import LinearProbe

__all__ = ["Regime", "SignalJEPAClassifier"]

_SHARED = ("sfreq", "ch_names", "montage", "units", "on_unknown", "device", "verify")


class SignalJEPAClassifier(RecordClassifier):
    """Classify EEG with a pretrained encoder, or train one from scratch.

    Parameters
    ----------
    architecture : {"pre-local", "post-local", "contextual"}
        Where the new spatial filters stand; see `biojepa.eeg.heads`. In the paper the first is
        clearly the best.
    regime : {"new", "full", "linear"}
        - "new": the encoder is frozen, the new layers are trained;
        - "full": all weights are trained, a copy of the encoder's; only the new layers in the
          first `warmup_epochs`;
        - "linear": logistic regression on the frozen tokens of each channel, averaged over time;
          not with "pre-local", which has no features before its filters are trained.
    encoder : str, path, FrozenEstimator or None
        Model folder or shipped name, or `FrozenEstimator(fitted_signaljepa)`. It is never changed.
        None takes random weights, the control that pretraining has to beat.
    preset : {"small", "tiny", "paper"}
        Of a new model, if `encoder` is None.
    sfreq, ch_names, montage, units, on_unknown
        See `SignalJEPA`.
    n_filters : int
        Spatial filters; the paper does not say how many.
    C : float
        Inverse strength of the penalty of `regime="linear"`.
    adapt_steps : int
        Steps of pretraining on `X_target_unlabeled`, where `fit` is given any.
    epochs, batch_size, lr, warmup_epochs
        Of the other regimes; the published numbers.
    patience : int, optional
        Epochs without a lower loss on held-out records before training stops; the best weights are
        kept. None trains on all records to the end.
    validation_fraction : float
        Share of the records held out for that, stratified by label.
    class_weight : "balanced", dict or None
    precision : {"fp32", "bf16"}
        Of training.
    device : {"auto", "cpu", "cuda", "mps"}
    verify : bool
        Compare checksums of the encoder.
    random_state : int, RandomState, Generator or None
    verbose : bool
        Show the progress line also without a terminal.

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    channels_ : tuple of str
        In training; predictions find them by name, in any order.
    network_ : SignalClassifierNet or None
    spatial_filters_ : ndarray, shape (C, V)
        Weights of the channels in each learned filter, rows in the order of `channels_`; see
        `biojepa.eeg.filters` for pictures. Not with `regime="linear"`, which has none.
    probe_ : LinearProbe or None
        With `regime="linear"`.
    history_ : list of dict
        Logged metrics of the training.
    n_features_in_ : int
        Samples of a 2-D array, or channels.

    Notes
    -----
    It takes the integer labels, microvolt arrays and epochs of MOABB as they are. Records have one
    length. Training records have the same channels; records of a prediction must hold those of
    training, and may differ in the others.

    Examples
    --------
    >>> import numpy as np
    >>> from biojepa.eeg import SignalJEPAClassifier
    >>> X = 10 * np.random.default_rng(0).standard_normal((20, 4, 300))  # microvolt
    >>> net = SignalJEPAClassifier(
    ...     preset="tiny", epochs=2, sfreq=128, ch_names=["Fz", "C3", "C4", "Pz"], random_state=0
    ... )
    >>> net.fit(X, np.arange(20) % 2).predict_proba(X).shape
    (20, 2)

    References
    ----------
    Guetschel, Moreau & Tangermann 2024, S-JEPA, arXiv:2403.11772.
    """

    def __init__(
        self,
        *,
        architecture: Architecture = "pre-local",
        regime: Regime = "new",
        encoder: str | PathLike | FrozenEstimator | None = None,
        preset: str = "small",
        sfreq: float | None = None,
        ch_names: Sequence[str] | None = None,
        montage: Any = None,
        units: str = "uV",
        on_unknown: OnUnknown = "error",
        n_filters: int = 4,
        C: float = 0.01,
        adapt_steps: int = 200,
        epochs: int = 500,
        batch_size: int = 32,
        lr: float = 1e-3,
        warmup_epochs: int = 10,
        patience: int | None = 50,
        validation_fraction: float = 0.2,
        class_weight: ClassWeight = None,
        precision: str = "fp32",
        device: str = "auto",
        verify: bool = True,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.architecture = architecture
        self.regime = regime
        self.encoder = encoder
        self.preset = preset
        self.sfreq = sfreq
        self.ch_names = ch_names
        self.montage = montage
        self.units = units
        self.on_unknown = on_unknown
        self.n_filters = n_filters
        self.C = C
        self.adapt_steps = adapt_steps
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.warmup_epochs = warmup_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.precision = precision
        self.device = device
        self.verify = verify
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Sequence[object] | None = None,
        X_target_unlabeled: Any = None,
    ) -> SignalJEPAClassifier:
        """Fit on labelled EEG.

        Parameters
        ----------
        X
            As in `SignalJEPA.fit`.
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown).
        groups : sequence, shape (n,), optional
            Subjects or runs, for the held-out part of early stopping.
        X_target_unlabeled : optional
            EEG of the target without labels, on which the encoder is pretrained further first;
            the name under which MOABB routes it.

        Returns
        -------
        SignalJEPAClassifier

        Raises
        ------
        DataError, LeadError, ConfigError, CheckpointError, TrainingError
            With what was expected, what came, and the fix.
        """
        check_settings(self)
        seed = draw_seed(self.random_state)
        encoder = pretrained_of(self.encoder, SignalJEPA, verify=self.verify)
        reader = self._reader = SignalJEPA(preset=self.preset)
        table = self._table(X, reset=True)
        source = only_part(self._set()._open(table, reset=True).parts)
        target = X_target_unlabeled
        reader.take(start_from(encoder, source, reader, target, steps=self.adapt_steps, seed=seed))
        inputs = self._inputs(table)
        if table is X:
            self.n_features_in_ = reader.n_features_in_
        self.channels_, self.positions_ = inputs.placed.names, inputs.placed.positions
        records = list(inputs.iterate())
        code, labels = read_labels(y, len(records), estimator="SignalJEPAClassifier")
        if groups is not None and len(groups) != len(labels):
            raise DataError(f"expected {len(labels)} subjects in groups, got {len(groups)}")
        self._code, self.classes_ = code, code.classes_
        self.probe_: LinearProbe | None = None
        self.network_: SignalClassifierNet | None = None
        self.history_: list[dict[str, float]] = []
        if self.regime == "linear":
            probe = LinearProbe(C=self.C, class_weight=self.class_weight, random_state=seed)
            targets = labels if code.columns else code.classes[labels]
            self.probe_ = probe.fit(self._channels(records), targets)
        else:
            self._fit_network(records, labels, groups, seed)
        return self

    @property
    def spatial_filters_(self) -> NDArray[np.float32]:
        """Learned spatial filters, (C, V); an AttributeError, as scikit-learn has it, without."""
        network = getattr(self, "network_", None)
        if network is None:
            raise AttributeError(
                "expected a fitted classifier of regime 'new' or 'full', which has spatial filters"
            )
        return network.spatial_filters()

    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write a model folder: weights, preprocessing, channels, classes; no pickle.

        Raises
        ------
        CheckpointError
            If the folder holds other files.
        ConfigError
            If classes are neither text nor numbers.
        RunError
            If it cannot be written.
        """
        check_is_fitted(self)
        write_classifier(folder, self._fitted())

    @classmethod
    def from_pretrained(cls, folder: str | PathLike, *, verify: bool = True) -> Self:
        """Load a model folder of `save_pretrained`.

        Set `sfreq`, `ch_names` and `units` of your own arrays with `set_params`.

        Raises
        ------
        CheckpointError
            If it is absent, damaged, or not an EEG classifier.
        """
        fitted = read_classifier(folder, verify=verify)
        estimator = cls(
            architecture=fitted.architecture, regime=fitted.regime, preset=fitted.preset
        )
        reader = estimator._reader = SignalJEPA(preset=fitted.preset)
        reader.take(fitted.pretrained)
        estimator.channels_, estimator.positions_ = fitted.channels, fitted.positions
        reader.n_features_in_ = estimator.n_features_in_ = len(fitted.channels)
        estimator.network_, estimator.probe_ = fitted.network, fitted.probe
        estimator._code, estimator.classes_ = fitted.code, fitted.code.classes_
        estimator.history_ = []
        return estimator

    def _table(self, X: Any, *, reset: bool) -> Any:
        """A 2-D X after scikit-learn's own checks; anything else as it is."""
        if not is_table(X):
            return X
        return np.array(validate_data(self, X, reset=reset, dtype="numeric"))

    def _set(self) -> SignalJEPA:
        """The reader with this estimator's present settings."""
        return self._reader.set_params(**{name: getattr(self, name) for name in _SHARED})

    def _inputs(self, table: Any) -> EEGInputs:
        return only_part(self._set()._inputs(table).parts)

    def _records(self, X: Any) -> list[Prepared]:
        """Records with the channels of training, of whatever montage they are."""
        inputs = self._set()._inputs(self._table(X, reset=False))
        for part in inputs.parts:
            part.only(self.channels_)
        return inputs.rows_in_order([list(part.iterate()) for part in inputs.parts])

    def _fit_network(
        self, records: list[Prepared], labels: NDArray, groups: Any, seed: int
    ) -> None:
        network = make_network(
            self._reader.jepa_,
            len(self._code),
            n_times=records[0].values.shape[1],
            n_channels=len(self.channels_),
            architecture=self.architecture,
            n_filters=self.n_filters,
            seed=seed,
        )
        result = train_network(
            network,
            records,
            self._xyz(),
            self._code,
            labels,
            protocol_of(self),
            seed=seed,
            device=self.device,
            class_weight=self.class_weight,
            groups=groups,
            progress=True if self.verbose else None,
        )
        self.network_, self.history_ = network, result.rows

    def _features(self, X: Any) -> NDArray[np.float32]:
        return self._channels(self._records(X))

    def _channels(self, records: list[Prepared]) -> NDArray[np.float32]:
        """Tokens of each channel averaged over time, side by side, (n, C D)."""
        return channel_features(
            self._reader.jepa_, records, self._xyz(), local=self.architecture == "post-local"
        )

    def _logits(self, X: Any) -> NDArray[np.float32]:
        assert self.network_ is not None
        records = self._records(X)
        network = self.network_.to(resolve_device(self.device)).eval()
        logits = logits_of(network, records, self._xyz())
        network.to("cpu")
        return logits

    def _xyz(self) -> torch.Tensor:
        return torch.tensor(self.positions_, dtype=torch.float32)

    def _fitted(self) -> FittedClassifier:
        return FittedClassifier(
            self._code,
            self._reader.pretrained(),
            self.channels_,
            self.positions_,
            self.architecture,
            self.regime,
            self.preset,
            self.probe_,
            self.network_,
        )
