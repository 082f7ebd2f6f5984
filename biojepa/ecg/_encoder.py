"""The encoder behind a classifier that is given none: random weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from biojepa.data.records import Records
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
