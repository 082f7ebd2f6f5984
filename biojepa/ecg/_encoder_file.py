"""The model folder of a pretrained ECG encoder."""

from __future__ import annotations

from os import PathLike
from typing import Any

from biojepa.ecg._folder_settings import read_model_settings
from biojepa.ecg.model import build_jepa
from biojepa.ecg.pretrain import Pretrained
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError
from biojepa.estimators.saved import check_options, load_model, save_model

OPTIONS = {"preset": str, "pool": str, "layer": list, "shifts": int, "scale": bool}


def write_encoder(
    folder: str | PathLike,
    fitted: Pretrained,
    options: dict[str, Any],
    *,
    half: bool = False,
    card: dict[str, Any] | None = None,
) -> None:
    """Write a model folder: weights, preprocessing, leads, options, what it has seen.

    With `half`, weights are rounded to float16, which halves the folder; they are read back as
    float32. A `card` is stored beside them.
    """
    weights = fitted.jepa.export_state()
    if half:
        weights = {name: value.half() for name, value in weights.items()}
    rows = fitted.result.rows
    save_model(
        folder,
        modality="ecg",
        kind="encoder",
        config={
            "model": fitted.config.to_config(),
            "preprocess": fitted.preprocess.to_config(),
            "estimator": options,
            "metrics": rows[-1] if rows else {},
        },
        weights=weights,
        training=fitted.training,
        card=card,
    )


def read_encoder(
    folder: str | PathLike, *, verify: bool = True
) -> tuple[Pretrained, dict[str, Any]]:
    """Read what `write_encoder` wrote: the model and its options.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or not an ECG encoder.
    """
    config, weights, training = load_model(folder, modality="ecg", kind="encoder", verify=verify)
    where = str(folder)
    model, preprocess = read_model_settings(config, weights, where=where)
    options = check_options(config.get("estimator"), OPTIONS, where=where)
    metrics = config.get("metrics")
    if not isinstance(metrics, dict):
        raise CheckpointError(f"{where}: expected the metrics of the training, got {metrics!r}")
    jepa = build_jepa(model)
    jepa.load_export(weights, where=where)
    result = TrainResult(rows=[metrics] if metrics else [])
    return Pretrained(jepa, model, preprocess, result, training), options
