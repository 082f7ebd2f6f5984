"""What `BrainClassifier` and `BrainRegressor` share: the encoder, the modes, the model folder."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from biojepa.data.records import is_table
from biojepa.data.splits import patient_folds
from biojepa.engine.devices import resolve_device
from biojepa.engine.supervised import SupervisedLoss
from biojepa.engine.train import TrainResult
from biojepa.errors import ConfigError, DataError
from biojepa.estimators.encoder import pretrained_of
from biojepa.estimators.features import check_pool
from biojepa.fmri.atlas import table_of
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.finetune import head_training, run_outputs, start_from_probe, train_net
from biojepa.fmri.gradients import BrainGradients
from biojepa.fmri.heads import BrainNet, Head, make_net
from biojepa.fmri.model import build_jepa
from biojepa.fmri.preprocess import Normalise
from biojepa.fmri.pretrain import Pretrained, new_model
from biojepa.fmri.recipes import HEAD_RECIPES, get_recipe
from biojepa.fmri.records import Orientation, is_recordings

Mode = Literal["linear", "attentive", "finetune"]
_SHARED = ("regions", "orientation", "gradients", "pool", "layer", "precision", "device")


class BrainPredictor(BaseEstimator):
    """Base of the two estimators; not for use by itself."""

    encoder: str | PathLike | FrozenEstimator | None
    mode: Mode
    head: Head | None
    preset: str
    tr: float | None
    regions: Sequence[str] | None
    orientation: Orientation
    gradients: ArrayLike | str | PathLike | BrainGradients | None
    normalise: Normalise | None
    pool: str
    layer: int | Sequence[int] | str
    steps: int | None
    batch_size: int | None
    lr: float | None
    layer_decay: float | None
    drop_path: float | None
    validation_fraction: float
    patience: int | None
    device: str
    precision: str
    verify: bool
    random_state: Any
    verbose: bool

    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write a model folder: weights, preprocessing, atlas, what is predicted; no pickle.

        Raises
        ------
        CheckpointError
            If the folder holds other files.
        RunError
            If it cannot be written.
        """
        from biojepa.fmri._predictor_file import write_predictor

        check_is_fitted(self)
        write_predictor(folder, self)

    @classmethod
    def from_pretrained(cls, folder: str | PathLike, *, verify: bool = True) -> Any:
        """Load a model folder of `save_pretrained`.

        Set `tr`, `regions` and `orientation` of your own runs with `set_params`.

        Raises
        ------
        CheckpointError
            If it is absent, damaged, or of another kind.
        """
        from biojepa.fmri._predictor_file import read_predictor

        return read_predictor(folder, cls, verify=verify)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _check(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError(f"expected mode in {get_args(Mode)}, got {self.mode!r}")
        if self.head is not None and (self.mode == "linear" or self.head not in get_args(Head)):
            raise ConfigError(
                f"expected head in {get_args(Head)} with mode 'attentive' or 'finetune', got "
                f"{self.head!r} with mode {self.mode!r}"
            )
        if not 0 < self.validation_fraction <= 0.5 or (
            self.patience is not None and self.patience < 1
        ):
            raise ConfigError(
                "expected 0 < validation_fraction <= 0.5 and patience of None or at least 1, got "
                f"{self.validation_fraction} and {self.patience}"
            )
        check_pool(self.pool, self.precision)

    def _open_reader(self, X: Any, seed: int) -> tuple[BrainJEPA, Any]:
        """The encoder's estimator, and X after scikit-learn's checks if it is a table."""
        table = self._table(X, reset=True)
        given = pretrained_of(self.encoder, BrainJEPA, verify=self.verify)
        reader = self._reader = BrainJEPA(preset=self.preset)
        if given is not None:
            reader.take(given)
        records = self._set()._open(table, reset=True)
        if table is X:
            self.n_features_in_ = reader.n_features_in_
        if given is None:
            recipe = get_recipe(self.preset)
            gradients = table_of(self.gradients, records)
            config, preprocess, atlases = new_model(
                records, recipe, gradients=gradients, normalise=self.normalise
            )
            jepa = build_jepa(config, gradients=atlases[0].gradients, seed=seed)
            nothing: dict[str, Any] = {"n_records": 0, "fingerprint": "", "ids": []}
            reader.take(Pretrained(jepa, config, preprocess, atlases, TrainResult(), nothing))
        # an atlas that is new to the encoder keeps the gradients of these runs
        reader.atlases_ = tuple(reader._inputs(table).atlases)
        return reader, table

    def _table(self, X: Any, *, reset: bool) -> Any:
        """A 2-D X after scikit-learn's own checks; anything else as it is."""
        if is_recordings(X) or not is_table(X):
            return X
        return np.array(validate_data(self, X, reset=reset, dtype="numeric"))

    def _set(self) -> BrainJEPA:
        """The reader with this estimator's present settings."""
        options = {name: getattr(self, name) for name in _SHARED}
        return self._reader.set_params(tr=self.tr, **options)

    def _features(self, X: Any) -> NDArray[np.float32]:
        """Features for the linear probe."""
        table = self._table(X, reset=False)
        return self._set().transform(table)

    def _runs(self, table: Any) -> tuple[list, NDArray[np.float32]]:
        """Prepared runs of one atlas, and its gradients."""
        inputs = self._set()._inputs(table)
        places = np.unique(inputs.groups())
        if len(places) > 1:
            raise DataError(
                f"expected runs of one atlas with mode={self.mode!r}, got {len(places)}: fit one "
                "estimator for each, or take mode='linear'"
            )
        runs = [self._reader._piece(run) for run in inputs.iterate()]
        return runs, inputs.atlases[int(places[0])].gradients

    def _fit_net(
        self,
        table: Any,
        labels: NDArray,
        n_outputs: int,
        seed: int,
        *,
        loss: SupervisedLoss,
        class_weight: Tensor | None = None,
        pos_weight: Tensor | None = None,
        known: NDArray[np.bool_] | None = None,
        groups: Sequence[object] | None = None,
    ) -> None:
        recipe = HEAD_RECIPES[self.mode]
        runs, gradients = self._runs(table)
        rows = np.arange(len(runs)) if known is None else np.flatnonzero(known)
        held_out = None
        if self.patience is not None:
            own = rows if groups is None else np.asarray(groups)[rows]
            n_splits = max(2, round(1 / self.validation_fraction))
            folds = patient_folds(own, labels[rows], n_splits=n_splits, random_state=seed)
            rows, kept = rows[folds[0][0]], rows[folds[0][1]]
            held_out = [runs[i] for i in kept], labels[kept]
        runs, labels = [runs[i] for i in rows], labels[rows]
        default: Head = "attentive" if self.mode == "attentive" else "mean"
        drop_path = recipe.drop_path if self.drop_path is None else self.drop_path
        net = make_net(
            self._reader.jepa_.downstream_encoder,
            gradients,
            n_outputs,
            head=self.head or default,
            frozen=recipe.frozen,
            drop_path=0.0 if recipe.frozen else drop_path,
            seed=seed,
        )
        if net.head == "connectivity":
            start_from_probe(net, runs, labels, loss=loss)
        config = head_training(
            recipe,
            len(runs),
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            precision=self.precision,
            device=self.device,
            seed=seed,
        )
        result = train_net(
            net,
            runs,
            labels,
            config,
            loss=loss,
            class_weight=class_weight,
            pos_weight=pos_weight,
            layer_decay=recipe.layer_decay if self.layer_decay is None else self.layer_decay,
            held_out=held_out,
            patience=self.patience,
            progress=True if self.verbose else None,
        )
        self.network_: BrainNet | None = net
        self.history_ = result.rows

    def _outputs(self, X: Any) -> NDArray[np.float32]:
        assert self.network_ is not None
        runs, _ = self._runs(self._table(X, reset=False))
        return run_outputs(self.network_, runs, device=resolve_device(self.device))


def as_tensor(weights: NDArray | None) -> Tensor | None:
    """Float32 weights of a loss; None stays None."""
    return None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
