"""The encoder behind a classifier: a saved or fitted one, or random weights."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from biojepa.data.records import Records
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.inputs import ECGInputs, OnMissing
from biojepa.ecg.model import build_jepa
from biojepa.ecg.pretrain import (
    Pretrained,
    make_preprocess,
    model_leads,
    name_leads,
    window_samples,
)
from biojepa.ecg.recipes import Recipe
from biojepa.engine.train import TrainResult
from biojepa.errors import ConfigError


def pretrained_of(encoder: Any, *, verify: bool) -> Pretrained | None:
    """What a classifier's `encoder=` stands for; None for none.

    Raises
    ------
    ConfigError
        If it is nothing that holds a fitted `ECGJEPA`, or one that `clone` would un-fit.
    CheckpointError
        If the model folder cannot be read.
    """
    if encoder is None:
        return None
    if isinstance(encoder, ECGJEPA):
        raise ConfigError(
            "expected encoder=FrozenEstimator(...), a model folder or a shipped name, got a bare "
            "ECGJEPA, which scikit-learn's clone would un-fit: pass FrozenEstimator(encoder) "
            "(from sklearn.frozen) of the fitted one, or encoder.save_pretrained(folder) and the "
            "folder"
        )
    if isinstance(encoder, FrozenEstimator):
        fitted = encoder.estimator
        if not isinstance(fitted, ECGJEPA):
            raise ConfigError(
                f"expected FrozenEstimator of a fitted ECGJEPA, got one of {type(fitted).__name__}"
            )
        check_is_fitted(fitted)
    elif isinstance(encoder, str | PathLike):
        fitted = ECGJEPA.from_pretrained(encoder, verify=verify)
    else:
        raise ConfigError(
            "expected encoder= a model folder, a shipped name, FrozenEstimator(fitted_ecgjepa) or "
            f"None, got {type(encoder).__name__}"
        )
    return fitted.pretrained()


def fresh_model(
    records: Records,
    recipe: Recipe,
    *,
    on_missing: OnMissing,
    units: str,
    seed: int,
) -> Pretrained:
    """A model of the recipe for these records with random weights; nothing is trained."""
    n_channels = len(records.channels) if records.channels else records.read(0).values.shape[0]
    leads = model_leads(records.channels, n_channels, recipe, None)
    preprocess = make_preprocess(recipe, leads, records, units=units)
    channels = records.channels or name_leads(None, n_channels)
    inputs = ECGInputs(records, preprocess, on_missing, channels)
    config = replace(recipe.model, leads=leads, rate_hz=preprocess.rate_hz)
    config = config.for_window(window_samples(config, inputs))
    nothing: dict[str, Any] = {"n_records": 0, "fingerprint": "", "ids": []}
    return Pretrained(build_jepa(config, seed=seed), config, preprocess, TrainResult(), nothing)
