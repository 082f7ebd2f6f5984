"""Names and shapes of published Brain-JEPA weights, to and from our modules.

Published encoders keep a fixed table of time codes and a position module of another name;
everything else has our name. The gradients are in neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from biojepa.engine.checkpoint import load_weights
from biojepa.errors import CheckpointError
from biojepa.fmri.config import BrainModelConfig
from biojepa.layers.positions import sincos_1d

State = dict[str, Tensor]
Part = Literal["encoder", "predictor"]
TIME_TABLE: dict[Part, str] = {
    "encoder": "pos_embed_proj.emb_h",
    "predictor": "predictor_2dpe_proj.emb_h",
}
REGION_POSITIONS = "pos_embed_proj.predictor_pos_embed_proj."
# published prefix -> ours
_PREFIXES: dict[Part, dict[str, str]] = {
    "encoder": {REGION_POSITIONS: "positions.proj."},
    "predictor": {
        "predictor_2dpe_proj.predictor_pos_embed_proj.": "positions.proj.",
        "predictor_blocks.": "blocks.",
        "predictor_embed.": "embed.",
        "predictor_norm.": "norm.",
        "predictor_proj.": "proj.",
    },
}
_GRADIENTS = "positions.gradients"
_PATCHES = "patch_embed.proj.weight"


def fill(
    module: nn.Module,
    state: State,
    part: Part,
    config: BrainModelConfig,
    table: NDArray[np.float32],
    where: str,
) -> None:
    """Copy published weights, without prefixes, into a module of ours: all, or none.

    Raises
    ------
    CheckpointError
        If weights are missing, unexpected, of another shape or kind; in their published names.
    """
    wanted = {published_name(name, part) for name in module.state_dict() if name != _GRADIENTS}
    check_keys(state, wanted | {TIME_TABLE[part]}, where)
    own: State = {_GRADIENTS: torch.from_numpy(table)}
    for name, value in state.items():
        if name == TIME_TABLE[part]:
            _check_time_table(value, config, where)
        else:  # patches are a 2-D convolution of one row, (D, 1, 1, patch)
            is_patches = name == _PATCHES and value.ndim == 4
            own[our_name(name, part)] = value.flatten(1, 2) if is_patches else value
    load_weights(module, own, where=where)


def published(module: nn.Module, part: Part, config: BrainModelConfig) -> State:
    """The weights of a module under their published names, without prefixes."""
    dim = config.pred_dim if part == "predictor" else config.dim
    time = sincos_1d(config.n_patches, dim // 2, order="concatenated")
    state = {TIME_TABLE[part]: time.repeat(config.n_regions, 1)}
    for name, value in module.state_dict().items():
        if name == _GRADIENTS:
            continue
        value = value.detach().cpu().clone()
        state[published_name(name, part)] = value[:, None] if name == _PATCHES else value
    return state


def our_name(name: str, part: Part) -> str:
    """Our name of a published weight."""
    return _renamed(name, _PREFIXES[part])


def published_name(name: str, part: Part) -> str:
    """The published name of one of our weights."""
    return _renamed(name, {ours: theirs for theirs, ours in _PREFIXES[part].items()})


def check_keys(state: Mapping[str, Tensor], wanted: set[str], where: str) -> None:
    """Refuse weights that lack some, or have others.

    Raises
    ------
    CheckpointError
    """
    missing, extra = sorted(wanted - state.keys()), sorted(state.keys() - wanted)
    if missing or extra:
        raise CheckpointError(
            f"{where}: expected the {len(wanted)} weights of a published Brain-JEPA of this depth, "
            f"missing {_some(missing)}, unexpected {_some(extra)}: is it of another model, or cut?"
        )


def shape_of(state: State, name: str, n_dims: int, where: Path | str) -> tuple[int, ...]:
    """Shape of a weight.

    Raises
    ------
    CheckpointError
        If there is none of so many axes.
    """
    value = state.get(name)
    if value is None or value.ndim != n_dims:
        have = None if value is None else tuple(value.shape)
        raise CheckpointError(
            f"{where}: expected {name} with {n_dims} axes among {len(state)} weights, got {have}: "
            "is it a published Brain-JEPA checkpoint?"
        )
    return tuple(value.shape)


def n_blocks(state: State, prefix: str) -> int:
    """How many blocks of this prefix there are."""
    found = (re.match(rf"{prefix}\.(\d+)\.", name) for name in state)
    return len({match.group(1) for match in found if match})


def _check_time_table(value: Tensor, config: BrainModelConfig, where: str) -> None:
    """Refuse a fixed table of another kind than ours, which would be lost."""
    time = sincos_1d(config.n_patches, value.shape[-1], order="concatenated")
    if value.shape[0] != config.n_tokens or not torch.allclose(
        value.float(), time.repeat(config.n_regions, 1), atol=1e-4
    ):
        raise CheckpointError(
            f"{where}: expected the fixed sine-cosine code of {config.n_patches} time patches for "
            f"{config.n_regions} regions, got another table: are the gradients of this model's "
            "atlas?"
        )


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def _some(names: list[str]) -> str:
    return (
        ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "none"
    )
