"""What the config.json of a model folder says of an ECG model, compared with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from biojepa.ecg._official_weights import (
    check_predictor,
    fit_config,
    other_keys,
    split_parts,
)
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.errors import CheckpointError, ConfigError, LeadError

PARTS = ("encoder", "predictor")


def read_model_settings(
    config: dict[str, Any], weights: dict[str, Tensor], *, where: str
) -> tuple[ECGModelConfig, ECGPreprocess]:
    """Architecture and preprocessing of a folder; sizes are compared before anything is built.

    Parameters
    ----------
    config : dict
        With `model` and `preprocess`.
    weights : dict of Tensor
        `encoder.*`, and `predictor.*` if the folder has one.
    where : str
        The folder, for messages.

    Raises
    ------
    CheckpointError
        If they cannot be used, or are not those of the weights.
    """
    missing = {"model", "preprocess"} - config.keys()
    if missing:
        raise CheckpointError(f"{where} is damaged: config.json lacks {sorted(missing)}")
    try:
        model = ECGModelConfig.from_config(config["model"])
        preprocess = ECGPreprocess.from_config(config["preprocess"])
    except (ConfigError, LeadError) as error:
        raise CheckpointError(f"{where}: its config.json cannot be used: {error}") from error
    if preprocess.leads != model.leads:
        raise CheckpointError(
            f"{where}: its model has the leads {model.leads}, its preprocessing {preprocess.leads}"
        )
    parts = split_parts(weights, PARTS)
    if others := other_keys(weights, PARTS):
        raise CheckpointError(
            f"{where} is of another model: it has the unexpected key {min(others)!r} "
            f"({len(others)} such keys)"
        )
    fit_config(model, parts["encoder"], Path(where))
    check_predictor(model, parts["predictor"] or None, Path(where))
    return model, preprocess
