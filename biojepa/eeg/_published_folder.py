"""Folders of braindecode's `SignalJEPA` as fitted models, which estimators can start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from biojepa.eeg import official
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.pretrain import Pretrained
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.files import read_json
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError


def is_published(path: Path) -> bool:
    """Whether a folder holds braindecode's settings of a network, in place of ours."""
    config = read_json(path / "config.json")
    return "format" not in config and "sfreq" in config


def read_published(path: Path) -> tuple[Pretrained, dict[str, Any]]:
    """Published weights with the published preprocessing, and how features are read off them.

    Raises
    ------
    CheckpointError
        If they are no Signal-JEPA, or a downstream network.
    """
    jepa = official.load(path)
    if not isinstance(jepa, MaskedJEPA):
        raise CheckpointError(
            f"{path}: expected the weights of pretraining, got a downstream network: read it with "
            "biojepa.eeg.official.load"
        )
    config: EEGModelConfig = jepa.encoder.config
    preprocess = replace(get_recipe("paper").preprocess, rate_hz=config.rate_hz)
    training = {
        "n_records": 0,
        "fingerprint": "",
        "ids": [],
        "source": "published weights: the file does not say what they have seen",
    }
    options = {"preset": "paper", "pool": "mean_std", "layer": [-1]}
    return Pretrained(jepa, config, preprocess, TrainResult(), training), options
