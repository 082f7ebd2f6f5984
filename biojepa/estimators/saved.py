"""A model as users keep it: a folder of config.json, model.safetensors and their hashes.

No pickle. The folder holds architecture, weights, preprocessing, leads, units and what the model
has seen; `from_pretrained` takes a folder, the name of a shipped model, or a Hub id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from biojepa import __version__
from biojepa.engine.files import check_folder, read_json, read_tensors, write_folder
from biojepa.errors import CheckpointError
from biojepa.extras import require

FORMAT, FORMAT_VERSION = "biojepa-model", 1
SHIPPED = Path(__file__).resolve().parents[1] / "models"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def save_model(
    folder: str | PathLike,
    *,
    modality: str,
    kind: str,
    config: dict[str, Any],
    weights: dict[str, Tensor],
    training: dict[str, Any],
    card: dict[str, Any] | None = None,
) -> Path:
    """Write a model folder; it appears at once or not at all.

    Parameters
    ----------
    folder : path
        Replaced if it holds a model; another folder with files in it is refused.
    modality : {"ecg", "eeg", "fmri"}
    kind : str
        `"encoder"` or `"classifier"`.
    config : dict
        JSON-able: architecture, preprocessing, options.
    weights : dict of Tensor
    training : dict
        What the model has seen, as `training_statement` gives it; stored in `training.json`.
    card : dict, optional
        What people should know before they use it; stored in `model_card.json`.

    Raises
    ------
    CheckpointError
        If the folder holds something else.
    RunError
        If it cannot be written.
    """
    path = Path(folder)
    if path.is_dir() and any(path.iterdir()) and not (path / "config.json").is_file():
        raise CheckpointError(f"{path} holds other files: give a new folder for the model")
    head = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "biojepa_version": __version__,
        "modality": modality,
        "kind": kind,
    }
    texts = {"config.json": head | config, "training.json": training}
    if card is not None:
        texts["model_card.json"] = card
    write_folder(path, {"model": weights}, texts)
    return path


def load_model(
    folder: str | PathLike, *, modality: str, kind: str, verify: bool = True
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read a model folder.

    Parameters
    ----------
    folder : path or str
        A folder, the name of a shipped model, or a Hub id (`owner/name`).
    modality, kind : str
        What is expected.
    verify : bool
        Compare the hashes.

    Returns
    -------
    config, weights, training : dict

    Raises
    ------
    CheckpointError
        If it is absent, damaged, of a newer format, or of another modality or kind.
    """
    path = locate_model(folder)
    if verify:
        check_folder(path)
    config = read_json(path / "config.json")
    if config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a biojepa model: its config.json says no format")
    if (
        not isinstance(config.get("format_version"), int)
        or config["format_version"] > FORMAT_VERSION
    ):
        raise CheckpointError(
            f"{path} has format version {config.get('format_version')!r}, this biojepa reads up "
            f"to {FORMAT_VERSION}: upgrade biojepa"
        )
    for name, wanted in (("modality", modality), ("kind", kind)):
        if config.get(name) != wanted:
            raise CheckpointError(
                f"expected a model with {name} {wanted!r}, got {config.get(name)!r} in {path}"
            )
    return config, read_tensors(path / "model.safetensors"), read_json(path / "training.json")


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob("*/config.json"))


def locate_model(name: str | PathLike) -> Path:
    """Folder of a model: a path, a shipped name, or a download from the Hub.

    Raises
    ------
    CheckpointError
        If there is none; shipped names are listed.
    MissingDependencyError
        If a Hub id is given and huggingface_hub is not installed.
    """
    path = Path(name)
    if (path / "config.json").is_file():
        return path
    if path.is_dir() and (path / "model" / "config.json").is_file():
        return path / "model"  # a run directory
    if (SHIPPED / str(name) / "config.json").is_file():
        return SHIPPED / str(name)
    if not path.exists() and HUB_ID.fullmatch(str(name)) and not str(name).startswith("."):
        hub = require("huggingface_hub", "hub", why=f"to fetch {name!r} from the Hub")
        try:
            return Path(hub.snapshot_download(str(name)))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot fetch {str(name)!r} from the Hub: {error}") from error
    shipped = shipped_models()
    raise CheckpointError(
        f"no model at {str(name)!r}: expected a folder with config.json and model.safetensors"
        + (f", or one of the shipped names {', '.join(shipped)}" if shipped else "")
    )


def check_options(options: Any, kinds: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The estimator's options as a model folder holds them, if they are what they should be.

    Parameters
    ----------
    options : object
    kinds : mapping of name to type, union of types, or tuple of allowed values
        `list` stands for one or more whole numbers. A bool is no number.
    where : str
        The folder, for messages.

    Raises
    ------
    CheckpointError
        If a name is missing, unknown, or its value of another kind.
    """
    if not isinstance(options, dict) or options.keys() != kinds.keys():
        found = sorted(options) if isinstance(options, dict) else options
        raise CheckpointError(f"{where}: expected the options {sorted(kinds)}, got {found!r}")
    for name, kind in kinds.items():
        value = options[name]
        if isinstance(kind, tuple):
            good = value in kind
        elif kind is list:
            good = isinstance(value, list) and value != [] and all(type(v) is int for v in value)
        else:
            good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not good:
            raise CheckpointError(f"{where}: the option {name} cannot be {value!r}")
    return dict(options)
