"""Pretraining of a Signal-JEPA on anyone's EEG: what estimator and command line share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biojepa.data.eeg_records import EEGRecords, MixedEEG
from biojepa.data.montage import OnUnknown, Position
from biojepa.data.records import training_statement
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.inputs import EEGInputs, MixedInputs, open_inputs
from biojepa.eeg.model import build_jepa
from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.eeg.recipes import Recipe
from biojepa.eeg.windows import pretraining_windows
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.train import Evaluate, TrainResult, train
from biojepa.errors import ConfigError, DataError


@dataclass
class Pretrained:
    """A model and everything needed to use it.

    Parameters
    ----------
    jepa : MaskedJEPA
    config : EEGModelConfig
    preprocess : EEGPreprocess
    result : TrainResult
    training : dict
        Statement of the data: number of records, ids or hashes, fingerprint.
    """

    jepa: MaskedJEPA
    config: EEGModelConfig
    preprocess: EEGPreprocess
    result: TrainResult
    training: dict[str, Any]


def channels_of(config: EEGModelConfig) -> dict[str, Position]:
    """Names and places of a model's channels."""
    return dict(zip(config.channels, config.positions, strict=True))


def shortest_of(config: EEGModelConfig) -> int:
    """Samples that a record is padded to: a token, or two of a single channel."""
    return config.samples_of(2 if len(config.channels) == 1 else 1)


def statement_of(source: EEGRecords | MixedEEG) -> dict[str, Any]:
    """What a model has seen of records of any montages; see `training_statement`."""
    statements = [training_statement(part.records) for part in source.parts]
    if len(statements) == 1:
        return statements[0]
    prints = "\n".join(s["fingerprint"] for s in statements)
    return {
        "n_records": len(source.part_of),
        "fingerprint": hashlib.sha256(prints.encode()).hexdigest(),
        "ids": [i for s in statements for i in s["ids"]],
    }


def prepare_inputs(
    source: EEGRecords | MixedEEG,
    recipe: Recipe,
    *,
    init: Pretrained | None = None,
    on_unknown: OnUnknown = "error",
    model: dict[str, Any] | None = None,
) -> tuple[EEGInputs | MixedInputs, EEGModelConfig]:
    """Inputs and model for these records; the window is at most that of the shortest one.

    Parameters
    ----------
    source : EEGRecords or MixedEEG
    recipe : Recipe
    init : Pretrained, optional
        Keep its channels, sizes and preprocessing.
    on_unknown : {"error", "drop"}
    model : dict, optional
        Settings of `EEGModelConfig` in place of the recipe's.

    Raises
    ------
    LeadError, ConfigError
    """
    if init is not None and model:
        raise ConfigError("expected no model settings with init=, which brings its own")
    preprocess = recipe.preprocess if init is None else init.preprocess
    known = {} if init is None else channels_of(init.config)
    inputs = open_inputs(source, preprocess, model=known, on_unknown=on_unknown, shortest=1)
    if init is None:
        found = dict(zip(inputs.placed.names, inputs.placed.positions, strict=True))
        config = EEGModelConfig.from_config(recipe.config(found).to_config() | (model or {}))
    else:
        config = init.config
    padded = shortest_of(config)
    lengths = set().union(*(part.records.lengths() for part in source.parts))
    shortest = min(preprocess.n_times_out(*pair) for pair in lengths)
    n_tokens = config.tokens_of(min(config.n_times, max(shortest, padded)))
    config = config.for_window(config.samples_of(n_tokens))
    for part in inputs.parts:
        part.shortest = padded
        part.window = config.n_times if part.source.continuous else None
    return inputs, config


def pretrain(
    source: EEGRecords | MixedEEG,
    recipe: Recipe,
    *,
    on_unknown: OnUnknown = "error",
    model: dict[str, Any] | None = None,
    training: TrainConfig | None = None,
    init: Pretrained | None = None,
    origin: dict[str, Any] | None = None,
    out: Path | None = None,
    evaluate: Evaluate | None = None,
    every: int = 100,
    monitor: str | None = None,
    patience: int | None = None,
    resume: bool = False,
    override: bool = False,
    progress: bool | None = None,
) -> tuple[Pretrained, EEGInputs | MixedInputs]:
    """Pretrain on records of one montage or several.

    Parameters
    ----------
    source : EEGRecords or MixedEEG
    recipe : Recipe
    on_unknown : {"error", "drop"}
        What to do with channels that have no place.
    model : dict, optional
        Settings of `EEGModelConfig` in place of the recipe's.
    training : TrainConfig, optional
        In place of the recipe's.
    init : Pretrained, optional
        Go on from these weights, with their table of channels and preprocessing.
    origin : dict, optional
        Where the records came from; kept in `config.yaml`, so that the run can be resumed.
    out : Path, optional
        Run directory.
    evaluate, every, monitor, patience, resume, override, progress
        See `biojepa.engine.train`.

    Returns
    -------
    Pretrained, EEGInputs
        The inputs hold the report of channels.

    Raises
    ------
    DataError, LeadError, ConfigError, RunError, TrainingError
    """
    training = training or recipe.train
    inputs, config = prepare_inputs(source, recipe, init=init, on_unknown=on_unknown, model=model)
    data = pretraining_windows(inputs, config.n_times)
    if len(data) < 2:
        raise DataError(f"expected at least 2 records to pretrain on, got {len(data)} sample")
    jepa = build_jepa(config, seed=training.seed)
    if init is not None:
        jepa.load_export(init.jepa.export_state(), where="init")
    statement = statement_of(source)
    preprocess = inputs.parts[0].preprocess
    settings = {
        "modality": "eeg",
        "recipe": recipe.name,
        "model": config.to_config(),
        "preprocess": preprocess.to_config(),
        "data": statement["fingerprint"],
    }
    if origin is not None:
        settings["source"] = origin
    result = train(
        jepa,
        data,
        training,
        out,
        plan=data.plan(training.batch_size, training.seed),
        evaluate=evaluate,
        every=every,
        monitor=monitor,
        patience=patience,
        settings=settings,
        resume=resume,
        override=override,
        progress=progress,
    )
    return Pretrained(jepa, config, preprocess, result, statement), inputs


def fresh_model(
    source: EEGRecords, recipe: Recipe, *, on_unknown: OnUnknown = "error", seed: int
) -> Pretrained:
    """A model of the recipe for these records with random weights; nothing is trained."""
    inputs, config = prepare_inputs(source, recipe, on_unknown=on_unknown)
    nothing: dict[str, Any] = {"n_records": 0, "fingerprint": "", "ids": []}
    jepa = build_jepa(config, seed=seed)
    return Pretrained(jepa, config, inputs.parts[0].preprocess, TrainResult(), nothing)
