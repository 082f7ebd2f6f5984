"""A fitted EEG classifier as a model folder, and back. See `biojepa.estimators.saved`."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any, get_args

import torch
from torch import Tensor

from biojepa.data.montage import Position
from biojepa.eeg._encoder_file import read_settings
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.finetune import make_network
from biojepa.eeg.heads import Architecture, SignalClassifierNet
from biojepa.eeg.model import build_jepa
from biojepa.eeg.pretrain import Pretrained
from biojepa.engine.checkpoint import load_weights
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError, ConfigError
from biojepa.estimators.encoder_file import check_entries
from biojepa.estimators.labels import LabelCode
from biojepa.estimators.probe import LinearProbe
from biojepa.estimators.saved import check_options, load_model, save_model

_LINEAR: dict[str, Any] = {"architecture": get_args(Architecture), "regime": ("linear",)}
_NETWORK: dict[str, Any] = {
    "architecture": get_args(Architecture),
    "regime": ("new", "full"),
    "n_filters": int,
    "n_times": int,
}


@dataclass(frozen=True)
class FittedClassifier:
    """What a classifier has learned.

    Parameters
    ----------
    code : LabelCode
    pretrained : Pretrained
        The encoder it started from; with a network that has its own, not stored.
    channels : tuple of str
    positions : tuple of (float, float, float)
    architecture, regime, preset : str
    probe : LinearProbe or None
    network : SignalClassifierNet or None
        One of the two.
    """

    code: LabelCode
    pretrained: Pretrained
    channels: tuple[str, ...]
    positions: tuple[Position, ...]
    architecture: Architecture
    regime: Any
    preset: str
    probe: LinearProbe | None
    network: SignalClassifierNet | None


def write_classifier(folder: str | PathLike, fitted: FittedClassifier) -> None:
    """Write the model folder.

    Raises
    ------
    CheckpointError, ConfigError, RunError
        As `SignalJEPAClassifier.save_pretrained`.
    """
    network = fitted.network
    head: dict[str, Any] = {"architecture": fitted.architecture, "regime": fitted.regime}
    if network is None:
        weights = {f"jepa.{k}": v for k, v in fitted.pretrained.jepa.export_state().items()}
        arrays = {} if fitted.probe is None else fitted.probe.export_state()
        weights |= {f"probe.{k}": torch.from_numpy(v.copy()) for k, v in arrays.items()}
    else:
        head |= {"n_filters": network.n_filters, "n_times": network.n_times}
        weights = dict(network.state_dict())
    save_model(
        folder,
        modality="eeg",
        kind="classifier",
        config={
            "model": fitted.pretrained.config.to_config(),
            "preprocess": fitted.pretrained.preprocess.to_config(),
            "units": "uV",  # of what the network sees
            "labels": fitted.code.to_config(),
            "channels": list(fitted.channels),
            "positions": [list(place) for place in fitted.positions],
            "head": head,
            "estimator": {"preset": fitted.preset},
        },
        weights={k: v.detach().contiguous() for k, v in weights.items()},
        training=fitted.pretrained.training,
    )


def read_classifier(folder: str | PathLike, *, verify: bool) -> FittedClassifier:
    """Read a model folder of `write_classifier`.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or not an EEG classifier.
    """
    config, weights, training = load_model(folder, modality="eeg", kind="classifier", verify=verify)
    where = str(folder)
    probe, network = None, None
    check_entries(config, "labels", "head", "channels", "positions", "estimator", where=where)
    linear = isinstance(config["head"], dict) and config["head"].get("regime") == "linear"
    head = check_options(config["head"], _LINEAR if linear else _NETWORK, where=where)
    own = _part(weights, "jepa") if linear else weights
    model, preprocess = read_settings(config, own, where=where, predictor=linear)
    code = LabelCode.from_config(config["labels"])
    preset = str(check_options(config["estimator"], {"preset": str}, where=where)["preset"])
    architecture, regime = head["architecture"], head["regime"]
    channels, positions = _channels(config, where)
    if not linear:
        _check_head(model, weights, head, where)
    jepa = build_jepa(model)
    if linear:
        jepa.load_export(own, where=where)
        arrays = {k: v.numpy() for k, v in _part(weights, "probe").items()}
        probe = LinearProbe.from_state(arrays, code)
    else:
        network = _build_network(jepa, len(code), len(channels), head, where)
        load_weights(network, weights, where=where)
        jepa.encoder.load_state_dict(network.encoder.state_dict())
        jepa.target_encoder.load_state_dict(jepa.encoder.contextual.state_dict())
        network.eval()
    pretrained = Pretrained(jepa.eval(), model, preprocess, TrainResult(), training)
    return FittedClassifier(
        code, pretrained, channels, positions, architecture, regime, preset, probe, network
    )


def _build_network(
    jepa: MaskedJEPA, n_classes: int, n_channels: int, head: dict[str, Any], where: str
) -> SignalClassifierNet:
    try:
        return make_network(
            jepa,
            n_classes,
            n_times=head["n_times"],
            n_channels=n_channels,
            architecture=head["architecture"],
            n_filters=head["n_filters"],
            seed=0,
        )
    except ConfigError as error:
        raise CheckpointError(f"{where}: its config.json cannot be used: {error}") from error


def _part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights under a prefix, without it."""
    return {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}


def _channels(config: dict[str, Any], where: str) -> tuple[tuple[str, ...], tuple[Position, ...]]:
    """Names and places of the channels of training."""
    names, places = config["channels"], config["positions"]
    good = (
        isinstance(names, list)
        and isinstance(places, list)
        and names
        and len(names) == len(places) == len(set(map(str, names)))
        and all(isinstance(p, list) and len(p) == 3 for p in places)
        and all(type(x) in (int, float) for p in places for x in p)
    )
    if not good:
        raise CheckpointError(
            f"{where}: its config.json cannot be used: expected channels and as many positions, "
            f"got {names!r:.100} and {places!r:.100}"
        )
    return tuple(map(str, names)), tuple((float(x), float(y), float(z)) for x, y, z in places)


def _check_head(
    model: EEGModelConfig, weights: dict[str, Tensor], head: dict[str, Any], where: str
) -> None:
    """Compare the declared filters and window with the new layers' weights."""
    bias, weight = weights.get("spatial.bias"), weights.get("linear.weight")
    found = (
        None if bias is None else len(bias),
        None if weight is None or weight.ndim != 2 else weight.shape[1],
    )
    width = head["n_filters"] * model.tokens_of(head["n_times"]) * model.dim
    if found != (head["n_filters"], width):
        raise CheckpointError(
            f"{where} is damaged: its settings say n_filters={head['n_filters']} and "
            f"n_times={head['n_times']}, which is a linear layer of width {width}; its weights "
            f"have {found[0]} filters and width {found[1]}"
        )
