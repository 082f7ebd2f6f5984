from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from biojepa.data.leads import STANDARD_12
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.model import build_jepa
from biojepa.ecg.recipes import (
    FINETUNE_RECIPES,
    PAPER_DATASETS,
    RECIPES,
    get_finetune_recipe,
    get_recipe,
)
from biojepa.engine.signals import Signals
from biojepa.engine.step import StepInfo
from biojepa.engine.train import train
from biojepa.errors import ConfigError
from tests.ecg.published import reference


@pytest.mark.parametrize("name", ["paper-xs", "paper-s", "paper-b"])
def test_the_paper_recipes_follow_the_published_schedules(name):
    arrays, recipe = reference("schedules"), get_recipe(name)
    config = replace(recipe.train, accumulate=1)
    with torch.device("meta"):
        jepa = build_jepa(recipe.model)
    momentum = jepa.momentum_copies()["target_encoder"]
    steps = arrays["pretrain_steps"].tolist()
    rates = [
        (
            config.lr_at(step),
            config.weight_decay_at(step),
            momentum.momentum(StepInfo(step, config.steps, 1)),
        )
        for step in steps
        if step < config.steps
    ]
    wanted = arrays["pretrain_lr_wd_momentum"][: len(rates)]
    np.testing.assert_allclose(rates, wanted, atol=1e-9, rtol=0)


def test_fine_tuning_after_linear_follows_the_published_schedule():
    arrays, config = reference("schedules"), get_finetune_recipe("finetune_after_linear").train
    rates = [config.lr_at(step) for step in arrays["finetune_after_linear_steps"].tolist()]
    np.testing.assert_allclose(rates, arrays["finetune_after_linear_lr"], atol=1e-9, rtol=0)


def test_the_largest_paper_model_moves_its_target_twice_a_step():
    recipe = get_recipe("paper-b")
    assert (recipe.train.batch_size, recipe.train.accumulate) == (1024, 2)
    with torch.device("meta"):
        copy = build_jepa(recipe.model).momentum_copies()["target_encoder"]
    half = StepInfo(50_000, 100_000, 1, micro=0, accumulate=2)
    assert (copy.update, copy.per) == ("before", "forward")
    assert copy.momentum(half) == pytest.approx(0.9995, abs=1e-12)  # at its end after half


def test_dataset_weights_sum_to_one():
    assert len(PAPER_DATASETS) == 10
    assert sum(PAPER_DATASETS.values()) == 1.0


def test_paper_masks_keep_31_to_50_of_200_tokens():
    sampler = get_recipe("paper-xs").model.sampler()
    kept = {sampler(1, np.random.default_rng(i))[0].context.shape[1] for i in range(300)}
    assert (sampler.n_tokens, min(kept), max(kept)) == (200, 31, 50)
    assert sampler.recipe == "paper"


def test_linear_probing_keeps_a_constant_rate_and_a_frozen_encoder():
    recipe = get_finetune_recipe("linear")
    assert {recipe.train.lr_at(step) for step in (0, 100, 4999)} == {1e-3}
    assert (recipe.head, recipe.frozen) == ("attentive", True)
    assert (recipe.train.weight_decay, recipe.train.clip, recipe.train.beta2) == (0.1, 1.0, 0.999)


def test_crops_of_fine_tuning_are_a_quarter_of_the_window():
    assert {(r.crop_s, r.stride_s) for r in FINETUNE_RECIPES.values()} == {(2.5, 1.25)}


def test_every_recipe_makes_the_input_that_its_model_expects():
    stats = LeadStats(STANDARD_12, (0.0,) * 12, (0.2,) * 12)
    for recipe in RECIPES.values():
        preprocess = recipe.make_preprocess(stats)
        assert preprocess.leads == recipe.model.leads
        assert preprocess.rate_hz == recipe.model.rate_hz


def test_a_paper_recipe_asks_for_the_constants_of_the_dataset():
    with pytest.raises(ConfigError, match="stats=LeadStats"):
        get_recipe("paper-s").make_preprocess()


@pytest.mark.parametrize("get", [get_recipe, get_finetune_recipe])
def test_an_unknown_recipe_names_the_known(get):
    with pytest.raises(ConfigError, match="known: "):
        get("large")


def test_a_mistyped_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        get_recipe("smal")


def test_a_few_steps_of_the_small_recipe_train_without_collapse():
    recipe = get_recipe("small")
    assert recipe.model.n_tokens == 45

    class Noise:
        def __len__(self):
            return 64

        def fetch(self, indices, key):
            draws = np.random.default_rng(0).standard_normal((64, 8, 900), dtype=np.float32)
            return Signals(torch.from_numpy(np.cumsum(draws, axis=2)[indices] / 30))

    config = replace(
        recipe.train, steps=6, batch_size=16, warmup_steps=1, log_every=1, diagnose_every=6
    )
    config = replace(config, diagnose_records=32, device="cpu")
    rows = train(build_jepa(recipe.model), Noise(), config, progress=False).rows
    losses = [row["loss"] for row in rows]
    assert losses[-1] < losses[0]
    assert all(np.isfinite(losses))
    assert rows[-1]["rankme"] > 2
