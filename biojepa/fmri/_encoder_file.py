"""The model folder of a pretrained fMRI encoder: weights, preprocessing, atlases, what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError, ConfigError
from biojepa.estimators.saved import load_model, save_model
from biojepa.fmri.atlas import Atlas
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.model import build_jepa
from biojepa.fmri.preprocess import BrainPreprocess
from biojepa.fmri.pretrain import Pretrained


def write_encoder(folder: str | PathLike, fitted: Pretrained, options: dict[str, Any]) -> None:
    """Write a model folder; no pickle."""
    rows = fitted.result.rows
    save_model(
        folder,
        modality="fmri",
        kind="encoder",
        config={
            "model": fitted.config.to_config(),
            "preprocess": fitted.preprocess.to_config(),
            "regions": region_names(fitted.atlases),
            "estimator": options,
            "metrics": rows[-1] if rows else {},
        },
        weights=fitted.jepa.export_state() | gradient_tensors(fitted.atlases),
        training=fitted.training,
    )


def read_encoder(
    folder: str | PathLike, *, verify: bool = True
) -> tuple[Pretrained, dict[str, Any]]:
    """Read what `write_encoder` wrote: the model and its options.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or not an fMRI encoder.
    """
    config, weights, training = load_model(folder, modality="fmri", kind="encoder", verify=verify)
    missing = {"model", "preprocess", "regions", "estimator", "metrics"} - config.keys()
    if missing:
        raise CheckpointError(f"{folder} is damaged: config.json lacks {sorted(missing)}")
    try:
        model = BrainModelConfig.from_config(config["model"])
        preprocess = BrainPreprocess.from_config(config["preprocess"])
    except ConfigError as error:
        raise CheckpointError(f"{folder}: its config.json cannot be used: {error}") from error
    atlases = read_atlases(config["regions"], weights, where=str(folder))
    check_sizes(model, weights, where=str(folder))
    jepa = build_jepa(model)
    own = {k: v for k, v in weights.items() if not k.startswith("atlas.")}
    jepa.load_export(own, where=str(folder))
    result = TrainResult(rows=[config["metrics"]] if config["metrics"] else [])
    return Pretrained(jepa, model, preprocess, atlases, result, training), config["estimator"]


def check_sizes(model: BrainModelConfig, weights: dict[str, Tensor], *, where: str) -> None:
    """Compare the sizes that settings declare with the weights, before a network is built.

    Raises
    ------
    CheckpointError
        If they are of another model; the message names the setting.
    """
    for name, key, axis in (
        ("dim", "encoder.norm.weight", 0),
        ("patch", "encoder.patch_embed.proj.weight", 2),
        ("n_regions", "encoder.positions.gradients", 0),
        ("n_gradients", "encoder.positions.gradients", 1),
        ("pred_dim", "predictor.norm.weight", 0),
    ):
        shape = tuple(weights[key].shape) if key in weights else ()
        if len(shape) <= axis or shape[axis] != getattr(model, name):
            raise CheckpointError(
                f"{where} is damaged: its settings say {name}={getattr(model, name)}, {key} has "
                f"shape {shape}"
            )
    for name, part in (("depth", "encoder"), ("pred_depth", "predictor")):
        found = {k.split(".")[2] for k in weights if k.startswith(f"{part}.blocks.")}
        if len(found) != getattr(model, name):
            raise CheckpointError(
                f"{where} is damaged: its settings say {name}={getattr(model, name)}, the weights "
                f"hold {len(found)} blocks"
            )


def region_names(atlases: Sequence[Atlas]) -> list[list[str]]:
    """Names of the regions of each atlas, for JSON."""
    return [list(atlas.regions) for atlas in atlases]


def gradient_tensors(atlases: Sequence[Atlas]) -> dict[str, Tensor]:
    """Gradients of each atlas, as `atlas.0`, `atlas.1`, ..."""
    return {f"atlas.{i}": torch.from_numpy(a.gradients.copy()) for i, a in enumerate(atlases)}


def read_atlases(names: Any, weights: dict[str, Tensor], *, where: str) -> tuple[Atlas, ...]:
    """The atlases of a model folder.

    Raises
    ------
    CheckpointError
        If names and gradients do not belong together.
    """
    atlases = []
    for i, regions in enumerate(names if isinstance(names, list) else ()):
        table = weights.get(f"atlas.{i}")
        if (
            table is None
            or table.ndim != 2
            or not isinstance(regions, list)
            or (regions and len(regions) != len(table))
        ):
            raise CheckpointError(
                f"{where} is damaged: the gradients and region names of atlas {i} do not fit"
            )
        atlases.append(Atlas(tuple(map(str, regions)), table.numpy()))
    if not atlases:
        raise CheckpointError(f"{where} is damaged: it names no atlas")
    return tuple(atlases)
