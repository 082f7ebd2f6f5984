"""The weights of a published file against the model that its config describes.

Sizes are compared before anything of that size is allocated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from biojepa.ecg.config import ECGModelConfig
from biojepa.errors import CheckpointError

State = dict[str, Tensor]

MAX_FRESH_DEPTH = 64  # ours: predictor blocks that a file without predictor may ask for


def fit_config(config: ECGModelConfig, state: State, path: Path) -> ECGModelConfig:
    """Compare a config with an encoder's weights before anything of that size is allocated.

    Biases of LayerNorm, LayerScale and registers follow the weights: early files have the first
    against their config, fine-tuning may add the others.

    Raises
    ------
    CheckpointError
        If they do not belong together.
    """
    hidden = int(config.dim * config.mlp_ratio)
    wanted = {
        "norm.weight": (config.dim,),
        "patch_embed.proj.weight": (config.dim, len(config.leads), config.patch),
        "blocks.0.mlp.fc1.weight": (hidden, config.dim),
    }
    registers = config.registers
    if "registers" in state:
        there = state["registers"].shape
        registers = registers or (there[1] if len(there) == 3 else 0)
    if registers:
        wanted["registers"] = (1, registers, config.dim)
    for name, shape in wanted.items():
        have = tuple(state[name].shape) if name in state else None
        if have != shape:
            raise CheckpointError(
                f"{path}: its config asks for {name} of shape {shape}, the weights have {have}"
            )
    if _n_blocks(state) != config.depth:
        raise CheckpointError(
            f"{path}: its config says {config.depth} blocks, the weights have {_n_blocks(state)}"
        )
    has_scale = "blocks.0.attn_ls.weight" in state
    scale = (config.layer_scale or 1.0) if has_scale else 0.0
    bias = "norm.bias" in state
    norm_bias = config.norm_bias if bias == config.has_norm_bias else bias
    return replace(config, layer_scale=scale, norm_bias=norm_bias, registers=registers)


def check_predictor(config: ECGModelConfig, state: State | None, path: Path) -> None:
    """Compare a config with a predictor's weights, or bound a fresh one's size (state None).

    Raises
    ------
    CheckpointError
        If they do not belong together, or the size is out of bounds.
    """
    if state is None:
        if config.pred_depth > MAX_FRESH_DEPTH or config.pred_dim > 2 * config.dim:
            raise CheckpointError(
                f"{path}: expected a predictor of at most {MAX_FRESH_DEPTH} blocks and width "
                f"{2 * config.dim}, its config asks for {config.pred_depth} and {config.pred_dim}"
            )
        return
    norm = state.get("norm.weight")
    width = None if norm is None else tuple(norm.shape)
    if width != (config.pred_dim,) or _n_blocks(state) != config.pred_depth:
        raise CheckpointError(
            f"{path}: its config asks for a predictor of width {config.pred_dim} and "
            f"{config.pred_depth} blocks, the weights have {width} and {_n_blocks(state)}"
        )


def fill(module: nn.Module, state: State, prefix: str, path: Path) -> None:
    """Load all weights of a module: nothing missing, nothing left over, shapes equal.

    Raises
    ------
    CheckpointError
        Otherwise; `prefix` is what the file calls the module.
    """
    own = module.state_dict()
    dot = f"{prefix}." if prefix else ""
    missing = [dot + k for k in own if k not in state]
    extra = [dot + k for k in state if k not in own]
    if missing or extra:
        raise CheckpointError(
            f"{path}: the weights are not those that its config describes: missing "
            f"{missing[:4]}, unexpected {extra[:4]}"
        )
    check_shapes(own, state, path)
    module.load_state_dict(state)


def check_shapes(own: State, state: State, path: Path) -> None:
    """Raise CheckpointError if a weight of `state` has another shape than in `own`."""
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise CheckpointError(
                f"{path}: expected {name} of shape {tuple(own[name].shape)}, got "
                f"{tuple(value.shape)}"
            )


def split_parts(state: State, parts: tuple[str, ...]) -> dict[str, State]:
    """The weights of each part, without its prefix."""
    return {
        part: {k[len(part) + 1 :]: v for k, v in state.items() if k.startswith(f"{part}.")}
        for part in parts
    }


def other_keys(state: State, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Keys that belong to none of the parts."""
    return tuple(k for k in state if k.split(".", 1)[0] not in parts)


def some_keys(state: Mapping[str, Any]) -> str:
    """A few names for an error message."""
    return f"{len(state)} weights such as {list(state)[:3]}"


def _n_blocks(state: State) -> int:
    found = (re.match(r"blocks\.(\d+)\.", name) for name in state)
    return len({match.group(1) for match in found if match})
