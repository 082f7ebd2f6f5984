"""The encoder behind a classifier: a saved or fitted one, a fresh one, or one that went on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from biojepa.data.eeg_records import EEGRecords
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.pretrain import Pretrained, fresh_model, pretrain
from biojepa.eeg.recipes import get_recipe


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
