"""Classifiers between the published layout (.pt) and model folders.

A published file holds encoder, head, evaluation settings and the constants of the training records;
it does not hold the names of the classes, nor whether several may apply to a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.cli.console import say
from biojepa.data.leads import STANDARD_12
from biojepa.ecg import official
from biojepa.ecg._classifier_file import FittedClassifier, read_classifier, write_classifier
from biojepa.ecg._official_config import official_eval_config
from biojepa.ecg.heads import ECGClassifierNet
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.model import build_jepa
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.errors import CheckpointError, ConfigError
from biojepa.estimators.labels import LabelCode

CROP_S, STRIDE_S = 2.5, 1.25  # as published, where a file does not say


def to_folder(
    net: ECGClassifierNet,
    target: Path,
    *,
    preprocess: ECGPreprocess | None,
    classes: Sequence[str] | None,
    exclusive: bool,
    training: dict[str, Any],
) -> None:
    """Write a published classifier as a model folder.

    Parameters
    ----------
    net : ECGClassifierNet
        From `official.load`.
    target : Path
    preprocess : ECGPreprocess or None
        None takes the constants that the file holds.
    classes : sequence of str or None
        Names, in the order of the file's outputs; numbers if None.
    exclusive : bool
        One class a record (softmax) in place of several (sigmoid).
    training : dict
        What is known of the records that it has seen.

    Raises
    ------
    ConfigError
        If the number of names is not that of the classes, or one is there twice.
    CheckpointError
        If the file holds no usable constants, or the folder other files.
    """
    config = net.encoder.config
    source = official.source_of(net)
    if preprocess is None:
        preprocess = _own_constants(source.preprocess if source else None, config)
    jepa = build_jepa(config)
    jepa.downstream_encoder.load_state_dict(net.encoder.state_dict())
    settings = (source.eval_config if source else None) or {}
    fitted = FittedClassifier(
        code=_code(classes, net.n_classes, exclusive),
        jepa=jepa,
        preprocess=preprocess,
        probe=None,
        network=net,
        options={
            "preset": "paper-xs",
            "pool": "mean_std",
            "layer": [-1],
            "scale": False,
            "crop_s": _seconds(settings, "crop_duration", CROP_S),
            "stride_s": _seconds(settings, "crop_stride", STRIDE_S),
        },
        training=training,
    )
    write_classifier(target, fitted)
    names = ", ".join(map(str, fitted.code.classes.tolist()[:8]))
    say(
        f"{target}: classifier of {net.n_classes} classes ({names}{', ...' * (net.n_classes > 8)})"
        f", {'one' if exclusive else 'several'} a recording, head {net.head!r}"
    )
    if classes is None:
        say("note: the file does not name its classes: pass --classes NORM,MI,... in its order")


def to_checkpoint(folder: str, target: Path) -> None:
    """Write a classifier's model folder in the published layout.

    Raises
    ------
    ConfigError
        If it is a linear probe, for which no published layout exists.
    CheckpointError
        If the folder is damaged.
    """
    fitted = read_classifier(folder, verify=True)
    net = fitted.network
    if net is None:
        raise ConfigError(
            f"{folder} is a linear probe on pooled features, and the published classifiers are a "
            "head on tokens: expected one of mode='attentive' or 'finetune'; to convert the "
            "encoder alone, convert the model that it was fitted on"
        )
    config = net.encoder.config
    settings = official_eval_config(
        net.head, config, net.n_classes, frozen=net.frozen, use_register=net.registers
    ) | {"crop_duration": fitted.options["crop_s"], "crop_stride": fitted.options["stride_s"]}
    own = fitted.preprocess
    constants: dict[str, Any] = {}
    if own.normalise == "dataset" and own.mean is not None and own.std is not None:
        constants = {name: list(getattr(own, name)) for name in ("mean", "std")}
    official.save(net, target, eval_config=settings, preprocess=constants)
    say(f"{target}: published layout 'classifier', {net.n_classes} classes, head {net.head!r}")
    say(
        "note: the layout has no place for the names of the classes: "
        f"{','.join(map(str, fitted.code.classes.tolist()))}"
    )
    if not constants:
        say("note: this model normalises each recording by itself; the file holds no constants")


def _code(classes: Sequence[str] | None, n_classes: int, exclusive: bool) -> LabelCode:
    if classes is None:
        return LabelCode(np.arange(n_classes), not exclusive, np.dtype(np.int64))
    if len(classes) != n_classes or len(set(classes)) != n_classes:
        raise ConfigError(
            f"expected {n_classes} different names in --classes, in the order of the file's "
            f"outputs, got {len(classes)}: {','.join(classes)}"
        )
    names = np.array(list(classes))
    return LabelCode(names, not exclusive, names.dtype if exclusive else np.dtype(np.int64))


def _own_constants(stored: dict[str, Any] | None, config: Any) -> ECGPreprocess:
    """The file's mean and standard deviation: of the model's leads, of 12, or one for all."""
    found = {}
    for name in ("mean", "std"):
        value = None if stored is None else stored.get(name)
        try:
            array = np.asarray(value, dtype=np.float64).ravel()
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.size == 1:
            array = np.repeat(array, len(config.leads))
        leads = config.leads if array.size == len(config.leads) else STANDARD_12
        if array.size != len(leads) or not np.isfinite(array).all():
            raise CheckpointError(
                f"expected the {name} of {len(config.leads)} or 12 leads in the file, got "
                f"{array.size} numbers: pass --constants ptb-xl or record-lead"
            )
        found[name] = (leads, tuple(array.tolist()))
    (leads, mean), (others, std) = found["mean"], found["std"]
    if leads != others or min(std) <= 0:
        raise CheckpointError(
            "expected mean and std of the same leads, and std above 0: pass --constants ptb-xl or "
            "record-lead"
        )
    return ECGPreprocess.paper(
        LeadStats(tuple(leads), mean, std), leads=config.leads, rate_hz=config.rate_hz
    )


def _seconds(settings: dict[str, Any], name: str, default: float) -> float:
    value = settings.get(name)
    if isinstance(value, int | float) and np.isfinite(value) and value > 0:
        return float(value)
    return default
