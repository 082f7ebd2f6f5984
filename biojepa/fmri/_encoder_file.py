"""The model folder of a pretrained fMRI encoder: weights, preprocessing, atlases, what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from biojepa.errors import CheckpointError, ConfigError
from biojepa.estimators.encoder_file import check_depth, check_entries, save_encoder, stored_result
from biojepa.estimators.encoder_file import check_sizes as compare_sizes
from biojepa.estimators.saved import check_options, load_model
from biojepa.fmri.atlas import Atlas
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.model import build_jepa
from biojepa.fmri.preprocess import BrainPreprocess
from biojepa.fmri.pretrain import Pretrained

State = dict[str, Tensor]
_OPTIONS = {"preset": str, "pool": ("mean_std", "mean"), "layer": list}
_SIZES = (  # setting, part, weight, axis
    ("dim", "encoder", "norm.weight", 0),
    ("patch", "encoder", "patch_embed.proj.weight", 2),
    ("n_regions", "encoder", "positions.gradients", 0),
    ("n_gradients", "encoder", "positions.gradients", 1),
    ("dim * mlp_ratio", "encoder", "blocks.0.mlp.fc1.weight", 0),
    ("pred_dim", "predictor", "norm.weight", 0),
)


def write_encoder(folder: str | PathLike, fitted: Pretrained, options: dict[str, Any]) -> None:
    """Write a model folder; no pickle."""
    save_encoder(
        folder,
        fitted,
        options,
        modality="fmri",
        about={"regions": region_names(fitted.atlases)},
        tensors=gradient_tensors(fitted.atlases),
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
    where = str(folder)
    model, preprocess, atlases = read_settings(config, weights, "metrics", where=where)
    options = check_options(config["estimator"], _OPTIONS, where=where)
    check_sizes(model, part(weights, "encoder"), part(weights, "predictor"), where=where)
    jepa = build_jepa(model)
    own = {k: v for k, v in weights.items() if not k.startswith("atlas.")}
    jepa.load_export(own, where=where)
    result = stored_result(config, where=where)
    return Pretrained(jepa, model, preprocess, atlases, result, training), options


def read_settings(
    config: dict[str, Any], weights: State, *others: str, where: str
) -> tuple[BrainModelConfig, BrainPreprocess, tuple[Atlas, ...]]:
    """Architecture, preprocessing and atlases of a model folder.

    Parameters
    ----------
    config : dict
    weights : dict of Tensor
    *others : str
        Further keys that `config` must have.
    where : str
        The folder, for messages.

    Raises
    ------
    CheckpointError
        If a key is missing, or what it says cannot be used.
    """
    check_entries(config, "model", "preprocess", "regions", "estimator", *others, where=where)
    try:
        model = BrainModelConfig.from_config(config["model"])
        preprocess = BrainPreprocess.from_config(config["preprocess"])
    except ConfigError as error:
        raise CheckpointError(f"{where}: its config.json cannot be used: {error}") from error
    return model, preprocess, read_atlases(config["regions"], weights, where=where)


def check_sizes(
    model: BrainModelConfig, encoder: State, predictor: State | None, *, where: str
) -> None:
    """Compare the sizes that settings declare with the weights, before a network is built.

    Parameters
    ----------
    model : BrainModelConfig
    encoder, predictor : dict of Tensor
        Without prefixes; None for a folder that has no predictor.
    where : str

    Raises
    ------
    CheckpointError
        If they are of another model; the message names the setting.
    """
    parts = {"encoder": encoder} | ({} if predictor is None else {"predictor": predictor})
    said = {"dim * mlp_ratio": int(model.dim * model.mlp_ratio)}
    said |= {name: getattr(model, name) for name, *_ in _SIZES if name not in said}
    for whose, state in parts.items():
        places = [(name, key, axis) for name, own, key, axis in _SIZES if own == whose]
        compare_sizes(said, state, places, where=f"{where} ({whose})")
        depth = "depth" if whose == "encoder" else "pred_depth"
        check_depth(depth, getattr(model, depth), state, "blocks.", where=f"{where} ({whose})")


def part(weights: State, name: str) -> State:
    """The weights under a prefix, without it."""
    return {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}


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
