"""A fitted EEG classifier as a model folder, and back. See `biojepa.estimators.saved`."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from biojepa.data.montage import Position
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.finetune import make_network
from biojepa.eeg.heads import Architecture, SignalClassifierNet
from biojepa.eeg.model import build_jepa
from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.eeg.pretrain import Pretrained
from biojepa.engine.checkpoint import load_weights
from biojepa.engine.train import TrainResult
from biojepa.errors import BiojepaError, CheckpointError
from biojepa.estimators.labels import LabelCode
from biojepa.estimators.probe import LinearProbe
from biojepa.estimators.saved import load_model, save_model


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
    try:
        model = EEGModelConfig.from_config(config["model"])
        preprocess = EEGPreprocess.from_config(config["preprocess"])
        code = LabelCode.from_config(config["labels"])
        head, channels = config["head"], tuple(config["channels"])
        positions = tuple((float(x), float(y), float(z)) for x, y, z in config["positions"])
        jepa = build_jepa(model)
        if head["regime"] != "linear":
            network = make_network(
                jepa,
                len(code),
                n_times=head["n_times"],
                n_channels=len(channels),
                architecture=head["architecture"],
                n_filters=head["n_filters"],
                seed=0,
            )
        architecture, regime = head["architecture"], head["regime"]
        preset = str(config["estimator"]["preset"])
    except CheckpointError:
        raise
    except (BiojepaError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: its config.json cannot be used: {error}") from error
    if network is None:
        jepa.load_export(_part(weights, "jepa"), where=where)
        arrays = {k: v.numpy() for k, v in _part(weights, "probe").items()}
        probe = LinearProbe.from_state(arrays, code)
    else:
        load_weights(network, weights, where=where)
        jepa.encoder.load_state_dict(network.encoder.state_dict())
        jepa.target_encoder.load_state_dict(jepa.encoder.contextual.state_dict())
        network.eval()
    pretrained = Pretrained(jepa.eval(), model, preprocess, TrainResult(), training)
    return FittedClassifier(
        code, pretrained, channels, positions, architecture, regime, preset, probe, network
    )


def _part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
