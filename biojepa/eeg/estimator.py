"""`SignalJEPA`: pretraining and features of EEG of any montage as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.data.eeg_records import EEGRecords, MixedEEG, open_eeg
from biojepa.data.montage import OnUnknown, Placed
from biojepa.data.records import ArrayRecords, is_table
from biojepa.eeg._encoder_file import read_encoder, write_encoder
from biojepa.eeg.inputs import EEGInputs, MixedInputs, open_inputs
from biojepa.eeg.pretrain import Pretrained, channels_of, pretrain, shortest_of
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.devices import resolve_device
from biojepa.engine.train import TrainResult
from biojepa.estimators.encoder import JEPAEstimator
from biojepa.estimators.features import extract_features


class SignalJEPA(JEPAEstimator):
    """Pretrain a Signal-JEPA on EEG and turn EEG of any montage into features.

    Parameters
    ----------
    preset : {"small", "tiny", "paper"}
        Model and training. `small` is for hours of EEG and minutes on a CPU; `tiny` is for trying
        things out.
    sfreq : float, optional
        Samples per second of arrays, hertz. MNE objects, files and stores say theirs; 2-D arrays
        are taken to be at the model's rate without it.
    ch_names : sequence of str, optional
        Names of the channels of arrays, in order, in any spelling.
    montage : str, dict or mne.channels.DigMontage, optional
        Positions of channels that are not in the 10-05 system; a dict is in metres, in MNE's head
        frame.
    units : {"uV", "mV", "V", "arbitrary"}
        Of arrays. `"arbitrary"` switches the check of plausible voltages off, also for MNE objects
        and files that are not in volts.
    on_unknown : {"error", "drop"}
        When a channel has no place: raise, or leave it out and say so in `channels_`.
    pool : {"mean_std", "mean"}
        How tokens become one vector; neither depends on the order of channels.
    layer : int, sequence of int or "all"
        Layer(s) whose output is used; several are put side by side.
    steps, batch_size, lr : optional
        In place of the preset's.
    regulariser : {"vicreg", "sigreg", "none"}, optional
        In place of the preset's.
    model : dict, optional
        Any other setting of `EEGModelConfig` in place of the preset's: `masks`, `radius`, ...
    init : str or path, optional
        Model folder or shipped name to go on from: continued pretraining.
    precision : {"fp32", "bf16"}
        Of the features.
    device : {"auto", "cpu", "cuda", "mps"}
    run_dir : path, optional
        Keep metrics and checkpoints there.
    verify : bool
        Compare checksums of the `init` model.
    random_state : int, RandomState or None
    verbose : bool
        Show the progress line also without a terminal, and print the report of channels.

    Attributes
    ----------
    jepa_ : MaskedJEPA
    model_config_ : EEGModelConfig
    preprocess_ : EEGPreprocess
    channels_ : Placed
        Report of the last `fit` or `transform`: which channels were found, and how.
    training_ : dict
        What the model has seen.
    history_ : list of dict
        Logged metrics of the training.
    n_features_in_ : int
        Samples of a 2-D array, or channels.

    Notes
    -----
    The local encoder is blind to the gain and offset of each channel, so amplitude and power of
    single channels do not show in the features; the "pre-local" architecture of
    `SignalJEPAClassifier` mixes channels before it and can use them.

    Examples
    --------
    >>> import numpy as np
    >>> from biojepa.eeg import SignalJEPA
    >>> X = 10 * np.random.default_rng(0).standard_normal((20, 4, 300))  # microvolt
    >>> jepa = SignalJEPA(preset="tiny", sfreq=128, ch_names=["Fz", "C3", "C4", "Pz"])
    >>> jepa.set_params(random_state=0).fit(X).transform(X).shape
    (20, 64)

    References
    ----------
    Guetschel, Moreau & Tangermann 2024, S-JEPA, arXiv:2403.11772.
    """

    channels_: Placed
    _write = staticmethod(write_encoder)

    def __init__(
        self,
        *,
        preset: str = "small",
        sfreq: float | None = None,
        ch_names: Sequence[str] | None = None,
        montage: Any = None,
        units: str = "uV",
        on_unknown: OnUnknown = "error",
        pool: str = "mean_std",
        layer: int | Sequence[int] | str = -1,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        regulariser: str | None = None,
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
        self.sfreq = sfreq
        self.ch_names = ch_names
        self.montage = montage
        self.units = units
        self.on_unknown = on_unknown
        self.pool = pool
        self.layer = layer
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.regulariser = regulariser
        self.model = model
        self.init = init
        self.precision = precision
        self.device = device
        self.run_dir = run_dir
        self.verify = verify
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> SignalJEPA:
        """Pretrain on unlabelled EEG.

        Parameters
        ----------
        X : array (n, channels, time), list of arrays (channels, time), mne.Epochs, mne.io.Raw (or
            several), SignalStore, paths, or (n, time)
            Raw and files are cut into windows; (n, time) is one nameless channel.
        y : ignored

        Returns
        -------
        SignalJEPA

        Raises
        ------
        DataError, LeadError, ConfigError, TrainingError
            With what was expected, what came, and the fix.
        """
        self._check_reading()
        recipe = get_recipe(self.preset)
        source = self._open(X, reset=True)
        fitted, inputs = pretrain(
            source,
            recipe,
            on_unknown=self.on_unknown,
            model=self._model_settings() or None,
            training=self._training(recipe.train),
            init=None if self.init is None else read_encoder(self.init, verify=self.verify)[0],
            out=None if self.run_dir is None else Path(self.run_dir),
            progress=True if self.verbose else None,
        )
        self.take(fitted)
        self._report(inputs)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Features of EEG.

        Parameters
        ----------
        X
            As in `fit`; any montage with known places, any sampling rate, any length: records
            longer than the model's window are averaged over windows, Raw and files are cut into
            windows that are rows of the result.

        Returns
        -------
        ndarray of float32, shape (n_records, n_features)
        """
        check_is_fitted(self)
        self._check_reading()
        inputs = self._inputs(X)
        device = resolve_device(self.device)
        self.jepa_.to(device).eval()
        rows = [
            extract_features(
                self.jepa_,
                ((record.values, record.valid) for record in part.iterate()),
                window=self.model_config_.n_times,
                shortest=1,
                pool=self.pool,
                layers=self._layers(),
                precision=self.precision,
                device=device,
                positions=part.positions,
            )
            for part in inputs.parts
        ]
        self.jepa_.to("cpu")
        return rows[0] if len(rows) == 1 else np.stack(inputs.rows_in_order(rows))

    def encode(self, X: Any) -> list[np.ndarray]:
        """Tokens of each record.

        Returns
        -------
        list of ndarray of float32, shape (n_channels, n_steps, dim)
            Channels in the order of `channels_.names`; a step is about a second.
        """
        check_is_fitted(self)
        self.jepa_.eval()
        inputs = self._inputs(X)
        tokens: list[list[np.ndarray]] = [[] for _ in inputs.parts]
        with torch.inference_mode():
            for part, own in zip(inputs.parts, tokens, strict=True):
                for signals in part.signals():
                    (out,) = self.jepa_.encode(signals.batched(), layer=self._layers()[-1])
                    own.append(out.view(len(part.positions), -1, out.shape[-1]).numpy())
        return inputs.rows_in_order(tokens)

    @classmethod
    def from_pretrained(cls, folder: str | PathLike, *, verify: bool = True) -> SignalJEPA:
        """Load a model folder, a shipped model by name, or one from the Hub by id.

        Weights of braindecode's `SignalJEPA` ("braindecode/signal-jepa") come with the published
        preprocessing. Set `sfreq`, `ch_names` and `units` of your own arrays with `set_params`.

        Raises
        ------
        CheckpointError
            If it is absent, damaged, or not an EEG encoder.
        """
        fitted, options = read_encoder(folder, verify=verify)
        return cls._of(fitted, options, len(fitted.config.channels))

    def pretrained(self) -> Pretrained:
        """The fitted model with everything needed to use or continue it."""
        check_is_fitted(self)
        result = TrainResult(rows=self.history_)
        return Pretrained(self.jepa_, self.model_config_, self.preprocess_, result, self.training_)

    def _open(self, X: Any, *, reset: bool) -> EEGRecords | MixedEEG:
        """Records of whatever X is; 2-D arrays go through scikit-learn's own checks."""
        if is_table(X):
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=1)
            X = np.asarray(X)[:, None, :]
            rate = self.sfreq or get_recipe(self.preset).preprocess.rate_hz
            names = self.ch_names if self.ch_names is not None and len(self.ch_names) == 1 else None
            records = ArrayRecords(X, fs=rate, channels=names, units=self.units, judge=False)
            return EEGRecords(records, arbitrary=self.units == "arbitrary")
        source = X
        if not isinstance(X, EEGRecords | MixedEEG):
            source = open_eeg(
                X,
                sfreq=self.sfreq,
                ch_names=self.ch_names,
                units=self.units,
                montage=self.montage,
            )
        if reset:
            first = source.parts[0]
            self.n_features_in_ = len(first.names or ()) or len(first.records.read(0).values)
        return source

    def _inputs(self, X: Any) -> EEGInputs | MixedInputs:
        inputs = open_inputs(
            self._open(X, reset=False),
            self.preprocess_,
            model=channels_of(self.model_config_),
            on_unknown=self.on_unknown,
            shortest=shortest_of(self.model_config_),
            window=self.model_config_.n_times,
        )
        self._report(inputs)
        return inputs

    def _report(self, inputs: EEGInputs | MixedInputs) -> None:
        self.channels_ = inputs.placed
        if self.verbose:
            print(inputs.placed)
