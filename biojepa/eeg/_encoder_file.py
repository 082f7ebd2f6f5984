"""The model folder of a pretrained EEG encoder."""

from __future__ import annotations

from os import PathLike
from typing import Any

from torch import Tensor

from biojepa.eeg._published_folder import is_published, read_published
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.model import build_jepa
from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.eeg.pretrain import Pretrained
from biojepa.errors import CheckpointError, ConfigError, LeadError
from biojepa.estimators.encoder_file import (
    check_depth,
    check_entries,
    check_sizes,
    save_encoder,
    stored_result,
)
from biojepa.estimators.saved import check_options, load_model, locate_model

OPTIONS = {"preset": str, "pool": ("mean_std", "mean"), "layer": list}
MAX_UNSEEN = 64  # layers of a predictor whose weights are not in the folder; published: 4
_CONV = "encoder.feature_encoder."
_BLOCKS = "encoder.contextual.transformer.layers."
_PRED_BLOCKS = "predictor.transformer.layers."
_PLACES = (  # setting, weight, axis
    ("channels", "encoder.pos_encoder.pos_encoder_spat.weight", 0),
    ("spat_dim", "encoder.pos_encoder.pos_encoder_spat.weight", 1),
    ("dim", "encoder.contextual.transformer.norm.weight", 0),
    ("hidden", "encoder.contextual.transformer.layers.0.linear1.weight", 0),
)


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
    units = {"units": "uV"}  # of what the network sees
    save_encoder(folder, fitted, options, modality="eeg", about=units, half=half, card=card)


def read_encoder(
    folder: str | PathLike, *, verify: bool = True
) -> tuple[Pretrained, dict[str, Any]]:
    """Read what `write_encoder` wrote, or published weights: the model and its options.

    Parameters
    ----------
    folder : path or str
        Model folder, shipped name or Hub id; of ours, or of braindecode's `SignalJEPA`.
    verify : bool
        Compare the hashes; published folders have none.

    Raises
    ------
    CheckpointError
        If it is absent, damaged, or not an EEG encoder.
    """
    path = locate_model(folder)
    if is_published(path):
        return read_published(path)
    config, weights, training = load_model(path, modality="eeg", kind="encoder", verify=verify)
    where = str(folder)
    model, preprocess = read_settings(config, weights, where=where)
    options = check_options(config.get("estimator"), OPTIONS, where=where)
    result = stored_result(config, where=where)
    jepa = build_jepa(model)
    jepa.load_export(weights, where=where)
    return Pretrained(jepa, model, preprocess, result, training), options


def read_settings(
    config: dict[str, Any], weights: dict[str, Tensor], *, where: str, predictor: bool = True
) -> tuple[EEGModelConfig, EEGPreprocess]:
    """Architecture and preprocessing of a folder; sizes are compared before anything is built.

    Parameters
    ----------
    config : dict
        With `model` and `preprocess`.
    weights : dict of Tensor
        `encoder.*` and `predictor.*`.
    where : str
        The folder, for messages.
    predictor : bool
        Whether the folder has the weights of the predictor.

    Raises
    ------
    CheckpointError
        If they cannot be used, or are not those of the weights.
    """
    check_entries(config, "model", "preprocess", where=where)
    try:
        model = EEGModelConfig.from_config(config["model"])
        preprocess = EEGPreprocess.from_config(config["preprocess"])
    except (ConfigError, LeadError) as error:
        raise CheckpointError(f"{where}: its config.json cannot be used: {error}") from error
    said = {"channels": len(model.channels), "conv": len(model.conv)}
    said |= {name: getattr(model, name) for name in ("dim", "hidden", "spat_dim")}
    check_sizes(said, weights, _PLACES, where=where)
    check_depth("conv", said["conv"], weights, _CONV, where=where)
    check_depth("depth", model.depth, weights, _BLOCKS, where=where)
    if predictor:
        check_depth("pred_depth", model.pred_depth, weights, _PRED_BLOCKS, where=where)
    elif model.pred_depth > MAX_UNSEEN:
        raise CheckpointError(f"{where}: a predictor of {model.pred_depth} layers is not built")
    for i, (filters, kernel, _) in enumerate(model.conv, start=1):
        sizes = {"filters": filters, "kernel": kernel}
        key = f"{_CONV}{i}.0.weight"
        check_sizes(sizes, weights, [("filters", key, 0), ("kernel", key, 2)], where=where)
    return model, preprocess
