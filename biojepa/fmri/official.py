"""Published Brain-JEPA checkpoints, to and from our modules.

A published file is a `torch.save` of a dict with `encoder`, `predictor` and `target_encoder`, whose
keys begin with `module.`; a conversion of it is one `.safetensors` file with the prefixes
`encoder.`, `predictor.` and `target_encoder.`. Both are read. Neither holds the gradients of the
atlas nor the number of heads: the gradients are a table beside the file (`<file>.gradients.csv`,
regions x gradients, no header) or an argument; the heads follow from the published sizes.

References
----------
The code of Dong et al. 2024 (arXiv:2409.19407). It has no licence: nothing of it is used here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from biojepa.engine.checkpoint import load_weights
from biojepa.engine.files import read_tensors
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.torch_file import check_weights, read_torch_file, write_torch_file
from biojepa.errors import CheckpointError, ConfigError, DataError
from biojepa.fmri.config import SIZES, BrainModelConfig
from biojepa.fmri.gradient_file import read_gradients, write_gradients
from biojepa.fmri.model import BrainEncoder, build_jepa, model_gradients
from biojepa.layers.positions import sincos_1d

__all__ = ["gradients_path", "load", "save"]

State = dict[str, Tensor]
PARTS = ("encoder", "predictor", "target_encoder")
_EXTRA = "biojepa"  # our settings, which the published files cannot say
# published prefix -> ours
_ENCODER = {"pos_embed_proj.predictor_pos_embed_proj.": "positions.proj."}
_PREDICTOR = {
    "predictor_2dpe_proj.predictor_pos_embed_proj.": "positions.proj.",
    "predictor_blocks.": "blocks.",
    "predictor_embed.": "embed.",
    "predictor_norm.": "norm.",
    "predictor_proj.": "proj.",
}
_TIME_TABLE = {"encoder": "pos_embed_proj.emb_h", "predictor": "predictor_2dpe_proj.emb_h"}


def gradients_path(path: Path | str) -> Path:
    """Where the gradients of a published file are kept beside it."""
    path = Path(path)
    return path.with_name(f"{path.name}.gradients.csv")


def load(
    path: Path | str,
    *,
    gradients: ArrayLike | str | PathLike | None = None,
    heads: int | None = None,
    seed: int = 0,
) -> MaskedJEPA:
    """Load a published file.

    Parameters
    ----------
    path : path
        `.pth.tar`, `.pt`, or `.safetensors`.
    gradients : array, shape (n_regions, n_gradients), or path of such a table, optional
        By default the table beside the file. Rows in the order of the regions.
    heads : int, optional
        Attention heads; needed for a width that is not one of the published sizes.
    seed : int
        For a file without a predictor.

    Returns
    -------
    MaskedJEPA
        In eval mode, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is absent, damaged, hostile or of another kind.
    ConfigError
        If the gradients or the heads are needed and not given.
    DataError
        If the gradients do not fit the weights.
    """
    path = Path(path)
    parts, extra = _read(path)
    encoder = parts["target_encoder"]
    if not encoder:
        raise CheckpointError(
            f"{path}: expected the weights of target_encoder, got none: is it a published "
            "Brain-JEPA pretraining checkpoint?"
        )
    table = _gradients(path, gradients)
    config = _config(encoder, parts["predictor"], table, heads, extra, path)
    jepa = build_jepa(config, gradients=table, seed=seed)
    for name in PARTS:
        state = parts[name]
        if not state and name == "encoder":
            state = encoder
        if not state:  # no predictor: it stays fresh
            continue
        kind = "predictor" if name == "predictor" else "encoder"
        own = _to_ours(state, kind, config, table, path)
        load_weights(getattr(jepa, name), own, where=f"{path} ({name})")
    return jepa.eval()


def save(model: MaskedJEPA, path: Path | str, *, epoch: int = 0) -> None:
    """Write a model in the published layout, and its gradients beside it.

    Parameters
    ----------
    model : MaskedJEPA
        With a `BrainEncoder` and gradient positions.
    path : path
        Written at once or not at all; the gradients go to `gradients_path(path)`.
    epoch : int
        Epochs of pretraining. The optimiser is not in the file: the published code can use and
        fine-tune it, but not resume.

    Raises
    ------
    ConfigError
        If the model has another encoder or other positions.
    RunError
        If the files cannot be written.
    """
    encoder = model.encoder
    if not isinstance(encoder, BrainEncoder) or encoder.config.region_positions != "gradients":
        raise ConfigError(
            "expected a Brain-JEPA with gradient positions, which the published layout has, got "
            f"{type(encoder).__name__}"
        )
    config = encoder.config
    content: dict[str, Any] = {
        name: _to_published(getattr(model, name).state_dict(), name.removeprefix("target_"), config)
        for name in PARTS
    }
    content |= {"opt": {}, "scaler": None, "epoch": epoch, "loss": None}
    content |= {"batch_size": None, "world_size": None, "lr": None, _EXTRA: config.to_config()}
    write_gradients(model_gradients(model).numpy(), gradients_path(path))
    write_torch_file(content, Path(path))


def _read(path: Path) -> tuple[dict[str, State], Mapping[str, Any] | None]:
    """The weights of each part, without prefixes, and our settings if they are there."""
    if path.suffix == ".safetensors":
        flat, extra = read_tensors(path), None
        parts = {
            part: {k[len(part) + 1 :]: v for k, v in flat.items() if k.startswith(f"{part}.")}
            for part in PARTS
        }
    else:
        content = read_torch_file(path, of="Brain-JEPA")
        parts, extra = {}, content.get(_EXTRA)
        if not isinstance(extra, dict | None):
            raise CheckpointError(f"{path}: expected a dict of settings in {_EXTRA}")
        for part in PARTS:
            state = content.get(part, {})
            if not isinstance(state, dict):
                raise CheckpointError(f"{path}: expected a dict {part}, got {type(state).__name__}")
            parts[part] = state
    for state in parts.values():
        check_weights(state, path)
    return {
        part: {k.removeprefix("module."): v for k, v in state.items()}
        for part, state in parts.items()
    }, extra


def _gradients(path: Path, given: ArrayLike | str | PathLike | None) -> NDArray[np.float32]:
    if given is None:
        given = gradients_path(path)
        if not given.is_file():
            raise ConfigError(
                f"expected the gradients of the atlas, which {path.name} does not hold, got none: "
                "pass gradients= (an array of regions x gradients, or the path of such a table; "
                f"BrainGradients makes it for any atlas), or put it beside the file as {given.name}"
            )
    if isinstance(given, str | PathLike):
        return read_gradients(given)
    table = np.asarray(given, dtype=np.float32)
    if table.ndim == 3 and len(table) == 1:  # as the published code holds it
        table = table[0]
    if table.ndim != 2 or not np.isfinite(table).all():
        raise DataError(
            f"expected finite gradients of shape (regions, gradients), got shape {table.shape}"
        )
    return table


def _config(
    encoder: State,
    predictor: State,
    table: NDArray[np.float32],
    heads: int | None,
    extra: Mapping[str, Any] | None,
    path: Path,
) -> BrainModelConfig:
    """The model that the weights are of."""
    patches, positions = _shape(encoder, "patch_embed.proj.weight", 4, path), "pos_embed_proj."
    n_tokens, half = _shape(encoder, _TIME_TABLE["encoder"], 2, path)
    if f"{positions}predictor_pos_embed_proj.weight" not in encoder:
        raise CheckpointError(
            f"{path}: expected gradient positions ({positions}...), got none: this is a model "
            "with plain positions (add_w='origin'), which are not read"
        )
    dim, patch = patches[0], patches[3]
    n_gradients = _shape(encoder, f"{positions}predictor_pos_embed_proj.weight", 2, path)[1]
    if table.shape[1] != n_gradients or n_tokens % len(table) or 2 * half != dim:
        raise DataError(
            f"expected gradients of {n_gradients} columns whose rows (regions) divide {n_tokens} "
            f"tokens, got shape {table.shape}: give the table that the model was trained with"
        )
    sizes = next((size for size in SIZES.values() if size["dim"] == dim), {})
    settings: dict[str, Any] = {**sizes, **(extra or {}), "dim": dim}
    if heads is not None:
        settings |= {"heads": heads, "pred_heads": heads}
    if "heads" not in settings:
        raise ConfigError(
            f"expected heads=, the number of attention heads, for width {dim}, which is none of "
            f"the published sizes ({', '.join(str(s['dim']) for s in SIZES.values())})"
        )
    settings["depth"] = _n_blocks(encoder, "blocks")
    settings["mlp_ratio"] = _shape(encoder, "blocks.0.mlp.fc1.weight", 2, path)[0] / dim
    if predictor:
        settings["pred_dim"] = _shape(predictor, "predictor_embed.weight", 2, path)[0]
        settings["pred_depth"] = _n_blocks(predictor, "predictor_blocks")
    settings |= {"n_regions": len(table), "n_gradients": n_gradients, "patch": patch}
    settings["n_times"] = n_tokens // len(table) * patch
    try:
        return BrainModelConfig.from_config(settings)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its sizes cannot be used: {error}") from error


def _to_ours(
    state: State, part: str, config: BrainModelConfig, table: NDArray[np.float32], path: Path
) -> State:
    own: State = {"positions.gradients": torch.from_numpy(table)}
    for name, value in state.items():
        if name == _TIME_TABLE[part]:
            _check_time_table(value, config, path)
        elif name == "patch_embed.proj.weight":
            own[name] = value.flatten(1, 2)  # (D, 1, 1, patch): a 2-D convolution of one row
        else:
            own[_renamed(name, _ENCODER if part == "encoder" else _PREDICTOR)] = value
    return own


def _to_published(state: State, part: str, config: BrainModelConfig) -> State:
    names = {ours: theirs for theirs, ours in (_ENCODER, _PREDICTOR)[part == "predictor"].items()}
    dim = config.pred_dim if part == "predictor" else config.dim
    time = sincos_1d(config.n_patches, dim // 2, order="concatenated")
    published = {f"module.{_TIME_TABLE[part]}": time.repeat(config.n_regions, 1)}
    for name, value in state.items():
        if name == "positions.gradients":
            continue
        value = value.detach().cpu().clone()
        if name == "patch_embed.proj.weight":
            value = value[:, None]
        published[f"module.{_renamed(name, names)}"] = value
    return published


def _check_time_table(value: Tensor, config: BrainModelConfig, path: Path) -> None:
    """Refuse a fixed table of another kind than ours, which would be lost."""
    time = sincos_1d(config.n_patches, value.shape[-1], order="concatenated")
    if value.shape[0] != config.n_tokens or not torch.allclose(
        value.float(), time.repeat(config.n_regions, 1), atol=1e-4
    ):
        raise CheckpointError(
            f"{path}: expected the fixed sine-cosine code of {config.n_patches} time patches for "
            f"{config.n_regions} regions, got another table: are the gradients of this model's "
            "atlas?"
        )


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def _shape(state: State, name: str, n_dims: int, path: Path) -> tuple[int, ...]:
    value = state.get(name)
    if value is None or value.ndim != n_dims:
        have = None if value is None else tuple(value.shape)
        raise CheckpointError(
            f"{path}: expected {name} with {n_dims} axes among {len(state)} weights, got {have}: "
            "is it a published Brain-JEPA checkpoint?"
        )
    return tuple(value.shape)


def _n_blocks(state: State, prefix: str) -> int:
    found = (re.match(rf"{prefix}\.(\d+)\.", name) for name in state)
    return len({match.group(1) for match in found if match})
