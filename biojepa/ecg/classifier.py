"""`ECGClassifier`: a linear, attentive or fine-tuned ECG classifier for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.data.records import is_table
from biojepa.ecg._classifier_file import FittedClassifier, read_classifier, write_classifier
from biojepa.ecg._encoder import fresh_model
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.finetune import (
    fill_up,
    make_crops,
    make_network,
    record_logits,
    train_network,
    training_of,
)
from biojepa.ecg.heads import ECGClassifierNet, Head
from biojepa.ecg.inputs import OnMissing
from biojepa.ecg.recipes import get_finetune_recipe, get_recipe
from biojepa.engine.devices import resolve_device
from biojepa.errors import ConfigError, DataError
from biojepa.estimators.classifier import RecordClassifier
from biojepa.estimators.encoder import pretrained_of
from biojepa.estimators.features import check_pool
from biojepa.estimators.labels import ClassWeight, check_class_weight, draw_seed, read_labels
from biojepa.estimators.probe import LinearProbe

Mode = Literal["linear", "attentive", "finetune"]
_SHARED = ("leads", "units", "on_missing", "pool", "layer", "scale", "precision", "verify")


class ECGClassifier(RecordClassifier):
    """Classify ECG recordings with a pretrained encoder, or train one from scratch.

    Parameters
    ----------
    encoder : str, path, FrozenEstimator or None
        Model folder or shipped name, or `FrozenEstimator(fitted_ecgjepa)`. It is never changed.
        None takes random weights: with `mode="finetune"` that is supervised training from
        scratch, in the other modes the control that pretraining has to beat.
    mode : {"linear", "attentive", "finetune"}
        - "linear": pooled features of the frozen encoder and logistic regression;
        - "attentive": the frozen encoder and a one-query attention head (what the publication
          calls linear);
        - "finetune": all weights, those of a copy of the encoder.
    head : {"attentive", "register", "mean"}, optional
        Of the last two modes; "attentive" for `mode="attentive"`, else "register" if the encoder
        has one.
    preset : {"small", "tiny", "paper-xs", "paper-s", "paper-b"}
        Of a new model, if `encoder` is None.
    fs : float, optional
        Samples per second of arrays, hertz; see `ECGJEPA`.
    leads : sequence of str, optional
        Names of the channels of arrays, in order.
    units : {"mV", "uV", "V", "adc", "arbitrary"}
    on_missing : {"error", "drop"}
    pool, layer, scale : optional
        Features of `mode="linear"`; see `ECGJEPA`.
    C : float
        Inverse strength of the penalty of `mode="linear"`.
    steps, batch_size, lr : optional
        Of the last two modes. By default as published, but no more than 50 passes over the
        records (at least 200 steps).
    crop_s, stride_s : float
        Random crops in training; at test the logits of crops at this stride are averaged. Seconds.
    layer_decay : float
        With `mode="finetune"`: factor on the learning rate for each block further from the head.
    validation_fraction : float
        Share of the patients held out for early stopping, stratified by label.
    patience : int, optional
        Evaluations of the macro AUC of the held-out records without improvement before training
        stops; the best weights are kept. None trains on all records to the end.
    evaluate_every : int
        Steps between these evaluations, at most a tenth of all steps.
    class_weight : "balanced", dict or None
        As in scikit-learn; for 0/1 columns, of the classes 0 and 1 in each.
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"fp32", "bf16"}
        Of features and of training.
    verify : bool
        Compare checksums of files and of the encoder.
    random_state : int, RandomState, Generator or None
    verbose : bool
        Show the progress line also without a terminal.

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    model_config_ : ECGModelConfig
    preprocess_ : ECGPreprocess
    probe_ : LinearProbe
        With `mode="linear"`.
    network_ : ECGClassifierNet
        With the other modes.
    history_ : list of dict
        Logged metrics of the training.
    missing_leads_ : tuple of str
        Leads that were masked, in training or in the last prediction.
    n_features_in_ : int
        Samples of a 2-D array, or channels.

    Notes
    -----
    `score` is scikit-learn's accuracy (of whole rows for 0/1 columns) and takes no NaN: score with
    `biojepa.evaluation.macro_auc(y, classifier.predict_proba(X))`.

    Examples
    --------
    >>> from biojepa.data.simulate import simulate_ecg
    >>> from biojepa.ecg import ECGClassifier
    >>> cohort = simulate_ecg(60, rate_hz=250, random_state=0)
    >>> classifier = ECGClassifier(preset="tiny", fs=250, leads=cohort.leads, random_state=0)
    >>> classifier.fit(cohort.values, cohort.y).predict_proba(cohort.values).shape
    (60, 5)

    References
    ----------
    Weimann & Conrad 2024, arXiv:2410.13867.
    """

    def __init__(
        self,
        *,
        encoder: str | PathLike | FrozenEstimator | None = None,
        mode: Mode = "linear",
        head: Head | None = None,
        preset: str = "small",
        fs: float | None = None,
        leads: Sequence[str] | None = None,
        units: str = "mV",
        on_missing: OnMissing = "error",
        pool: str = "mean_std",
        layer: int | Sequence[int] = -1,
        scale: bool = False,
        C: float = 0.01,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        crop_s: float = 2.5,
        stride_s: float = 1.25,
        layer_decay: float = 1.0,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        evaluate_every: int = 100,
        class_weight: ClassWeight = None,
        device: str = "auto",
        precision: str = "fp32",
        verify: bool = True,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.mode = mode
        self.head = head
        self.preset = preset
        self.fs = fs
        self.leads = leads
        self.units = units
        self.on_missing = on_missing
        self.pool = pool
        self.layer = layer
        self.scale = scale
        self.C = C
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.crop_s = crop_s
        self.stride_s = stride_s
        self.layer_decay = layer_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.evaluate_every = evaluate_every
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.verify = verify
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, groups: Sequence[object] | None = None) -> ECGClassifier:
        """Fit on labelled recordings.

        Parameters
        ----------
        X
            As in `ECGJEPA.fit`.
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown).
        groups : sequence, shape (n,), optional
            Patients, for the held-out part of early stopping.

        Returns
        -------
        ECGClassifier

        Raises
        ------
        DataError, LeadError, ConfigError, CheckpointError, TrainingError
            With what was expected, what came, and the fix.
        """
        self._check()
        given = pretrained_of(self.encoder, ECGJEPA, verify=self.verify)
        reader = self._reader = ECGJEPA(preset=self.preset)
        if given is not None:
            reader.take(given)
        table = self._table(X, reset=True)
        records = self._set(table)._open(table, reset=True)
        if table is X:
            self.n_features_in_ = reader.n_features_in_
        code, labels = read_labels(y, len(records), estimator="ECGClassifier")
        if groups is not None and len(groups) != len(labels):
            raise DataError(f"expected {len(labels)} patients in groups, got {len(groups)}")
        seed = draw_seed(self.random_state)
        if given is None:
            reader.take(
                fresh_model(
                    records,
                    get_recipe(self.preset),
                    on_missing=self.on_missing,
                    units=self.units,
                    seed=seed,
                )
            )
        self._code, self.classes_ = code, code.classes_
        self.probe_: LinearProbe | None = None
        self.network_: ECGClassifierNet | None = None
        self.history_: list[dict[str, float]] = []
        if self.mode == "linear":
            probe = LinearProbe(C=self.C, class_weight=self.class_weight, random_state=seed)
            targets = labels if code.columns else code.classes[labels]
            self.probe_ = probe.fit(reader.transform(table), targets)
            self.missing_leads_ = reader.missing_leads_
        else:
            inputs = reader._inputs(table)
            self._fit_network([*inputs.iterate()], labels, groups, seed)
            self.missing_leads_ = tuple(sorted(inputs.missing))
        self.model_config_, self.preprocess_ = reader.model_config_, reader.preprocess_
        return self

    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write a model folder: weights, preprocessing, leads, classes; no pickle.

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
        options = ("preset", "pool", "scale", "crop_s", "stride_s")
        write_classifier(
            folder,
            FittedClassifier(
                self._code,
                self._reader.jepa_,
                self.preprocess_,
                self.probe_,
                self.network_,
                {name: getattr(self, name) for name in options} | {"layer": self._reader._layers()},
                self._reader.training_,
            ),
        )

    @classmethod
    def from_pretrained(cls, folder: str | PathLike, *, verify: bool = True) -> ECGClassifier:
        """Load a model folder of `save_pretrained`.

        Set `fs`, `leads` and `units` of your own recordings with `set_params`.

        Raises
        ------
        CheckpointError
            If it is absent, damaged, or not an ECG classifier.
        """
        fitted = read_classifier(folder, verify=verify)
        estimator = cls(**fitted.options)
        model = fitted.model_config
        reader = estimator._reader = ECGJEPA(preset=estimator.preset)
        reader.take(fitted.pretrained())
        reader.n_features_in_ = estimator.n_features_in_ = len(model.leads)
        estimator.probe_, estimator.network_ = fitted.probe, fitted.network
        estimator.history_, estimator.missing_leads_ = [], ()
        estimator.model_config_, estimator.preprocess_ = model, fitted.preprocess
        estimator._code, estimator.classes_ = fitted.code, fitted.code.classes_
        return estimator

    def _check(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError(f"expected mode in {get_args(Mode)}, got {self.mode!r}")
        if self.head is not None and (self.mode == "linear" or self.head not in get_args(Head)):
            raise ConfigError(
                f"expected head in {get_args(Head)} with mode 'attentive' or 'finetune', got "
                f"{self.head!r} with mode {self.mode!r}"
            )
        share = self.validation_fraction
        if not 0 < share <= 0.5:
            raise ConfigError(f"expected 0 < validation_fraction <= 0.5, got {share}")
        check_pool(self.pool, self.precision)
        check_class_weight(self.class_weight)

    def _table(self, X: Any, *, reset: bool) -> Any:
        """A 2-D X after scikit-learn's own checks; anything else as it is."""
        if not is_table(X):
            return X
        return np.array(validate_data(self, X, reset=reset, dtype="numeric"))

    def _set(self, X: Any) -> ECGJEPA:
        """The reader with this estimator's present settings."""
        reader, fs = self._reader, self.fs
        if fs is None and is_table(X) and hasattr(reader, "model_config_"):
            fs = reader.model_config_.rate_hz
        options = {name: getattr(self, name) for name in _SHARED}
        return reader.set_params(fs=fs, device=self.device, **options)

    def _fit_network(self, prepared: list, labels: NDArray, groups: Any, seed: int) -> None:
        recipe = get_finetune_recipe("linear" if self.mode == "attentive" else "finetune")
        encoder = self._reader.jepa_.downstream_encoder
        network = make_network(encoder, len(self._code), head=self.head, recipe=recipe, seed=seed)
        config = training_of(
            recipe,
            len(prepared),
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            precision=self.precision,
            device=self.device,
            seed=seed,
        )
        result = train_network(
            network,
            prepared,
            self._code,
            labels,
            config,
            make_crops(encoder, self.crop_s, self.stride_s),
            class_weight=self.class_weight,
            layer_decay=1.0 if network.frozen else self.layer_decay,
            groups=groups,
            validation_fraction=self.validation_fraction,
            patience=self.patience,
            evaluate_every=self.evaluate_every,
            progress=True if self.verbose else None,
        )
        self.network_, self.history_ = network, result.rows

    def _features(self, X: Any) -> NDArray[np.float32]:
        table = self._table(X, reset=False)
        whole = fill_up(table) if isinstance(table, np.ndarray) else table
        features = self._set(table).transform(whole)
        self.missing_leads_ = self._reader.missing_leads_
        return features[: len(table)] if whole is not table else features

    def _logits(self, X: Any) -> NDArray[np.float32]:
        assert self.network_ is not None
        table = self._table(X, reset=False)
        inputs = self._set(table)._inputs(table)
        network = self.network_.to(resolve_device(self.device)).eval()
        crops = make_crops(network.encoder, self.crop_s, self.stride_s)
        logits = record_logits(network, inputs.iterate(), crops)
        network.to("cpu")
        self.missing_leads_ = tuple(sorted(inputs.missing))
        return logits
