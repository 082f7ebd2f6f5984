"""Supervised training from scratch: a 1-D ResNet on millivolts, the baseline without pretraining.

It sees what `ECGClassifier` sees (random crops in training, logits averaged over crops at test,
early stopping on held-out patients, the same training loop), but amplitudes stay in millivolt.

Letters: n records, C leads, T samples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from biojepa.data.records import Records, open_records
from biojepa.ecg.finetune import Crops, record_logits, train_network
from biojepa.ecg.heads import CropAveraged
from biojepa.ecg.inputs import ECGInputs, OnMissing
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.pretrain import model_leads, name_leads
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.devices import resolve_device
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, DataError
from biojepa.estimators.classifier import RecordClassifier
from biojepa.estimators.labels import ClassWeight, draw_seed, read_labels
from biojepa.layers.resnet1d import ResNet1d

RATE_HZ = 100.0
LIMIT_MV = 5.0  # ours: an artefact beyond it says no more than that
SHORTEST_S = 0.5


class ECGResNet(CropAveraged):
    """A `ResNet1d` that takes signals: what is not valid counts as zero.

    Parameters
    ----------
    channels, n_classes : int
    widths : sequence of int
    """

    def __init__(self, channels: int, n_classes: int, *, widths: Sequence[int]) -> None:
        super().__init__()
        self.resnet = ResNet1d(channels, n_classes, widths=widths)

    def forward(self, x: Tensor | Signals) -> Tensor:
        """Logits (B, K) of values (B, C, T)."""
        if isinstance(x, Tensor):
            return self.resnet(x)
        values = x.values
        if x.valid is not None:
            seen = x.valid if x.valid.ndim == 3 else x.valid[..., None]
            values = values.masked_fill(~seen, 0.0)
        return self.resnet(values)


class ResNetClassifier(RecordClassifier):
    """Train a 1-D ResNet from random weights.

    Parameters
    ----------
    fs : float, optional
        Samples per second of arrays, hertz; files and stores say theirs.
    leads : sequence of str, optional
        Names of the channels of arrays, in order; see `ECGJEPA`.
    units : {"mV", "uV", "V", "adc", "arbitrary"}
    on_missing : {"error", "drop"}
    widths : sequence of int
        Channels of the network's stages.
    steps, batch_size : int
    lr : float
        Highest learning rate, after a tenth of the steps; then a cosine to a hundredth of it.
    weight_decay : float
    crop_s, stride_s : float
        Random crops in training; at test the logits of crops at this stride are averaged. Seconds.
    validation_fraction : float
        Share of the patients held out for early stopping, stratified by label.
    patience : int, optional
        Evaluations of the macro AUC of the held-out records without improvement before training
        stops; the best weights are kept. None trains on all records to the end.
    evaluate_every : int
        Steps between these evaluations, at most a tenth of all steps.
    class_weight : "balanced", dict or None
    device : {"auto", "cpu", "cuda", "mps"}
    random_state : int, RandomState, Generator or None
    verbose : bool

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    network_ : ECGResNet
    preprocess_ : ECGPreprocess
    history_ : list of dict
        Logged metrics of the training.
    n_features_in_ : int
        Channels.
    """

    def __init__(
        self,
        *,
        fs: float | None = None,
        leads: Sequence[str] | None = None,
        units: str = "mV",
        on_missing: OnMissing = "error",
        widths: Sequence[int] = (32, 64, 96, 128),
        steps: int = 600,
        batch_size: int = 32,
        lr: float = 3e-3,
        weight_decay: float = 0.05,
        crop_s: float = 2.5,
        stride_s: float = 1.25,
        validation_fraction: float = 0.15,
        patience: int | None = 6,
        evaluate_every: int = 30,
        class_weight: ClassWeight = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.fs = fs
        self.leads = leads
        self.units = units
        self.on_missing = on_missing
        self.widths = widths
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.crop_s = crop_s
        self.stride_s = stride_s
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.evaluate_every = evaluate_every
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, groups: Sequence[object] | None = None) -> ResNetClassifier:
        """Fit on labelled recordings.

        Parameters
        ----------
        X : array (n, leads, time), list of arrays (leads, time), SignalStore or paths
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown).
        groups : sequence, shape (n,), optional
            Patients, for the held-out part of early stopping.

        Raises
        ------
        DataError, LeadError, ConfigError, TrainingError
        """
        if not 0 < self.validation_fraction <= 0.5:
            raise ConfigError(
                f"expected 0 < validation_fraction <= 0.5, got {self.validation_fraction}"
            )
        records = self._open(X)
        code, labels = read_labels(y, len(records), estimator="ResNetClassifier")
        if groups is not None and len(groups) != len(labels):
            raise DataError(f"expected {len(labels)} patients in groups, got {len(groups)}")
        self.n_features_in_ = len(records.channels or ()) or records.read(0).values.shape[0]
        leads = model_leads(records.channels, self.n_features_in_, get_recipe("small"), None)
        self.preprocess_ = ECGPreprocess(
            leads=leads,
            rate_hz=RATE_HZ,
            normalise="none",
            clip=LIMIT_MV,
            cap_mv=None if self.units == "arbitrary" else ECGPreprocess.cap_mv,
        )
        seed = draw_seed(self.random_state)
        with keyed_torch_rng(seed, "init"):
            network = ECGResNet(len(leads), len(code), widths=self.widths)
        config = TrainConfig(
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            warmup_lr=self.lr / 100,
            final_lr=self.lr / 100,
            warmup_steps=self.steps // 10,
            weight_decay=self.weight_decay,
            clip=1.0,
            diagnose_every=0,
            device=self.device,
            seed=seed,
        )
        result = train_network(
            network,
            list(self._inputs(records).iterate()),
            code,
            labels,
            config,
            self._crops(),
            class_weight=self.class_weight,
            groups=groups,
            validation_fraction=self.validation_fraction,
            patience=self.patience,
            evaluate_every=self.evaluate_every,
            progress=True if self.verbose else None,
        )
        self.network_, self.history_ = network, result.rows
        self._code, self.classes_ = code, code.classes_
        return self

    def _open(self, X: Any) -> Records:
        return open_records(X, fs=self.fs, channels=self.leads, units=self.units)

    def _inputs(self, records: Records) -> ECGInputs:
        channels = records.channels
        if channels is None:
            n_channels, own = records.read(0).values.shape[0], self.preprocess_.leads
            channels = own if n_channels == len(own) else name_leads(None, n_channels)
        return ECGInputs(records, self.preprocess_, self.on_missing, channels)

    def _crops(self) -> Crops:
        if not (self.crop_s >= SHORTEST_S and self.stride_s > 0):
            raise ConfigError(
                f"expected crop_s of at least {SHORTEST_S} s and stride_s above 0 s, got "
                f"{self.crop_s} and {self.stride_s}"
            )
        crop, stride = round(self.crop_s * RATE_HZ), max(1, round(self.stride_s * RATE_HZ))
        return Crops(crop, stride, round(SHORTEST_S * RATE_HZ))

    def _logits(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self)
        network = self.network_.to(resolve_device(self.device)).eval()
        logits = record_logits(network, self._inputs(self._open(X)).iterate(), self._crops())
        network.to("cpu")
        return logits
