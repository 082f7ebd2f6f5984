"""The model folder of a pretrained ECG encoder."""

from __future__ import annotations

from os import PathLike
from typing import Any

from biojepa.ecg._folder_settings import read_model_settings
from biojepa.ecg.model import build_jepa
from biojepa.ecg.pretrain import Pretrained
from biojepa.estimators.encoder_file import save_encoder, stored_result
from biojepa.estimators.saved import check_options, load_model

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
    save_encoder(folder, fitted, options, modality="ecg", half=half, card=card)


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
    result = stored_result(config, where=where)
    jepa = build_jepa(model)
    jepa.load_export(weights, where=where)
    return Pretrained(jepa, model, preprocess, result, training), options
