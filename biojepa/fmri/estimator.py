"""`BrainJEPA`: pretraining and features of fMRI region series as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from biojepa.data.records import Records, is_table
from biojepa.engine.devices import resolve_device
from biojepa.engine.signals import Signals
from biojepa.engine.train import TrainResult
from biojepa.estimators.encoder import JEPAEstimator
from biojepa.estimators.features import Prepared, extract_features, windows_of
from biojepa.fmri._encoder_file import read_encoder, write_encoder
from biojepa.fmri._published import published_encoder
from biojepa.fmri.atlas import table_of
from biojepa.fmri.gradients import BrainGradients
from biojepa.fmri.inputs import BrainInputs
from biojepa.fmri.preprocess import Normalise, PreparedRun
from biojepa.fmri.pretrain import (
    MIN_PATCHES,
    Pretrained,
    find_atlases,
    pretrain,
    scaled_batch,
    warn_of_new,
)
from biojepa.fmri.recipes import get_recipe
from biojepa.fmri.records import Orientation, is_recordings, open_runs


class BrainJEPA(JEPAEstimator):
    """Pretrain a Brain-JEPA on runs of any atlas and turn runs into features.

    Parameters
    ----------
    preset : {"small", "tiny", "paper", "paper-s", "paper-b", "paper-l"}
        Model and training. `small` is for some hundred runs and minutes on a CPU; `tiny` is for
        trying things out.
    tr : float, optional
        Repetition time of arrays, seconds; recordings, stores and files say theirs. None takes
        the frames as they are, at the model's repetition time.
    regions : sequence of str, optional
        Names of the regions of arrays, in order; runs are then matched to the model by name.
    orientation : {"auto", "time-region", "region-time"}
        Of arrays. "auto" is (time, region), and refuses what is clearly the other way round.
    gradients : array (R, G), path, or BrainGradients, optional
        Connectivity gradients of the runs' atlas: a table, a fitted estimator, or one to fit; by
        default they are fitted on the runs.
    normalise : {"region", "robust", "global", "none"}, optional
        In place of the preset's; see `BrainPreprocess`.
    pool : {"mean_std", "mean"}
        How tokens become one vector.
    layer : int, sequence of int or "all"
        Block(s) whose output is used; several are put side by side.
    steps, batch_size, lr : optional
        In place of the preset's.
    regulariser : {"vicreg", "sigreg", "none"}, optional
        In place of the preset's.
    model : dict, optional
        Any other setting of `BrainModelConfig` in place of the preset's.
    init : str or path, optional
        Model folder to go on from: continued pretraining.
    precision : {"fp32", "bf16"}
        Of the features.
    device : {"auto", "cpu", "cuda", "mps"}
    run_dir : path, optional
        Keep metrics and checkpoints there.
    verify : bool
        Compare checksums of the `init` model.
    random_state : int, RandomState or None
    verbose : bool
        Show the progress line also without a terminal.

    Attributes
    ----------
    jepa_ : MaskedJEPA
    model_config_ : BrainModelConfig
    preprocess_ : BrainPreprocess
    atlases_ : tuple of Atlas
        Region names and gradients of each atlas in the training data; the first is the model's.
    gradients_ : ndarray, shape (R, G)
        Of the first atlas.
    training_ : dict
        What the model has seen.
    history_ : list of dict
        Logged metrics of the training.
    n_features_in_ : int
        Frames of a 2-D array (runs of one region), or regions.

    Notes
    -----
    Runs of several atlases and repetition times may be mixed; a batch holds one atlas. Runs of an
    atlas that the model has not seen get gradients fitted on them, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from biojepa.fmri import BrainJEPA
    >>> rng = np.random.default_rng(0)
    >>> runs = [rng.standard_normal((n, 20)) for n in (80, 96, 120, 70)]  # time x region
    >>> jepa = BrainJEPA(preset="tiny", tr=2.0, random_state=0).fit(runs)
    >>> jepa.transform(runs).shape
    (4, 64)

    References
    ----------
    Dong et al. 2024, arXiv:2409.19407.
    """

    _write = staticmethod(write_encoder)

    def __init__(
        self,
        *,
        preset: str = "small",
        tr: float | None = None,
        regions: Sequence[str] | None = None,
        orientation: Orientation = "auto",
        gradients: ArrayLike | str | PathLike | BrainGradients | None = None,
        normalise: Normalise | None = None,
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
        self.tr = tr
        self.regions = regions
        self.orientation = orientation
        self.gradients = gradients
        self.normalise = normalise
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

    def fit(self, X: Any, y: Any = None) -> BrainJEPA:
        """Pretrain on unlabelled runs.

        Parameters
        ----------
        X : list of arrays (time, region), array (n, time, region), list of Recording, SignalStore,
            or paths
            Lengths may differ. A 2-D array (n, time) is n runs of one region.
        y : ignored

        Returns
        -------
        BrainJEPA

        Raises
        ------
        DataError, ConfigError, TrainingError
            With what was expected, what came, and the fix.
        """
        self._check_reading()
        records = self._open(X, reset=True)
        recipe = get_recipe(self.preset)
        fitted = pretrain(
            records,
            recipe,
            gradients=table_of(self.gradients, records),
            normalise=self.normalise,
            model=self._model_settings() or None,
            training=self._training(scaled_batch(recipe.train, self.batch_size)),
            init=None if self.init is None else read_encoder(self.init, verify=self.verify)[0],
            out=None if self.run_dir is None else Path(self.run_dir),
            progress=True if self.verbose else None,
        )
        self.take(fitted)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Features of runs.

        Parameters
        ----------
        X
            As in `fit`; any repetition time (`set_params(tr=...)`), any length: runs longer than
            the model's window are averaged over windows.

        Returns
        -------
        ndarray of float32, shape (n_runs, n_features)
        """
        check_is_fitted(self)
        self._check_reading()
        inputs = self._inputs(X)
        groups = inputs.groups()
        features = np.zeros((len(inputs), self._n_features_out), dtype=np.float32)
        config, device = self.model_config_, resolve_device(self.device)
        self.jepa_.to(device).eval()
        for place in np.unique(groups):
            rows = np.flatnonzero(groups == place)
            features[rows] = extract_features(
                self.jepa_,
                (self._piece(run) for run in inputs.iterate(rows.tolist())),
                window=config.n_times,
                shortest=MIN_PATCHES * config.patch,
                pool=self.pool,
                layers=self._layers(),
                batch_size=8,
                precision=self.precision,
                device=device,
                positions=inputs.positions(int(place)),
            )
        self.jepa_.to("cpu")
        return features

    def encode(self, X: Any) -> list[NDArray[np.float32]]:
        """Tokens of each run's windows.

        Returns
        -------
        list of ndarray of float32, shape (n_windows, n_regions, n_time_patches, dim)
            One a run; a token is `patch * tr` seconds of one region.
        """
        check_is_fitted(self)
        config, inputs = self.model_config_, self._inputs(X)
        self.jepa_.eval()
        tokens = []
        with torch.inference_mode():
            for index in range(len(inputs)):
                run = inputs.read(index)
                positions = inputs.positions(inputs.atlas(index))
                parts = []
                for s in windows_of(self._piece(run), config.n_times, MIN_PATCHES * config.patch):
                    x = s.batched()
                    x = Signals(x.values, positions, x.valid)
                    out = self.jepa_.encode(x, layer=self._layers()[-1])
                    parts.append(out.view(1, len(run.values), -1, config.dim).numpy())
                tokens.append(np.concatenate(parts))
        return tokens

    def prepare(self, X: Any) -> list[PreparedRun]:
        """What the model sees of each run, after matching to the atlas and preprocessing."""
        check_is_fitted(self)
        return list(self._inputs(X).iterate())

    @classmethod
    def from_pretrained(cls, folder: str | PathLike, *, verify: bool = True) -> BrainJEPA:
        """Load a model folder, a shipped model by name, or one from the Hub by id.

        Set `tr`, `regions` and `orientation` of your own runs with `set_params`.

        Raises
        ------
        CheckpointError
            If it is absent, damaged, or not an fMRI encoder.
        """
        fitted, options = read_encoder(folder, verify=verify)
        return cls._of(fitted, options, len(fitted.atlases[0]))

    @classmethod
    def from_published(
        cls,
        path: str | PathLike,
        *,
        gradients: ArrayLike | str | PathLike | None = None,
        heads: int | None = None,
        regions: Sequence[str] | None = None,
        normalise: Normalise = "region",
    ) -> BrainJEPA:
        """Start from a published pretraining checkpoint; `save_pretrained` makes a folder of it.

        Parameters
        ----------
        path, gradients, heads
            See `biojepa.fmri.official.load`.
        regions : sequence of str, optional
            Names of the regions, in the order of the gradients; runs are then matched by name.
        normalise : {"region", "global", "none"}
            The published scaling needs medians and ranges of the training people, which were not
            released: "region" is ours, "global" what the published code used for other cohorts.

        Raises
        ------
        CheckpointError, ConfigError, DataError
            As `official.load`; or the file holds a head, names and regions differ in number, or
            the scaling is the published one.
        """
        fitted, options = published_encoder(
            path, gradients=gradients, heads=heads, regions=regions, normalise=normalise
        )
        return cls._of(fitted, options, len(fitted.atlases[0]))

    def _piece(self, run: PreparedRun) -> Prepared:
        """Values in whole patches, so that runs of about one length share a batch."""
        patch = self.model_config_.patch
        n_times = run.values.shape[1]
        whole = n_times if n_times < MIN_PATCHES * patch else n_times // patch * patch
        return run.values[:, :whole], run.valid

    def _open(self, X: Any, *, reset: bool) -> Records:
        """Runs of whatever X is; 2-D arrays go through scikit-learn's own checks."""
        fitted = not reset and hasattr(self, "preprocess_")
        tr_s = self.tr or (self.preprocess_.tr_s if fitted else get_recipe(self.preset).tr_s)
        if not is_recordings(X) and is_table(X):
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=1)
            runs = [row[:, None] for row in np.asarray(X)]
            return open_runs(runs, tr_s=tr_s, regions=None, orientation="time-region")
        known = {len(a) for a in self.atlases_} if fitted and self.orientation == "auto" else ()
        records = open_runs(
            X,
            tr_s=tr_s,
            regions=self.regions,
            orientation=self.orientation,
            known=() if self.gradients is not None else known,
        )
        if reset:
            self.n_features_in_ = len(records.read(0).values)
        return records

    def _inputs(self, X: Any) -> BrainInputs:
        records = self._open(X, reset=False)
        known = self.atlases_
        given = table_of(self.gradients, records)
        if given is not None and any(len(given) == len(atlas) for atlas in known):
            given = None  # those of the training data
        n_gradients = self.model_config_.n_gradients
        atlases = find_atlases(records, n_gradients, known=known, gradients=given)
        if given is None:
            warn_of_new(atlases, len(known))
        return BrainInputs(records, self.preprocess_, atlases)

    def take(self, fitted: Pretrained) -> None:
        """Become the fitted estimator of a model."""
        super().take(fitted)
        self.atlases_ = fitted.atlases
        self.gradients_ = fitted.atlases[0].gradients

    def pretrained(self) -> Pretrained:
        """The fitted model with everything needed to use or continue it."""
        check_is_fitted(self)
        return Pretrained(
            self.jepa_,
            self.model_config_,
            self.preprocess_,
            self.atlases_,
            TrainResult(rows=self.history_),
            self.training_,
        )
