"""Pretraining of an ECG-JEPA on anyone's records: what estimator and command line share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.data.leads import INDEPENDENT_8, STANDARD_12, arrange_leads, canonical_leads
from biojepa.data.mixed_records import MixedRecords
from biojepa.data.records import ArrayRecords, Records, joined_statement, training_statement
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.inputs import ECGInputs, ECGWindows, OnMissing
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.mixture import MixedInputs, check_weights, pooled_road, published_road
from biojepa.ecg.model import build_jepa
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.recipes import Recipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.plan import WeightedPlan
from biojepa.engine.train import Evaluate, TrainResult, train
from biojepa.errors import ConfigError, DataError, LeadError

N_STATS = 2000  # records whose amplitude is measured for `normalise="dataset"`
MIN_PATCHES = 2


@dataclass
class Pretrained:
    """A model and everything needed to use it.

    Parameters
    ----------
    jepa : MaskedJEPA
    config : ECGModelConfig
    preprocess : ECGPreprocess
    result : TrainResult
    training : dict
        Statement of the data: number of records, ids or hashes, fingerprint.
    missing : tuple of str
        Leads that were masked in training.
    """

    jepa: MaskedJEPA
    config: ECGModelConfig
    preprocess: ECGPreprocess
    result: TrainResult
    training: dict[str, Any]
    missing: tuple[str, ...] = ()


def model_leads(
    have: Sequence[str] | None, n_channels: int, recipe: Recipe, wanted: Sequence[str] | None
) -> tuple[str, ...]:
    """Leads of a new model for given data.

    `wanted`, or the recipe's leads where the data has or gives them all, or the data's own.

    Parameters
    ----------
    have : sequence of str or None
        Leads of the data; None if nameless.
    n_channels : int
    recipe : Recipe
    wanted : sequence of str or None
    """
    if wanted is not None:
        return canonical_leads(wanted)
    own = name_leads(have, n_channels)
    try:
        arrange_leads(np.zeros((n_channels, 1), np.float32), own, recipe.model.leads)
    except LeadError:
        return own
    return recipe.model.leads


def name_leads(have: Sequence[str] | None, n_channels: int) -> tuple[str, ...]:
    """Names of the data's leads: as given; standard for 12 and 8 nameless ones; else `ch1`, ..."""
    if have:
        return canonical_leads(have)
    for standard in (STANDARD_12, INDEPENDENT_8):
        if n_channels == len(standard):
            return standard
    return tuple(f"ch{i + 1}" for i in range(n_channels))


def make_preprocess(
    recipe: Recipe, leads: tuple[str, ...], records: Records, *, units: str
) -> ECGPreprocess:
    """The recipe's preprocessing for these leads.

    Constants of the dataset, if the recipe needs them, are the published ones of a public
    database (see `biojepa.ecg.mixture`), else measured.
    """
    if recipe.preprocess is not None:
        cap = None if units == "arbitrary" else recipe.preprocess.cap_mv
        return replace(recipe.preprocess, leads=leads, cap_mv=cap)
    rate_hz = recipe.model.rate_hz
    published = published_road(records, leads=leads, rate_hz=rate_hz)
    if published is not None:
        return published
    return ECGPreprocess.paper(lead_stats(records, leads), leads=leads, rate_hz=rate_hz)


def make_inputs(
    records: Records,
    preprocess: ECGPreprocess,
    on_missing: OnMissing,
    channels: Sequence[str],
    roads: Sequence[ECGPreprocess] | None,
) -> ECGInputs:
    """The records as the model sees them; with `roads`, each part of a mixture on its own."""
    if roads is None:
        return ECGInputs(records, preprocess, on_missing, channels)
    return MixedInputs(records, preprocess, on_missing, channels, roads=roads)


def lead_stats(records: Records, leads: tuple[str, ...]) -> LeadStats:
    """Mean and standard deviation of each lead over (at most 2,000) records, NaN left out."""
    some = np.unique(np.linspace(0, len(records) - 1, min(len(records), N_STATS)).astype(int))
    count, total, square = (np.zeros(len(leads)) for _ in range(3))
    for index in some:
        record = records.read(int(index))
        have = record.channels or name_leads(None, record.values.shape[0])
        values = arrange_leads(record.values, have, leads, on_missing="drop")[0].astype(np.float64)
        there = np.isfinite(values) & (values != 0).any(axis=1, keepdims=True)
        values = np.where(there, values, 0.0)
        count += there.sum(1)
        total += values.sum(1)
        square += np.square(values).sum(1)
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    std = np.where(std > 1e-4, std, 1.0)
    return LeadStats(leads, tuple(mean.tolist()), tuple(std.tolist()))


def window_samples(config: ECGModelConfig, inputs: ECGInputs) -> int:
    """Pretraining window: the recipe's, or the longest record's if all are shorter."""
    longest = max(inputs.preprocess.n_times_out(*pair) for pair in inputs.records.lengths())
    patches = min(config.n_times, longest) // config.patch
    return max(MIN_PATCHES, patches) * config.patch


def pretrain(
    records: Records,
    recipe: Recipe,
    *,
    leads: Sequence[str] | None = None,
    on_missing: OnMissing = "error",
    units: str = "mV",
    model: dict[str, Any] | None = None,
    training: TrainConfig | None = None,
    init: Pretrained | None = None,
    weights: Sequence[float] | None = None,
    roads: Sequence[ECGPreprocess] | None = None,
    source: dict[str, Any] | None = None,
    out: Path | None = None,
    evaluate: Evaluate | None = None,
    every: int = 100,
    monitor: str | None = None,
    patience: int | None = None,
    resume: bool = False,
    override: bool = False,
    progress: bool | None = None,
) -> Pretrained:
    """Pretrain on records.

    Parameters
    ----------
    records : Records
    recipe : Recipe
    leads : sequence of str, optional
        Of the model; see `model_leads`.
    on_missing : {"error", "drop"}
    units : str
        Of the records; `"arbitrary"` switches the cap on voltages off.
    model : dict, optional
        Settings of `ECGModelConfig` in place of the recipe's.
    training : TrainConfig, optional
        In place of the recipe's.
    init : Pretrained, optional
        Go on from these weights, with their leads, preprocessing and window of features.
    weights : sequence of float, optional
        Of the parts of `MixedRecords`: each sample draws a part by these, then a record of it
        with replacement. By default all records are shuffled.
    roads : sequence of ECGPreprocess, optional
        Of the parts of `MixedRecords`; by default each part's own, as the recipe makes them.
    source : dict, optional
        Where the records came from; kept in `config.yaml`, so that the run can be resumed.
    out : Path, optional
        Run directory.
    evaluate, every, monitor, patience, resume, override, progress
        See `biojepa.engine.train`.

    Returns
    -------
    Pretrained

    Raises
    ------
    DataError, LeadError, ConfigError, RunError, TrainingError
    """
    check_weights(records, weights)
    n_channels = len(records.channels) if records.channels else records.read(0).values.shape[0]
    training = training or recipe.train
    if init is not None:
        config, preprocess = init.config, init.preprocess
        if isinstance(records, MixedRecords):
            roads = [preprocess] * len(records.parts)
        if model:
            raise ConfigError("expected no model settings with init=, which brings its own")
    else:
        own = model_leads(records.channels, n_channels, recipe, leads)
        if isinstance(records, MixedRecords):
            parts = records.parts
            roads = roads or [make_preprocess(recipe, own, part, units=units) for part in parts]
            preprocess = pooled_road(roads, weights or records.sizes)
        else:
            preprocess = make_preprocess(recipe, own, records, units=units)
        config = replace(recipe.model, leads=own, rate_hz=preprocess.rate_hz)
        config = ECGModelConfig.from_config(config.to_config() | (model or {}))
    channels = records.channels or name_leads(None, n_channels)
    inputs = make_inputs(records, preprocess, on_missing, channels, roads)
    config = config.for_window(window_samples(config, inputs))
    in_memory = isinstance(records, ArrayRecords)
    data = ECGWindows(inputs, config.n_times, in_memory=in_memory, stretch=config.time_stretch)
    if len(data) < 2:
        raise DataError(f"expected at least 2 records to pretrain on, got {len(data)} sample")
    jepa = build_jepa(config, seed=training.seed)
    if init is not None:
        jepa.load_export(init.jepa.export_state(), where="init")
    statement = training_statement(records)
    seen = statement if init is None else joined_statement(init.training, statement)
    settings: dict[str, Any] = {
        "modality": "ecg",
        "recipe": recipe.name,
        "model": config.to_config(),
        "preprocess": preprocess.to_config(),
        "data": records.fingerprint(),
    }
    plan = None
    if isinstance(records, MixedRecords):
        settings["databases"] = _databases(records, weights, roads or [])
        if weights is not None:
            plan = WeightedPlan(records.sizes, weights, training.batch_size, training.seed)
    if source is not None:
        settings["source"] = source
    result = train(
        jepa,
        data,
        training,
        out,
        plan=plan,
        evaluate=evaluate,
        every=every,
        monitor=monitor,
        patience=patience,
        settings=settings,
        resume=resume,
        override=override,
        progress=progress,
    )
    if init is not None and config != init.config:
        # shorter records were seen in shorter windows; features stay those of the model's own
        learned, config = jepa.export_state(), init.config
        jepa = build_jepa(config)
        jepa.load_export(learned, where="init")
    missing = tuple(sorted(inputs.missing))
    return Pretrained(jepa, config, preprocess, result, seen, missing)


def _databases(
    records: MixedRecords, weights: Sequence[float] | None, roads: Sequence[ECGPreprocess]
) -> list[dict[str, Any]]:
    """What a run notes of each part of a mixture."""
    shares = [None] * len(records.parts) if weights is None else [float(w) for w in weights]
    return [
        {"name": name, "n_records": n, "weight": share, "preprocess": road.to_config()}
        for name, n, share, road in zip(records.names, records.sizes, shares, roads, strict=True)
    ]
