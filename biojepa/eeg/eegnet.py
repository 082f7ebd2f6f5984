"""EEGNet (Lawhern et al. 2018) from scratch: braindecode's network in the package's own loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn

from biojepa.data.eeg_records import EEGRecords
from biojepa.data.records import ArrayRecords
from biojepa.eeg.finetune import Protocol, logits_of, train_network
from biojepa.eeg.inputs import EEGInputs
from biojepa.eeg.network import import_braindecode
from biojepa.eeg.preprocess import EEGPreprocess, Prepared
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.signals import Signals
from biojepa.estimators.labels import ClassWeight, read_labels


class EEGNetClassifier(ClassifierMixin, BaseEstimator):
    """A small convolutional network, trained on labelled trials alone.

    Parameters
    ----------
    sfreq : float
        Of the trials, hertz.
    ch_names : sequence of str
    units : {"uV", "mV", "V", "arbitrary"}
    epochs, batch_size : int
    lr : float
    patience : int or None
        As in `SignalJEPAClassifier`.
    class_weight : "balanced", dict or None
    precision : {"fp32", "bf16"}
        Of training.
    random_state : int

    References
    ----------
    Lawhern et al. 2018, J. Neural Eng. 15:056013; braindecode 1.8 (BSD-3).
    """

    def __init__(
        self,
        *,
        sfreq: float,
        ch_names: Sequence[str],
        units: str = "uV",
        epochs: int = 100,
        batch_size: int = 32,
        lr: float = 1e-3,
        patience: int | None = None,
        class_weight: ClassWeight = None,
        precision: str = "fp32",
        random_state: int = 0,
    ) -> None:
        self.sfreq = sfreq
        self.ch_names = ch_names
        self.units = units
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.patience = patience
        self.class_weight = class_weight
        self.precision = precision
        self.random_state = random_state

    def fit(self, X: NDArray, y: Any) -> EEGNetClassifier:
        """Train on trials (n, C, T) and their classes."""
        models = import_braindecode()
        records = self._records(X)
        code, labels = read_labels(y, len(records), estimator="EEGNetClassifier")
        self._code, self.classes_ = code, code.classes_
        with keyed_torch_rng(self.random_state, "eegnet"):
            net = models.EEGNet(
                n_chans=X.shape[1],
                n_outputs=len(code),
                n_times=records[0].values.shape[1],
                sfreq=EEGPreprocess().rate_hz,
                final_layer_with_constraint=True,  # as published
            )
        self.network_ = _Values(net)
        protocol = Protocol(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            warmup_epochs=0,
            frozen=False,
            patience=self.patience,
            validation_fraction=0.2,
            precision=self.precision,
        )
        train_network(
            self.network_,
            records,
            self.positions_,
            code,
            labels,
            protocol,
            seed=self.random_state,
            class_weight=self.class_weight,
            progress=False,
        )
        return self

    def predict_proba(self, X: NDArray) -> NDArray[np.float64]:
        """Probability of each class, (n, K)."""
        logits = logits_of(self.network_, self._records(X), self.positions_)
        return self._code.probabilities(logits)

    def predict(self, X: NDArray) -> NDArray[Any]:
        """Class of each trial."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _records(self, X: NDArray) -> list[Prepared]:
        trials = ArrayRecords(
            X, fs=self.sfreq, channels=self.ch_names, units=self.units, judge=False
        )
        source = EEGRecords(trials, arbitrary=self.units == "arbitrary")
        inputs = EEGInputs(source, EEGPreprocess(), model={}, shortest=1)
        self.positions_: Tensor = inputs.positions
        return list(inputs.iterate())


class _Values(nn.Module):
    """A network of plain values among those that take `Signals`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.encoder = network

    def forward(self, x: Signals) -> torch.Tensor:
        values = x.values
        if x.valid is not None:
            values = values.masked_fill(~x.valid[..., None], 0.0)
        return self.encoder(values)
