"""Recipes: a model, how it is pretrained, and how its input is made, under one name.

`paper-xs`, `paper-s`, `paper-b` hold the published numbers; `small` is ours, for a few thousand
records and minutes on two CPU cores. The fine-tuning recipes are the published ones.

References
----------
Weimann & Conrad 2024, arXiv:2410.13867, and the settings of its code (MIT licence).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from biojepa.data.leads import INDEPENDENT_8
from biojepa.ecg.config import SIZES, ECGModelConfig
from biojepa.ecg.heads import Head
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError

# Each sample first draws a dataset by these, then a record with replacement.
PAPER_DATASETS: Mapping[str, float] = MappingProxyType(
    {
        "mimic-iv-ecg": 0.7,
        "code-15": 0.1,
        "ptb-xl": 0.05,
        "georgia": 0.0375,
        "ningbo": 0.028125,
        "cpsc": 0.025,
        "ptb": 0.01875,
        "st-petersburg": 0.01875,
        "cpsc-extra": 0.0125,
        "chapman-shaoxing": 0.009375,
    }
)


@dataclass(frozen=True)
class Recipe:
    """Everything that pretraining needs besides records.

    Parameters
    ----------
    name : str
    model : ECGModelConfig
        Architecture, masks and targets.
    train : TrainConfig
        Steps, batch and optimiser.
    preprocess : ECGPreprocess or None
        None: the published pipeline, which needs the constants of each dataset.
    datasets : mapping of str to float
        Published sampling weights by dataset; empty for one's own records.
    """

    name: str
    model: ECGModelConfig
    train: TrainConfig
    preprocess: ECGPreprocess | None
    datasets: Mapping[str, float]

    def make_preprocess(self, stats: LeadStats | None = None) -> ECGPreprocess:
        """The way from raw millivolts to the model's input.

        Parameters
        ----------
        stats : LeadStats, optional
            Constants of the dataset, for the published recipes.

        Raises
        ------
        ConfigError
            If they are needed and not given.
        """
        if self.preprocess is not None:
            return self.preprocess
        if stats is None:
            raise ConfigError(
                f"recipe {self.name!r} normalises with the mean and std of each lead of the "
                "dataset: pass stats=LeadStats(...), or take recipe 'small', which needs none"
            )
        return ECGPreprocess.paper(stats, leads=self.model.leads, rate_hz=self.model.rate_hz)


def _paper(size: str, *, batch_size: int = 2048, accumulate: int = 1) -> Recipe:
    train = TrainConfig(
        steps=100_000,
        batch_size=batch_size,
        accumulate=accumulate,
        lr=1e-3,
        warmup_lr=1e-6,
        final_lr=1e-6,
        warmup_steps=10_000,
        weight_decay=0.01,
        final_weight_decay=0.1,
        beta1=0.9,
        beta2=0.99,
        eps=1e-6,
        clip=0.0,
        diagnose_every=1000,
        checkpoint_every=10_000,
    )
    model = ECGModelConfig.from_config(SIZES[size])  # all other defaults are the published ones
    return Recipe(f"paper-{size}", model, train, None, PAPER_DATASETS)


# ours: what it reaches is what `python -m biojepa.ecg.small_budget` wrote to results/, no more
_SMALL_MODEL = ECGModelConfig(
    leads=INDEPENDENT_8,
    rate_hz=100.0,
    n_times=900,  # 9 s: in 10 s, room for another phase of the patch grid, and for the stretch
    patch=20,  # 200 ms: 45 tokens
    dim=128,
    depth=6,
    heads=4,
    pred_dim=64,
    pred_depth=4,
    pred_heads=4,
    keep=(0.4, 0.6),
    min_block=5,  # 1 s, about a heart beat; not tuned
    mask_recipe="paper",
    momentum_start=0.99,
    momentum_end=0.9995,
    momentum_update="after",
    momentum_per="step",
    target_norm="layernorm",
    regulariser="vicreg",
    regulariser_weight=0.25,
    record_weight=2.0,
    time_stretch=0.1,
    gain_jitter=0.1,
    noise_jitter=0.05,
    downstream="context",  # the momentum copy is still behind when a short run ends
    # 0.02 is made for widths of several hundred: here positions would outweigh the signal
    init_std=0.04,
)
_SMALL_TRAIN = TrainConfig(
    steps=2400,
    batch_size=64,
    lr=1e-3,
    warmup_lr=1e-6,
    final_lr=1e-6,
    warmup_steps=120,
    weight_decay=0.05,
    clip=1.0,
    precision="bf16-mixed",
    diagnose_every=100,
    checkpoint_every=200,
)

# ours: seconds on any machine, to try things out and to test; its features are worth little
_TINY = Recipe(
    "tiny",
    replace(
        _SMALL_MODEL,
        n_times=1000,
        time_stretch=0.0,
        dim=32,
        depth=2,
        heads=2,
        pred_dim=16,
        pred_depth=1,
        pred_heads=2,
    ),
    replace(
        _SMALL_TRAIN,
        steps=20,
        warmup_steps=2,
        batch_size=16,
        precision="32-true",
        diagnose_every=10,
        log_every=5,
    ),
    ECGPreprocess(),
    MappingProxyType({}),
)
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            _paper("xs"),
            _paper("s"),
            _paper("b", batch_size=1024, accumulate=2),  # 512 a micro-batch
            Recipe("small", _SMALL_MODEL, _SMALL_TRAIN, ECGPreprocess(), MappingProxyType({})),
            _TINY,
        )
    }
)


@dataclass(frozen=True)
class FinetuneRecipe:
    """How a classifier is trained on an encoder.

    Parameters
    ----------
    name : str
    head : {"attentive", "register", "mean"}
    frozen : bool
        Train the head only.
    train : TrainConfig
    dropout : float
        Of the encoder.
    patience : int
        Steps without a better validation score before stopping.
    evaluate_every : int
        Steps between validations.
    crop_s, stride_s : float
        Random crops of this length in training; at test the logits of crops at this stride are
        averaged. Seconds.
    """

    name: str
    head: Head
    frozen: bool
    train: TrainConfig
    dropout: float
    patience: int
    evaluate_every: int = 100
    crop_s: float = 2.5
    stride_s: float = 1.25


# no eps is published for fine-tuning: that of torch
_TUNE = TrainConfig(batch_size=128, beta2=0.999, eps=1e-8, clip=1.0, diagnose_every=0)

FINETUNE_RECIPES: Mapping[str, FinetuneRecipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            FinetuneRecipe(
                "linear",
                head="attentive",
                frozen=True,
                train=replace(
                    _TUNE, steps=5000, lr=1e-3, final_lr=1e-3, warmup_steps=0, weight_decay=0.1
                ),
                dropout=0.0,
                patience=5000,
            ),
            FinetuneRecipe(
                "finetune_after_linear",
                head="attentive",
                frozen=False,
                train=replace(
                    _TUNE, steps=5000, lr=1e-4, final_lr=1e-6, warmup_steps=200, weight_decay=0.0
                ),
                dropout=0.1,
                patience=2000,
            ),
            FinetuneRecipe(
                "finetune",
                head="register",
                frozen=False,
                train=replace(
                    _TUNE,
                    steps=10_000,
                    lr=1e-3,
                    final_lr=1e-5,
                    warmup_steps=200,
                    weight_decay=0.01,
                    beta2=0.99,
                    clip=0.0,
                ),
                dropout=0.05,
                patience=2000,
            ),
        )
    }
)


def get_recipe(name: str) -> Recipe:
    """The pretraining recipe of this name.

    Raises
    ------
    ConfigError
        If there is none; the nearest name is given.
    """
    if name not in RECIPES:
        raise ConfigError(_unknown(name, RECIPES))
    return RECIPES[name]


def get_finetune_recipe(name: str) -> FinetuneRecipe:
    """The fine-tuning recipe of this name.

    Raises
    ------
    ConfigError
        If there is none; the nearest name is given.
    """
    if name not in FINETUNE_RECIPES:
        raise ConfigError(_unknown(name, FINETUNE_RECIPES))
    return FINETUNE_RECIPES[name]


def _unknown(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown recipe {name!r}: {hint}known: {', '.join(known)}"
