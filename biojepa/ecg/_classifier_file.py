"""A fitted ECG classifier as a model folder, and back. See `biojepa.estimators.saved`."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any, get_args

import torch
from torch import Tensor

from biojepa.ecg._folder_settings import read_model_settings
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.heads import ECGClassifierNet, Head
from biojepa.ecg.model import ECGEncoder, build_jepa
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.pretrain import Pretrained
from biojepa.engine.checkpoint import load_weights
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError
from biojepa.estimators.labels import LabelCode
from biojepa.estimators.probe import LinearProbe
from biojepa.estimators.saved import check_options, load_model, save_model

NUMBER = int | float | None
OPTIONS = {
    "mode": ("linear", "attentive", "finetune"),
    "head": (None, *get_args(Head)),
    "preset": str,
    "pool": str,
    "layer": list,
    "scale": bool,
    "crop_s": NUMBER,
    "stride_s": NUMBER,
}  # parameters of the estimator that are stored


@dataclass(frozen=True)
class FittedClassifier:
    """What a classifier has learned.

    Parameters
    ----------
    code : LabelCode
    jepa : MaskedJEPA
        Whose downstream encoder gives the probe's features.
    preprocess : ECGPreprocess
    probe : LinearProbe or None
    network : ECGClassifierNet or None
        One of the two.
    options : dict
        Parameters of the estimator that predictions depend on.
    training : dict
        What the encoder has seen.
    """

    code: LabelCode
    jepa: MaskedJEPA
    preprocess: ECGPreprocess
    probe: LinearProbe | None
    network: ECGClassifierNet | None
    options: dict[str, Any]
    training: dict[str, Any]

    @property
    def model_config(self) -> ECGModelConfig:
        """Of the encoder that predicts."""
        network = self.jepa.downstream_encoder if self.network is None else self.network.encoder
        return network.config

    def pretrained(self) -> Pretrained:
        """The encoder with what belongs to it."""
        config = self.model_config
        return Pretrained(self.jepa, config, self.preprocess, TrainResult(), self.training)


def write_classifier(folder: str | PathLike, fitted: FittedClassifier) -> None:
    """Write the model folder.

    Raises
    ------
    CheckpointError, ConfigError, RunError
        As `ECGClassifier.save_pretrained`.
    """
    options = dict(fitted.options)
    if fitted.network is None:
        options |= {"mode": "linear", "head": None}
        encoder = fitted.jepa.downstream_encoder.state_dict()
        weights: dict[str, Tensor] = {f"encoder.{k}": v for k, v in encoder.items()}
        arrays = {} if fitted.probe is None else fitted.probe.export_state()
        weights |= {f"probe.{k}": torch.from_numpy(v.copy()) for k, v in arrays.items()}
    else:
        mode = "attentive" if fitted.network.frozen else "finetune"
        options |= {"mode": mode, "head": fitted.network.head}
        weights = dict(fitted.network.state_dict())
    save_model(
        folder,
        modality="ecg",
        kind="classifier",
        config={
            "model": fitted.model_config.to_config(),
            "preprocess": fitted.preprocess.to_config(),
            "labels": fitted.code.to_config(),
            "estimator": options,
            "attend_registers": fitted.network is None or fitted.network.registers,
        },
        weights={k: v.detach().contiguous() for k, v in weights.items()},
        training=fitted.training,
    )


def read_classifier(folder: str | PathLike, *, verify: bool) -> FittedClassifier:
    """Read a model folder of `write_classifier`.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or not an ECG classifier.
    """
    config, weights, training = load_model(folder, modality="ecg", kind="classifier", verify=verify)
    where = str(folder)
    of_encoder = {k: v for k, v in weights.items() if k.startswith("encoder.")}
    model, preprocess = read_model_settings(config, of_encoder, where=where)
    code = LabelCode.from_config(config.get("labels") or {})
    options = check_options(config.get("estimator"), OPTIONS, where=where)
    mode, head, layers = options["mode"], options["head"], options["layer"]
    if (mode == "linear") != (head is None):
        raise CheckpointError(f"{where}: the mode {mode!r} does not go with the head {head!r}")
    jepa = build_jepa(model)
    options["layer"] = layers[0] if len(layers) == 1 else layers
    probe, network = None, None
    if mode == "linear":
        load_weights(jepa.downstream_encoder, _part(weights, "encoder"), where=where)
        arrays = {k: v.numpy() for k, v in _part(weights, "probe").items()}
        probe = LinearProbe.from_state(arrays, code)
    else:
        with keyed_torch_rng(0, "init"):
            encoder = ECGEncoder(model)
            network = ECGClassifierNet(
                encoder,
                len(code),
                head=head,
                frozen=mode == "attentive",
                attend_registers=config.get("attend_registers", True) is True,
            )
        load_weights(network, weights, where=where)
        jepa.downstream_encoder.load_state_dict(encoder.state_dict())
        network.eval()
    return FittedClassifier(code, jepa, preprocess, probe, network, options, training)


def _part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
