"""The model folder of a pretrained EEG encoder."""

from __future__ import annotations

from os import PathLike
from typing import Any

from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.model import build_jepa
from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.eeg.pretrain import Pretrained
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError
from biojepa.estimators.saved import load_model, save_model


def write_encoder(
    folder: str | PathLike,
    fitted: Pretrained,
    options: dict[str, Any],
    *,
    half: bool = False,
    card: dict[str, Any] | None = None,
) -> None:
    """Write a model folder: weights, preprocessing, channels, options, what it has seen.

    With `half`, weights are rounded to float16 and read back as float32. A `card` is stored beside
    them.
    """
    weights = fitted.jepa.export_state()
    if half:
        weights = {name: value.half() for name, value in weights.items()}
    rows = fitted.result.rows
    save_model(
        folder,
        modality="eeg",
        kind="encoder",
        config={
            "model": fitted.config.to_config(),
            "preprocess": fitted.preprocess.to_config(),
            "units": "uV",  # of what the network sees
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
        If it is absent, damaged, or not an EEG encoder.
    """
    config, weights, training = load_model(folder, modality="eeg", kind="encoder", verify=verify)
    missing = {"model", "preprocess", "estimator", "metrics"} - config.keys()
    if missing:
        raise CheckpointError(f"{folder} is damaged: config.json lacks {sorted(missing)}")
    model = EEGModelConfig.from_config(config["model"])
    jepa = build_jepa(model)
    jepa.load_export(weights, where=str(folder))
    preprocess = EEGPreprocess.from_config(config["preprocess"])
    result = TrainResult(rows=[config["metrics"]] if config["metrics"] else [])
    return Pretrained(jepa, model, preprocess, result, training), config["estimator"]
