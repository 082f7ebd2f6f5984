"""A fitted classifier or regressor of runs as a model folder, and back."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biojepa.engine.checkpoint import load_weights
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError
from biojepa.estimators.features import feature_width
from biojepa.estimators.labels import LabelCode
from biojepa.estimators.probe import LinearProbe
from biojepa.estimators.ridge_probe import RidgeProbe
from biojepa.estimators.saved import check_options, load_model, save_model
from biojepa.fmri._encoder_file import (
    State,
    check_sizes,
    gradient_tensors,
    part,
    read_settings,
    region_names,
)
from biojepa.fmri._predictor import Mode
from biojepa.fmri.classifier import BrainClassifier
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.heads import BrainNet, Head
from biojepa.fmri.model import BrainEncoder, build_jepa
from biojepa.fmri.pretrain import Pretrained

KINDS = {"BrainClassifier": "classifier", "BrainRegressor": "regressor"}
OPTIONS = {
    "mode": get_args(Mode),
    "head": (None, *get_args(Head)),
    "preset": str,
    "pool": ("mean_std", "mean"),
    "layer": list,
}  # parameters of the estimators that are stored


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
        If it is absent, damaged, or of another kind; sizes are compared before anything is built.
    """
    where, kind = str(folder), KINDS[cls.__name__]
    config, weights, training = load_model(folder, modality="fmri", kind=kind, verify=verify)
    model, preprocess, atlases = read_settings(config, weights, "target", where=where)
    options = check_options(config["estimator"], OPTIONS, where=where)
    mode, head, layers = options["mode"], options.pop("head"), options.pop("layer")
    if (mode == "linear") != (head is None):
        raise CheckpointError(f"{where}: the mode {mode!r} does not go with the head {head!r}")
    _check_layers(layers, model.depth, where)
    estimator = cls(**options, layer=layers[0] if len(layers) == 1 else layers)
    n_outputs = _take_target(estimator, config["target"], where)
    encoder = part(weights, "encoder" if mode == "linear" else "network.encoder")
    check_sizes(model, encoder, None, where=where)
    # the folder has no predictor, and nothing predicts with it: the smallest there is
    jepa = build_jepa(replace(model, pred_dim=4, pred_depth=1, pred_heads=1))
    load_weights(jepa.downstream_encoder, encoder, where=where)
    estimator.probe_, estimator.network_, estimator.history_ = None, None, []
    if mode == "linear":
        width = feature_width(model.dim, pool=options["pool"], layers=layers)
        estimator.probe_ = _read_probe(estimator, part(weights, "probe"), width, where)
    else:
        net = _build_net(model, part(weights, "network"), n_outputs, head, mode, where)
        estimator.network_ = net
    reader = estimator._reader = BrainJEPA(preset=estimator.preset)
    reader.take(Pretrained(jepa, model, preprocess, atlases, TrainResult(), training))
    reader.n_features_in_ = estimator.n_features_in_ = len(atlases[0])
    return estimator


def _take_target(estimator: Any, target: Any, where: str) -> int:
    """Put in place what is predicted; the number of outputs."""
    if not isinstance(target, dict):
        raise CheckpointError(f"{where}: expected an object target, got {type(target).__name__}")
    if isinstance(estimator, BrainClassifier):
        estimator._code = LabelCode.from_config(target)
        estimator.classes_ = estimator._code.classes_
        return len(estimator._code)
    flat, mean, std = (target.get(name) for name in ("flat", "mean", "std"))
    tables = [_numbers(value) for value in (mean, std)]
    K = 0 if tables[0] is None else len(tables[0])
    if (
        not isinstance(flat, bool)
        or not K
        or tables[1] is None
        or len(tables[1]) != K
        or (flat and K != 1)
        or bool((tables[1] <= 0).any())
    ):
        raise CheckpointError(
            f"{where}: expected flat, a mean and a positive std of each target, got {target!r:.200}"
        )
    estimator._flat, (estimator.target_mean_, estimator.target_std_) = flat, tables
    return K


def _read_probe(estimator: Any, weights: State, width: int, where: str) -> Any:
    """The probe of an estimator that knows its targets, for features of this width."""
    arrays = {name: value.numpy() for name, value in weights.items()}
    finite = all(np.isfinite(value).all() for value in arrays.values())
    if not finite or arrays.keys() != {"mean", "std", "coef", "intercept"}:
        raise CheckpointError(
            f"{where} is damaged: expected finite mean, std, coef and intercept of a probe, got "
            f"{sorted(arrays)}"
        )
    try:
        if isinstance(estimator, BrainClassifier):
            probe: Any = LinearProbe.from_state(arrays, estimator._code)
        else:
            probe = RidgeProbe.from_state(arrays, flat=estimator._flat)
    except CheckpointError as error:
        raise CheckpointError(f"{where} is damaged: {error}") from error
    if probe.n_features_in_ != width:
        raise CheckpointError(
            f"{where}: its model gives {width} features, its probe is of {probe.n_features_in_}"
        )
    if isinstance(probe, RidgeProbe) and len(probe.coef_) != len(estimator.target_mean_):
        raise CheckpointError(
            f"{where}: it names {len(estimator.target_mean_)} targets, its probe has "
            f"{len(probe.coef_)}"
        )
    return probe


def _build_net(
    model: BrainModelConfig, weights: State, n_outputs: int, head: Head, mode: str, where: str
) -> BrainNet:
    with keyed_torch_rng(0, "init"):
        net = BrainNet(BrainEncoder(model), n_outputs, head=head, frozen=mode == "attentive")
    load_weights(net, weights, where=where)
    return net.eval()


def _check_layers(layers: list[int], depth: int, where: str) -> None:
    if any(not -depth <= layer < depth for layer in layers):
        raise CheckpointError(
            f"{where}: expected layers of {depth} blocks (-{depth} to {depth - 1}), got {layers}"
        )


def _numbers(values: Any) -> NDArray[np.float64] | None:
    """Finite numbers of a JSON list; None if it is none."""
    if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
        return None
    numbers = np.array(values, dtype=np.float64)
    return numbers if np.isfinite(numbers).all() else None
