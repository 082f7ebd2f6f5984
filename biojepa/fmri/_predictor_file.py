"""A fitted classifier or regressor of runs as a model folder, and back."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biojepa.engine.checkpoint import load_weights
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.train import TrainResult
from biojepa.errors import BiojepaError, CheckpointError
from biojepa.estimators.labels import LabelCode
from biojepa.estimators.probe import LinearProbe
from biojepa.estimators.ridge_probe import RidgeProbe
from biojepa.estimators.saved import load_model, save_model
from biojepa.fmri._encoder_file import gradient_tensors, read_atlases, region_names
from biojepa.fmri.classifier import BrainClassifier
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.heads import BrainNet
from biojepa.fmri.model import BrainEncoder, build_jepa
from biojepa.fmri.preprocess import BrainPreprocess
from biojepa.fmri.pretrain import Pretrained

KINDS = {"BrainClassifier": "classifier", "BrainRegressor": "regressor"}


def write_predictor(folder: str | PathLike, fitted: Any) -> None:
    """Write the model folder of a fitted `BrainClassifier` or `BrainRegressor`."""
    reader, net = fitted._reader, fitted.network_
    weights: dict[str, Tensor]
    if net is None:
        encoder = reader.jepa_.downstream_encoder.state_dict()
        weights = {f"encoder.{k}": v for k, v in encoder.items()}
        arrays = fitted.probe_.export_state()
        weights |= {f"probe.{k}": torch.from_numpy(np.array(v)) for k, v in arrays.items()}
    else:
        weights = {f"network.{k}": v for k, v in net.state_dict().items()}
    if isinstance(fitted, BrainClassifier):
        target: dict[str, Any] = fitted._code.to_config()
    else:
        target = {"flat": fitted._flat, "mean": fitted.target_mean_.tolist()}
        target["std"] = fitted.target_std_.tolist()
    model = reader.model_config_ if net is None else net.encoder.config
    options = {"mode": fitted.mode, "preset": fitted.preset, "pool": fitted.pool}
    options |= {"layer": reader._layers(), "head": None if net is None else net.head}
    save_model(
        folder,
        modality="fmri",
        kind=KINDS[type(fitted).__name__],
        config={
            "model": model.to_config(),
            "preprocess": reader.preprocess_.to_config(),
            "regions": region_names(reader.atlases_),
            "target": target,
            "estimator": options,
        },
        weights={k: v.detach().contiguous() for k, v in weights.items()}
        | gradient_tensors(reader.atlases_),
        training=reader.training_,
    )


def read_predictor(folder: str | PathLike, cls: type, *, verify: bool) -> Any:
    """Read a model folder of `write_predictor` as an estimator of `cls`.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or of another kind.
    """
    where = str(folder)
    config, weights, training = load_model(
        folder, modality="fmri", kind=KINDS[cls.__name__], verify=verify
    )
    try:
        model = BrainModelConfig.from_config(config["model"])
        preprocess = BrainPreprocess.from_config(config["preprocess"])
        options, target = dict(config["estimator"]), config["target"]
        layers, head = options.pop("layer"), options.pop("head")
        atlases = read_atlases(config["regions"], weights, where=where)
        linear = options["mode"] == "linear"
        estimator = cls(**options, layer=layers[0] if len(layers) == 1 else layers)
        if cls is BrainClassifier:
            estimator._code = LabelCode.from_config(target)
            estimator.classes_ = estimator._code.classes_
            n_outputs = len(estimator._code)
        else:
            estimator._flat = bool(target["flat"])
            estimator.target_mean_, estimator.target_std_ = (
                np.array(target[k], dtype=np.float64) for k in ("mean", "std")
            )
            n_outputs = len(estimator.target_mean_)
        jepa = build_jepa(model)
    except CheckpointError:
        raise
    except (BiojepaError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where}: its config.json cannot be used: {error}") from error
    estimator.probe_, estimator.network_, estimator.history_ = None, None, []
    if linear:
        load_weights(jepa.downstream_encoder, _part(weights, "encoder"), where=where)
        arrays = {k: v.numpy() for k, v in _part(weights, "probe").items()}
        if cls is BrainClassifier:
            estimator.probe_ = LinearProbe.from_state(arrays, estimator._code)
        else:
            estimator.probe_ = RidgeProbe.from_state(arrays, flat=estimator._flat)
    else:
        frozen = options["mode"] == "attentive"
        with keyed_torch_rng(0, "init"):
            net = BrainNet(BrainEncoder(model), n_outputs, head=head, frozen=frozen)
        load_weights(net, _part(weights, "network"), where=where)
        estimator.network_ = net.eval()
    reader = estimator._reader = BrainJEPA(preset=estimator.preset)
    reader.take(Pretrained(jepa, model, preprocess, atlases, TrainResult(), training))
    reader.n_features_in_ = estimator.n_features_in_ = len(atlases[0])
    return estimator


def _part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
