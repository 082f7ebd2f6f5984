"""What the pretraining estimators of all modalities share: settings, layers, tags, saving.

`ECGJEPA`, `SignalJEPA` and `BrainJEPA` differ in what recordings are and in how they are read;
what a scikit-learn estimator does with a pretrained encoder is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, ClassVar

from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError
from biojepa.estimators.features import check_pool, feature_width, layer_numbers
from biojepa.estimators.labels import draw_seed


class JEPAEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the pretraining estimators.

    A subclass has the parameters named below, and `_write(folder, pretrained, reading)`, which
    writes the model folder of its modality.
    """

    _has_register = False  # whether tokens without a place come out, to be a feature
    _write: Callable[..., None]

    preset: str
    pool: str
    layer: int | Sequence[int] | str
    steps: int | None
    batch_size: int | None
    lr: float | None
    regulariser: str | None
    model: dict[str, Any] | None
    precision: str
    device: str
    random_state: Any
    jepa_: Any
    model_config_: Any
    preprocess_: Any
    training_: dict[str, Any]
    history_: list[dict[str, float]]
    pretrained: Callable[[], Any]
    from_pretrained: ClassVar[Callable[..., Any]]

    def save_pretrained(self, folder: str | PathLike) -> None:
        """Write a model folder: weights, preprocessing, channels, what it has seen; no pickle.

        Raises
        ------
        CheckpointError
            If the folder holds other files.
        RunError
            If it cannot be written.
        """
        check_is_fitted(self)
        self._write(folder, self.pretrained(), self.reading())

    def reading(self) -> dict[str, Any]:
        """How features are read from the model: what a model folder holds besides it."""
        return {"preset": self.preset, "pool": self.pool, "layer": self._layers()}

    def take(self, fitted: Any) -> None:
        """Become the fitted estimator of a model, the `Pretrained` of the modality."""
        self.jepa_ = fitted.jepa.to("cpu").eval()
        self.model_config_ = fitted.config
        self.preprocess_ = fitted.preprocess
        self.training_ = fitted.training
        self.history_ = fitted.result.rows

    @classmethod
    def _of(cls, fitted: Any, options: dict[str, Any], n_features: int) -> Any:
        """The estimator of a model folder's content."""
        layers = options["layer"]
        estimator = cls(**options | {"layer": layers[0] if len(layers) == 1 else layers})
        estimator.take(fitted)
        estimator.n_features_in_ = n_features
        return estimator

    @property
    def _n_features_out(self) -> int:
        return feature_width(self.model_config_.dim, pool=self.pool, layers=self._layers())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "jepa_")  # else MOABB binds a function that does not unpickle

    def _check_reading(self) -> None:
        """Refuse a pool that the model does not have, and unknown names."""
        check_pool(self.pool, self.precision)
        if self.pool == "register" and not self._has_register:
            raise ConfigError(
                f"expected pool 'mean_std' or 'mean', got 'register': {type(self).__name__} has "
                "no register"
            )

    def _layers(self) -> list[int]:
        return layer_numbers(self.layer, self.model_config_.depth)

    def _model_settings(self) -> dict[str, Any]:
        """Settings of the model in place of the preset's."""
        options = dict(self.model or {})
        if self.regulariser is not None:
            options["regulariser"] = self.regulariser
        return options

    def _training(self, base: TrainConfig) -> TrainConfig:
        """The preset's training with the estimator's numbers; the warm-up keeps its share."""
        own: dict[str, Any] = {"steps": self.steps, "batch_size": self.batch_size, "lr": self.lr}
        changes = {k: v for k, v in own.items() if v is not None}
        steps = changes.get("steps", base.steps)
        warmup = round(base.warmup_steps * steps / base.steps)
        seed = draw_seed(self.random_state)
        return replace(base, **changes, warmup_steps=warmup, seed=seed, device=self.device)


def pretrained_of(encoder: Any, kind: type[JEPAEstimator], *, verify: bool) -> Any:
    """What a predictor's `encoder=` stands for: the `Pretrained` of the modality, None for none.

    Parameters
    ----------
    encoder : str, path, FrozenEstimator or None
    kind : type
        The estimator that it has to be of.
    verify : bool
        Compare checksums of a model folder.

    Raises
    ------
    ConfigError
        If it holds no fitted estimator of this kind, or one that `clone` would un-fit.
    CheckpointError
        If the model folder cannot be read.
    """
    name = kind.__name__
    if encoder is None:
        return None
    if isinstance(encoder, kind):
        raise ConfigError(
            f"expected encoder=FrozenEstimator(...), a model folder or a shipped name, got a bare "
            f"{name}, which scikit-learn's clone would un-fit: pass FrozenEstimator(encoder) (from "
            "sklearn.frozen) of the fitted one, or encoder.save_pretrained(folder) and the folder"
        )
    if isinstance(encoder, FrozenEstimator):
        fitted = encoder.estimator
        if not isinstance(fitted, kind):
            raise ConfigError(
                f"expected FrozenEstimator of a fitted {name}, got one of {type(fitted).__name__}"
            )
        check_is_fitted(fitted)
    elif isinstance(encoder, str | PathLike):
        fitted = kind.from_pretrained(encoder, verify=verify)
    else:
        raise ConfigError(
            f"expected encoder= a model folder, a shipped name, FrozenEstimator(fitted_"
            f"{name.lower()}) or None, got {type(encoder).__name__}"
        )
    return fitted.pretrained()
