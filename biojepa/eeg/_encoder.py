"""The encoder behind a classifier: a saved or fitted one, a fresh one, or one that went on."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from biojepa.data.eeg_records import EEGRecords
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.pretrain import Pretrained, fresh_model, pretrain
from biojepa.eeg.recipes import get_recipe
from biojepa.errors import ConfigError


def pretrained_of(encoder: Any, *, verify: bool) -> Pretrained | None:
    """What a classifier's `encoder=` stands for; None for none.

    Raises
    ------
    ConfigError
        If it is nothing that holds a fitted `SignalJEPA`, or one that `clone` would un-fit.
    CheckpointError
        If the model folder cannot be read.
    """
    if encoder is None:
        return None
    if isinstance(encoder, SignalJEPA):
        raise ConfigError(
            "expected encoder=FrozenEstimator(...), a model folder or a shipped name, got a bare "
            "SignalJEPA, which scikit-learn's clone would un-fit: pass FrozenEstimator(encoder) "
            "(from sklearn.frozen) of the fitted one, or encoder.save_pretrained(folder) and the "
            "folder"
        )
    if isinstance(encoder, FrozenEstimator):
        fitted = encoder.estimator
        if not isinstance(fitted, SignalJEPA):
            raise ConfigError(
                "expected FrozenEstimator of a fitted SignalJEPA, got one of "
                f"{type(fitted).__name__}"
            )
        check_is_fitted(fitted)
    elif isinstance(encoder, str | PathLike):
        fitted = SignalJEPA.from_pretrained(encoder, verify=verify)
    else:
        raise ConfigError(
            "expected encoder= a model folder, a shipped name, FrozenEstimator(fitted_signaljepa) "
            f"or None, got {type(encoder).__name__}"
        )
    return fitted.pretrained()


def start_from(
    given: Pretrained | None,
    source: EEGRecords,
    reader: SignalJEPA,
    target: Any = None,
    *,
    steps: int,
    seed: int,
) -> Pretrained:
    """The encoder that a classifier starts from.

    Parameters
    ----------
    given : Pretrained or None
        Not changed. None for random weights.
    source : EEGRecords
        What the classifier is trained on.
    reader : SignalJEPA
        Opens `target`; its preset is that of a new model and of the training on `target`.
    target : optional
        Unlabelled EEG, as `SignalJEPA.fit` takes it, on which the pretraining goes on first.
    steps : int
        On `target`.
    seed : int

    Raises
    ------
    DataError, LeadError, ConfigError, TrainingError
    """
    recipe, unknown = get_recipe(reader.preset), reader.on_unknown
    if given is None:
        given = fresh_model(source, recipe, on_unknown=unknown, seed=seed)
    if target is None:
        return given
    warmup = round(recipe.train.warmup_steps * steps / recipe.train.steps)
    training = replace(recipe.train, steps=steps, warmup_steps=warmup, seed=seed)
    training = replace(training, device=reader.device)
    records = reader._open(target, reset=False)
    return pretrain(records, recipe, on_unknown=unknown, training=training, init=given)[0]
