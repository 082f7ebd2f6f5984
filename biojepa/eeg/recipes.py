"""Recipes: a model, how it is pretrained, and how its input is made, under one name.

`paper` holds the published numbers where there are any (batch, steps, masks, averaged layers) and
for the optimiser, which is not published with them, those of the same authors' later code. `small`
is ours, for hours of EEG and minutes on two CPU cores; `tiny` is for trying things out.

References
----------
Guetschel, Moreau & Tangermann 2024, S-JEPA, arXiv:2403.11772, and its published settings.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from biojepa.eeg.config import EEGModelConfig, Position
from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """Everything that pretraining needs besides records.

    Parameters
    ----------
    name : str
    model : mapping
        Settings of `EEGModelConfig`; the channels are those of the data.
    train : TrainConfig
    preprocess : EEGPreprocess
    """

    name: str
    model: Mapping[str, Any]
    train: TrainConfig
    preprocess: EEGPreprocess

    def config(self, channels: Mapping[str, Position]) -> EEGModelConfig:
        """The model for these channels."""
        return EEGModelConfig(tuple(channels), tuple(channels.values()), **self.model)


_PAPER_TRAIN = TrainConfig(
    steps=500_000,
    batch_size=32,
    lr=2e-4,  # this and the rest: of the authors' later code
    warmup_lr=1e-6,
    final_lr=1e-6,
    warmup_steps=10_000,
    weight_decay=0.01,
    beta1=0.9,
    beta2=0.98,
    eps=1e-6,
    diagnose_every=1000,
    checkpoint_every=10_000,
)

# ours: what it reaches is what `python -m biojepa.eeg.small_model` wrote to results/, no more. 4
# tokens a channel; no dropout, narrow layers and 2 heads for the speed on a CPU; blocks that also
# cover several channels of a 10-20 cap
_SMALL_MODEL: dict[str, Any] = {
    "n_times": 536,
    "depth": 2,
    "heads": 2,
    "pred_depth": 1,
    "hidden": 256,
    "dropout": 0.0,
    "masks": "space-time",
    "radius": 0.8,  # of masks="paper"
    "momentum_start": 0.99,
    "momentum_end": 0.9995,
    "target_norm": "layernorm",
    "regulariser": "vicreg",
    "regulariser_weight": 0.25,
    "downstream": "context",  # the momentum copy is still behind when a short run ends
}
_SMALL_TRAIN = TrainConfig(
    steps=300,
    batch_size=32,
    lr=1e-3,
    warmup_lr=1e-6,
    final_lr=1e-6,
    warmup_steps=30,
    weight_decay=0.01,
    clip=1.0,
    precision="bf16-mixed",
    diagnose_every=100,
    checkpoint_every=200,
)
_TINY_MODEL = _SMALL_MODEL | {
    "n_times": 280,
    "conv": ((8, 32, 8), (16, 2, 2), (16, 2, 2), (32, 2, 2), (32, 2, 2)),
    "spat_dim": 12,
    "time_dim": 20,
    "dim": 32,
    "hidden": 64,
}
_TINY_TRAIN = replace(
    _SMALL_TRAIN,
    steps=20,
    warmup_steps=2,
    batch_size=16,
    precision="32-true",
    diagnose_every=10,
    log_every=5,
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe("paper", {"target_layers": 4}, _PAPER_TRAIN, EEGPreprocess()),
            Recipe("small", MappingProxyType(_SMALL_MODEL), _SMALL_TRAIN, EEGPreprocess()),
            Recipe("tiny", MappingProxyType(_TINY_MODEL), _TINY_TRAIN, EEGPreprocess()),
        )
    }
)


def get_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises
    ------
    ConfigError
        If there is none; the nearest name is given.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(str(name), RECIPES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"unknown recipe {name!r}: {hint}known: {', '.join(RECIPES)}")
    return RECIPES[name]
