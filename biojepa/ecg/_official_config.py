"""The settings in published ECG-JEPA files, to and from ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.heads import Head
from biojepa.engine.config import TrainConfig
from biojepa.errors import BiojepaError, CheckpointError

REQUIRED = {
    "sampling_frequency": "rate_hz",
    "channel_size": "n_times",
    "patch_size": "patch",
    "dim": "dim",
    "depth": "depth",
    "num_heads": "heads",
    "pred_dim": "pred_dim",
    "pred_depth": "pred_depth",
    "pred_num_heads": "pred_heads",
}
OPTIONAL = {
    "min_block_size": "min_block",
    "mlp_ratio": "mlp_ratio",
    "qkv_bias": "qkv_bias",
    "dropout": "dropout",
    "attn_dropout": "attn_dropout",
    "num_registers": "registers",
    "bias": "bias",
    "norm_eps": "norm_eps",
    "layer_scale_eps": "layer_scale",
    "encoder_momentum": "momentum_start",
    "final_encoder_momentum": "momentum_end",
}
TRAINING = (
    "datasets",
    "steps",
    "batch_size",
    "learning_rate",
    "final_learning_rate",
    "learning_rate_warmup_steps",
    "weight_decay",
    "final_weight_decay",
    "opt_betas",
    "opt_eps",
    "gradient_clip",
    "gradient_accumulation_steps",
    "checkpoint_interval",
)
EVALUATION = (
    "crop_duration",
    "crop_stride",
    "steps",
    "batch_size",
    "learning_rate",
    "final_learning_rate",
    "learning_rate_warmup_steps",
    "weight_decay",
    "opt_betas",
    "gradient_clip",
    "checkpoint_interval",
    "early_stopping_patience",
)
OTHER = ("channels", "min_keep_ratio", "max_keep_ratio")


def model_config(config: Mapping[Any, Any]) -> tuple[ECGModelConfig, tuple[str, ...]]:
    """The model that a published file describes.

    Parameters
    ----------
    config : mapping
        The file's `config`.

    Returns
    -------
    ECGModelConfig
        As published where the file says nothing.
    tuple of str
        Keys that are not known and were ignored.

    Raises
    ------
    CheckpointError
        If a key is missing or its value cannot be used.
    """
    missing = [key for key in ("channels", *REQUIRED) if key not in config]
    if missing:
        raise CheckpointError(f"config: expected the published settings, {missing} are missing")
    channels = config["channels"]
    if not isinstance(channels, list | tuple) or not all(isinstance(c, str) for c in channels):
        raise CheckpointError(f"config: expected a list of lead names, got {channels!r}")
    known = REQUIRED | OPTIONAL
    settings = {ours: config[key] for key, ours in known.items() if key in config}
    settings = {ours: value for ours, value in settings.items() if value is not None}
    low, high = config.get("min_keep_ratio", 0.15), config.get("max_keep_ratio", 0.25)
    try:
        model = ECGModelConfig(leads=tuple(channels), keep=(low, high), **settings)
    except BiojepaError as error:
        raise CheckpointError(f"config: {error}") from error
    unknown = tuple(str(k) for k in config if k not in {*known, *TRAINING, *OTHER})
    return model, unknown


def official_config(config: ECGModelConfig, train: TrainConfig | None = None) -> dict[str, Any]:
    """The published settings of a model; None for training settings that are not known.

    Targets, regularisers and the like that the published code does not have are not in it.
    """
    known = REQUIRED | OPTIONAL
    result: dict[str, Any] = {key: getattr(config, ours) for key, ours in known.items()}
    rate = config.rate_hz
    result["sampling_frequency"] = int(rate) if float(rate).is_integer() else rate
    result["channels"] = [lead.upper() for lead in config.leads]
    result["min_keep_ratio"], result["max_keep_ratio"] = config.keep
    result |= dict.fromkeys(TRAINING)
    if train is not None:
        decay = train.final_weight_decay
        result |= {
            "steps": train.steps,
            "batch_size": train.batch_size // train.accumulate,
            "learning_rate": train.lr,
            "final_learning_rate": train.final_lr,
            "learning_rate_warmup_steps": train.warmup_steps,
            "weight_decay": train.weight_decay,
            "final_weight_decay": train.weight_decay if decay is None else decay,
            "opt_betas": [train.beta1, train.beta2],
            "opt_eps": train.eps,
            "gradient_clip": train.clip,
            "gradient_accumulation_steps": train.accumulate,
            "checkpoint_interval": train.checkpoint_every,
        }
    return result


def head_of(eval_config: Mapping[str, Any]) -> Head:
    """Which classifier head a file's `eval_config` means."""
    if eval_config.get("attn_pooling"):
        return "attentive"
    return "register" if eval_config.get("use_register") else "mean"


def official_eval_config(
    head: Head, config: ECGModelConfig, n_classes: int, *, frozen: bool, use_register: bool
) -> dict[str, Any]:
    """The published `eval_config` of a classifier; None for training settings not known."""
    return dict.fromkeys(EVALUATION) | {
        "num_classes": n_classes,
        "use_register": use_register,
        "attn_pooling": head == "attentive",
        "layer_scale_eps": config.layer_scale,
        "bias": False,
        "dropout": config.dropout,
        "frozen": frozen,
    }
