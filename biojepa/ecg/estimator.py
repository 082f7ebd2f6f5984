"""`ECGJEPA`: pretraining and features of 12-lead (or other) ECG as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.data.records import ArrayRecords, Records, is_table, open_records
from biojepa.ecg._encoder_file import read_encoder, write_encoder
from biojepa.ecg.inputs import ECGInputs
from biojepa.ecg.preprocess import Preprocessed
from biojepa.ecg.pretrain import MIN_PATCHES, Pretrained, name_leads, pretrain
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.devices import resolve_device
from biojepa.engine.train import TrainResult
from biojepa.estimators.encoder import JEPAEstimator
from biojepa.estimators.features import extract_features, grid_shifts, windows_of


class ECGJEPA(JEPAEstimator):
    """Pretrain an ECG-JEPA on recordings and turn recordings into features.

    Parameters
    ----------
    preset : {"small", "tiny", "paper-xs", "paper-s", "paper-b"}
        Model and training. `small` is for hundreds to thousands of records and minutes on a CPU;
        `tiny` is for trying things out.
    fs : float, optional
        Samples per second of arrays, hertz. Needed for 3-D arrays and lists; files and stores
        say theirs; 2-D arrays are taken to be at the model's rate without it.
    leads : sequence of str, optional
        Names of the channels of arrays, in order, in any spelling. Without names, 12 channels
        are I, II, III, aVR, aVL, aVF, V1-V6, and 8 are I, II, V1-V6.
    units : {"mV", "uV", "V", "adc", "arbitrary"}
        Of arrays. `"arbitrary"` switches the check of plausible voltages off.
    model_leads : sequence of str, optional
        Leads of a new model; by default the preset's if the data has them, else the data's.
    on_missing : {"error", "drop"}
        When a recording lacks a lead of the model: raise, or mask it, warn, and record it in
        `missing_leads_`. III, aVR, aVL and aVF are computed from I and II.
    pool : {"mean_std", "mean", "register"}
        How tokens become one vector.
    layer : int, sequence of int or "all"
        Block(s) whose output is used; several are put side by side.
    shifts : int, optional
        Placements of the grid of patches that features are the mean over: 4 for long patches.
    scale : bool
        Append the logarithm of each lead's amplitude (std in millivolt), which normalisation
        removes. It carries what the features cannot (hypertrophy, low voltage).
    steps, batch_size, lr : optional
        In place of the preset's.
    regulariser : {"vicreg", "sigreg", "none"}, optional
        In place of the preset's.
    lead_dropout : float
        Probability that a lead is blanked in pretraining; for models that serve fewer leads.
    model : dict, optional
        Any other setting of `ECGModelConfig` in place of the preset's.
    init : str or path, optional
        Model folder or shipped name to go on from: continued pretraining, with the leads, rate
        and preprocessing of that model. Leads that the own recordings lack are masked
        (`on_missing="drop"`); `training_` then states both data sets.
    precision : {"fp32", "bf16"}
        Of the features.
    device : {"auto", "cpu", "cuda", "mps"}
    run_dir : path, optional
        Keep metrics and checkpoints there.
    verify : bool
        Compare checksums of files and of the `init` model.
    random_state : int, RandomState or None
    verbose : bool
        Show the progress line also without a terminal.

    Attributes
    ----------
    jepa_ : MaskedJEPA
    model_config_ : ECGModelConfig
    preprocess_ : ECGPreprocess
    training_ : dict
        What the model has seen.
    history_ : list of dict
        Logged metrics of the training.
    missing_leads_ : tuple of str
        Leads that were masked, in training or in the last `transform`.
    n_features_in_ : int
        Samples of a 2-D array, or channels.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from biojepa.data.simulate import simulate_ecg
    >>> from biojepa.ecg import ECGJEPA
    >>> cohort = simulate_ecg(40, rate_hz=250, random_state=0)
    >>> jepa = ECGJEPA(preset="tiny", fs=250, leads=cohort.leads, random_state=0)
    >>> jepa.fit(cohort.values).transform(cohort.values).shape
    (40, 64)

    References
    ----------
    Weimann & Conrad 2024, arXiv:2410.13867.
    """

    missing_leads_: tuple[str, ...]
    _has_register = True
    _write = staticmethod(write_encoder)

    def __init__(
        self,
        *,
        preset: str = "small",
        fs: float | None = None,
        leads: Sequence[str] | None = None,
        units: str = "mV",
        model_leads: Sequence[str] | None = None,
        on_missing: Literal["error", "drop"] = "error",
        pool: str = "mean_std",
        layer: int | Sequence[int] | str = -1,
        shifts: int | None = None,
        scale: bool = False,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        regulariser: str | None = None,
        lead_dropout: float = 0.0,
        model: dict[str, Any] | None = None,
        init: str | PathLike | None = None,
        precision: str = "fp32",
        device: str = "auto",
        run_dir: str | PathLike | None = None,
        verify: bool = True,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.fs = fs
        self.leads = leads
        self.units = units
        self.model_leads = model_leads
        self.on_missing = on_missing
        self.pool = pool
        self.layer = layer
        self.shifts = shifts
        self.scale = scale
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.regulariser = regulariser
        self.lead_dropout = lead_dropout
        self.model = model
        self.init = init
        self.precision = precision
        self.device = device
        self.run_dir = run_dir
        self.verify = verify
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> ECGJEPA:
        """Pretrain on unlabelled recordings.

        Parameters
        ----------
        X : array (n, leads, time), list of arrays (leads, time), SignalStore, paths, or (n, time)
            Paths are files, folders or patterns of any format in `biojepa.data.formats`;
            (n, time) is one nameless channel.
        y : ignored

        Returns
        -------
        ECGJEPA

        Raises
        ------
        DataError, LeadError, ConfigError, TrainingError
            With what was expected, what came, and the fix.
        """
        self._check_reading()
        records = self._open(X, reset=True)
        recipe = get_recipe(self.preset)
        fitted = pretrain(
            records,
            recipe,
            leads=self.model_leads,
            on_missing=self.on_missing,
            units=self.units,
            model=self._model_settings() or None,
            training=self._training(recipe.train),
            init=None if self.init is None else read_encoder(self.init, verify=self.verify)[0],
            out=None if self.run_dir is None else Path(self.run_dir),
            progress=True if self.verbose else None,
        )
        self.take(fitted)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Features of recordings.

        Parameters
        ----------
        X
            As in `fit`; any sampling rate (`set_params(fs=...)`), any length: records longer than
            the model's window are averaged over windows.

        Returns
        -------
        ndarray of float32, shape (n_records, n_features)
        """
        check_is_fitted(self)
        self._check_reading()
        inputs = self._inputs(X)
        scales: list[np.ndarray] = []

        def prepared() -> Any:
            for record in inputs.iterate():
                scales.append(record.log_scale)
                yield record.values

        device = resolve_device(self.device)
        self.jepa_.to(device).eval()
        patch = self.model_config_.patch
        features = extract_features(
            self.jepa_,
            prepared(),
            window=self.model_config_.n_times,
            shortest=MIN_PATCHES * patch,
            pool=self.pool,
            layers=self._layers(),
            patch=patch,
            shifts=self._shifts(),
            precision=self.precision,
            device=device,
        )
        self.jepa_.to("cpu")
        self.missing_leads_ = tuple(sorted(inputs.missing))
        if self.scale:
            features = np.concatenate([features, np.stack(scales)], axis=1)
        return features

    def encode(self, X: Any) -> list[np.ndarray]:
        """Tokens of each record's windows.

        Returns
        -------
        list of ndarray of float32, shape (n_windows, n_tokens, dim)
            One a record; a token is `patch / rate` seconds of all leads.
        """
        check_is_fitted(self)
        config = self.model_config_
        self.jepa_.eval()
        tokens = []
        with torch.inference_mode():
            for record in self._inputs(X).iterate():
                parts = [
                    self.jepa_.encode(s.batched(), layer=self._layers()[-1]).numpy()
                    for s in windows_of(record.values, config.n_times, MIN_PATCHES * config.patch)
                ]
                tokens.append(np.concatenate(parts))
        return tokens

    def prepare(self, X: Any) -> list[Preprocessed]:
        """What the model sees of each record, after lead selection and preprocessing."""
        check_is_fitted(self)
        return list(self._inputs(X).iterate())

    def reading(self) -> dict[str, Any]:
        """How features are read from the model: what a model folder holds besides it."""
        return super().reading() | {"shifts": self._shifts(), "scale": self.scale}

    @classmethod
    def from_pretrained(cls, folder: str | PathLike, *, verify: bool = True) -> ECGJEPA:
        """Load a model folder, a shipped model by name, or one from the Hub by id.

        Set `fs`, `leads` and `units` of your own recordings with `set_params`.

        Raises
        ------
        CheckpointError
            If it is absent, damaged, or not an ECG encoder.
        """
        fitted, options = read_encoder(folder, verify=verify)
        return cls._of(fitted, options, len(fitted.config.leads))

    @property
    def _n_features_out(self) -> int:
        return super()._n_features_out + (len(self.model_config_.leads) if self.scale else 0)

    def _shifts(self) -> int:
        return grid_shifts(self.shifts, self.model_config_.patch / self.model_config_.rate_hz)

    def _model_settings(self) -> dict[str, Any]:
        own = {"lead_dropout": self.lead_dropout} if self.lead_dropout else {}
        return super()._model_settings() | own

    def _open(self, X: Any, *, reset: bool) -> Records:
        """Records of whatever X is; 2-D arrays go through scikit-learn's own checks."""
        if is_table(X):
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=1)
            X = np.asarray(X)[:, None, :]
            rate = self.fs or self._own_rate(reset)
            return ArrayRecords(X, fs=rate, channels=None, units=self.units, judge=False)
        records = open_records(
            X, fs=self.fs, channels=self.leads, units=self.units, verify=self.verify
        )
        if reset:
            self.n_features_in_ = len(records.channels or ()) or records.read(0).values.shape[0]
        return records

    def _own_rate(self, reset: bool) -> float:
        if reset:
            return get_recipe(self.preset).model.rate_hz
        return self.model_config_.rate_hz

    def _inputs(self, X: Any) -> ECGInputs:
        records = self._open(X, reset=False)
        channels = records.channels
        if channels is None:
            own = self.preprocess_.leads
            n_channels = records.read(0).values.shape[0]
            channels = own if n_channels == len(own) else name_leads(None, n_channels)
        return ECGInputs(records, self.preprocess_, self.on_missing, channels)

    def take(self, fitted: Pretrained) -> None:
        """Become the fitted estimator of a model."""
        super().take(fitted)
        self.missing_leads_ = fitted.missing

    def pretrained(self) -> Pretrained:
        """The fitted model with everything needed to use or continue it."""
        check_is_fitted(self)
        result = TrainResult(rows=self.history_)
        return Pretrained(self.jepa_, self.model_config_, self.preprocess_, result, self.training_)
