"""What the folders of pretrained encoders have in common, whatever their modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from torch import Tensor

from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError
from biojepa.estimators.saved import save_model


def save_encoder(
    folder: str | PathLike,
    fitted: Any,
    options: dict[str, Any],
    *,
    modality: str,
    about: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
    half: bool = False,
    card: dict[str, Any] | None = None,
) -> None:
    """Write a model folder: weights, preprocessing, options, what the model has seen.

    Parameters
    ----------
    folder : path
    fitted : Pretrained
        Of the modality.
    options : dict
        How features are read.
    modality : {"ecg", "eeg", "fmri"}
    about : mapping, optional
        Further entries of `config.json`.
    tensors : mapping, optional
        Stored beside the weights.
    half : bool
        Round weights to float16, which halves the folder; they are read back as float32.
    card : dict, optional
        What people should know before they use it.

    Raises
    ------
    CheckpointError
        If the folder holds other files.
    RunError
        If it cannot be written.
    """
    weights = fitted.jepa.export_state()
    if half:
        weights = {name: value.half() for name, value in weights.items()}
    rows = fitted.result.rows
    config = {
        "model": fitted.config.to_config(),
        "preprocess": fitted.preprocess.to_config(),
        "estimator": options,
        "metrics": rows[-1] if rows else {},
    }
    save_model(
        folder,
        modality=modality,
        kind="encoder",
        config=config | dict(about or {}),
        weights=weights | dict(tensors or {}),
        training=fitted.training,
        card=card,
    )


def check_entries(config: Mapping[str, Any], *names: str, where: str) -> None:
    """Refuse a `config.json` that lacks an entry.

    Raises
    ------
    CheckpointError
    """
    if missing := sorted(set(names) - config.keys()):
        raise CheckpointError(f"{where} is damaged: config.json lacks {missing}")


def stored_result(config: Mapping[str, Any], *, where: str) -> TrainResult:
    """The training's last metrics.

    Raises
    ------
    CheckpointError
        If they are no metrics.
    """
    metrics = config.get("metrics")
    if not isinstance(metrics, dict):
        raise CheckpointError(f"{where}: expected the metrics of the training, got {metrics!r}")
    return TrainResult(rows=[metrics] if metrics else [])


def check_sizes(
    said: Mapping[str, int],
    weights: Mapping[str, Tensor],
    places: Iterable[tuple[str, str, int]],
    *,
    where: str,
) -> None:
    """Compare the sizes that settings declare with the weights, before a network is built.

    Parameters
    ----------
    said : mapping of setting to size
    weights : mapping of name to Tensor
    places : iterable of (setting, weight, axis)
        Where each size shows.
    where : str
        The folder, for messages.

    Raises
    ------
    CheckpointError
        If they are of another model; the message names the setting.
    """
    for name, key, axis in places:
        shape = tuple(weights[key].shape) if key in weights else ()
        if len(shape) <= axis or shape[axis] != said[name]:
            raise CheckpointError(
                f"{where} is damaged: its settings say {name}={said[name]}, {key} has shape {shape}"
            )


def check_depth(name: str, said: int, weights: Iterable[str], prefix: str, *, where: str) -> None:
    """Compare the number of blocks that settings declare with the weights.

    Parameters
    ----------
    name : str
        Of the setting.
    said : int
    weights : iterable of str
        Names; the number of a block follows `prefix`.
    prefix, where : str

    Raises
    ------
    CheckpointError
        If it is another.
    """
    found = {k.removeprefix(prefix).split(".")[0] for k in weights if k.startswith(prefix)}
    if len(found) != said:
        raise CheckpointError(
            f"{where} is damaged: its settings say {name}={said}, the weights hold {len(found)} "
            "blocks"
        )
