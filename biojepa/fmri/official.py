"""Published Brain-JEPA checkpoints, to and from our modules.

Three layouts, all `torch.save` files of a dict:
- pretraining: `encoder`, `predictor` and `target_encoder`, whose keys begin with `module.`;
- fine-tuned network and linear probe: `model` (`encoder.*`, `fc_norm.*`, `head.*`).
A conversion of the first is one `.safetensors` file with the prefixes `encoder.`, `predictor.` and
`target_encoder.`, which is read too. None holds the gradients of the atlas nor the number of heads:
the gradients are a table beside the file (`<file>.gradients.csv`, regions x gradients, no header)
or an argument; the heads follow from the published sizes.

References
----------
The code of Dong et al. 2024 (arXiv:2409.19407). It has no licence: nothing of it is used here.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.engine.files import read_tensors
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.torch_file import check_weights, read_torch_file, write_torch_file
from biojepa.errors import CheckpointError, ConfigError, DataError
from biojepa.fmri._official_heads import make_net, published_model, split_model
from biojepa.fmri._official_weights import (
    REGION_POSITIONS,
    TIME_TABLE,
    Part,
    State,
    fill,
    n_blocks,
    published,
    shape_of,
)
from biojepa.fmri.config import SIZES, BrainModelConfig
from biojepa.fmri.gradient_file import read_gradients, write_gradients
from biojepa.fmri.heads import BrainNet
from biojepa.fmri.model import BrainEncoder, build_jepa

__all__ = ["gradients_path", "load", "save"]

Layout = Literal["pretraining", "finetune", "probe"]
PARTS: dict[str, Part] = {
    "encoder": "encoder",
    "predictor": "predictor",
    "target_encoder": "encoder",
}
_EXTRA = "biojepa"  # our settings, which the published files cannot say


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
) -> MaskedJEPA | BrainNet:
    """Load a published file.

    Parameters
    ----------
    path : path
        `.pth.tar`, `.pt`, or `.safetensors`, of any of the layouts.
    gradients : array, shape (n_regions, n_gradients), or path of such a table, optional
        By default the table beside the file. Rows in the order of the regions.
    heads : int, optional
        Attention heads; needed for a width that is not one of the published sizes.
    seed : int
        For a file without a predictor.

    Returns
    -------
    MaskedJEPA or BrainNet
        In eval mode, on the CPU. Of a fine-tuned network or a probe a `BrainNet`, whose outputs
        are logits, or numbers as the targets were scaled; of a probe `frozen` is set.

    Raises
    ------
    CheckpointError
        If the file is absent, damaged, hostile or of another kind; missing and unexpected weights
        are named.
    ConfigError
        If the gradients or the heads are needed and not given.
    DataError
        If the gradients do not fit the weights.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _load_jepa(_flat_parts(path), None, path, gradients, heads, seed)
    content = read_torch_file(path, of="Brain-JEPA")
    extra = content.get(_EXTRA)
    if not isinstance(extra, dict | None):
        raise CheckpointError(f"{path}: expected a dict of settings in {_EXTRA}")
    if "model" in content:
        return _load_net(content, extra, path, gradients, heads, seed)
    return _load_jepa(_parts(content, path), extra, path, gradients, heads, seed)


def save(
    model: MaskedJEPA | BrainNet,
    path: Path | str,
    *,
    layout: Layout | None = None,
    epoch: int = 0,
) -> None:
    """Write a model in a published layout, and its gradients beside it.

    Parameters
    ----------
    model : MaskedJEPA or BrainNet
        With a `BrainEncoder` and gradient positions; a `BrainNet` (`network_` of the estimators)
        with the head "mean".
    path : path
        Written at once or not at all; the gradients go to `gradients_path(path)`.
    layout : {"pretraining", "finetune", "probe"}, optional
        By default "pretraining" of a MaskedJEPA; of a BrainNet "probe" if its encoder is frozen,
        else "finetune".
    epoch : int
        Epochs of training. The optimiser is not in the file: the published code can use and
        fine-tune it, but not resume.

    Raises
    ------
    ConfigError
        If the model has another encoder, head or other positions, or the layout is not its own.
    RunError
        If the files cannot be written.
    """
    if isinstance(model, BrainNet):
        own: tuple[Layout, ...] = ("probe", "finetune") if model.frozen else ("finetune", "probe")
    else:
        own = ("pretraining",)
    layout = layout or own[0]
    if layout not in own:
        raise ConfigError(
            f"expected layout {' or '.join(map(repr, own))} for a {type(model).__name__}, got "
            f"{layout!r}"
        )
    encoder = model.encoder
    if not isinstance(encoder, BrainEncoder) or encoder.config.region_positions != "gradients":
        raise ConfigError(
            "expected a Brain-JEPA with gradient positions, which the published layout has, got "
            f"{type(encoder).__name__}"
        )
    config = encoder.config
    content: dict[str, Any]
    if isinstance(model, BrainNet):
        state = published_model(model, config, probe=layout == "probe")
        content = {"model": state, "optimizer": {}, "epoch": epoch, "scaler": None, "args": {}}
    else:
        content = {
            name: {f"module.{key}": value for key, value in weights.items()}
            for name, weights in (
                (name, published(getattr(model, name), part, config))
                for name, part in PARTS.items()
            )
        }
        content |= {"opt": {}, "scaler": None, "epoch": epoch, "loss": None}
        content |= {"batch_size": None, "world_size": None, "lr": None}
    content[_EXTRA] = config.to_config()
    write_gradients(encoder.positions.gradients.cpu().numpy(), gradients_path(path))
    write_torch_file(content, Path(path))


def _load_jepa(
    parts: dict[str, State],
    extra: Mapping[str, Any] | None,
    path: Path,
    gradients: ArrayLike | str | PathLike | None,
    heads: int | None,
    seed: int,
) -> MaskedJEPA:
    encoder = parts["target_encoder"]
    if not encoder:
        raise CheckpointError(
            f"{path}: expected the weights of target_encoder, got none: is it a published "
            "Brain-JEPA pretraining checkpoint?"
        )
    table = _gradients(path, gradients)
    config = _config(encoder, parts["predictor"], table, heads, extra, path)
    jepa = build_jepa(config, gradients=table, seed=seed)
    if not parts["encoder"]:
        parts = parts | {"encoder": encoder}
    for name, part in PARTS.items():
        if parts[name]:  # without a predictor it stays fresh
            where = f"{path} ({name})"
            fill(getattr(jepa, name), parts[name], part, config, table, where)
    return jepa.eval()


def _load_net(
    content: dict[str, Any],
    extra: Mapping[str, Any] | None,
    path: Path,
    gradients: ArrayLike | str | PathLike | None,
    heads: int | None,
    seed: int,
) -> BrainNet:
    state, head, frozen = split_model(content, path)
    table = _gradients(path, gradients)
    config = _config(state, {}, table, heads, extra, path)
    with keyed_torch_rng(seed, "init"):
        encoder = BrainEncoder(config)
    fill(encoder, state, "encoder", config, table, f"{path} (encoder)")
    return make_net(encoder, head, path, frozen=frozen, seed=seed).eval()


def _flat_parts(path: Path) -> dict[str, State]:
    """The weights of each part of a conversion."""
    flat = read_tensors(path)
    check_weights(flat, path)
    others = sorted(key for key in flat if key.partition(".")[0] not in PARTS)
    if others:
        raise CheckpointError(
            f"{path}: expected weights of {', '.join(PARTS)}, got {', '.join(others[:4])}"
        )
    return {
        part: {k[len(part) + 1 :]: v for k, v in flat.items() if k.startswith(f"{part}.")}
        for part in PARTS
    }


def _parts(content: dict[str, Any], path: Path) -> dict[str, State]:
    """The weights of each part of a pretraining file, without prefixes."""
    parts = {}
    for part in PARTS:
        state = content.get(part, {})
        if not isinstance(state, dict):
            raise CheckpointError(f"{path}: expected a dict {part}, got {type(state).__name__}")
        check_weights(state, path)
        parts[part] = {k.removeprefix("module."): v for k, v in state.items()}
    return parts


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
    patches = shape_of(encoder, "patch_embed.proj.weight", 4, path)
    n_tokens, half = shape_of(encoder, TIME_TABLE["encoder"], 2, path)
    if f"{REGION_POSITIONS}weight" not in encoder:
        raise CheckpointError(
            f"{path}: expected gradient positions ({REGION_POSITIONS}*), got none: this is a model "
            "with plain positions (add_w='origin'), which are not read"
        )
    dim, patch = patches[0], patches[3]
    n_gradients = shape_of(encoder, f"{REGION_POSITIONS}weight", 2, path)[1]
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
    settings["depth"] = n_blocks(encoder, "blocks")
    settings["mlp_ratio"] = shape_of(encoder, "blocks.0.mlp.fc1.weight", 2, path)[0] / dim
    if predictor:
        settings["pred_dim"] = shape_of(predictor, "predictor_embed.weight", 2, path)[0]
        settings["pred_depth"] = n_blocks(predictor, "predictor_blocks")
    settings |= {"n_regions": len(table), "n_gradients": n_gradients, "patch": patch}
    settings["n_times"] = n_tokens // len(table) * patch
    try:
        return BrainModelConfig.from_config(settings)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its sizes cannot be used: {error}") from error
