"""Spatiotemporal masks: the published statistics, and what the corrected procedure promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from biojepa.engine.signals import MaskPlan, Signals
from biojepa.errors import ConfigError
from biojepa.fmri.masking import REGIONS, SpatioTemporalSampler, mask_map
from tests.conftest import PARITY

BANDS = {"0-50": (0, 50), "50-150": (50, 150), "150-250": (150, 250), "250-350": (250, 350)}
BANDS |= {"350-450": (350, 450)}
DRAWS = 200


def draw(sampler: SpatioTemporalSampler, batch: int, draws: int, seed: int = 0) -> list[MaskPlan]:
    rng = np.random.default_rng(seed)
    return [sampler(batch, rng)[0] for _ in range(draws)]


def shares(plans: list[MaskPlan], n_tokens: int = 4500) -> tuple[np.ndarray, np.ndarray]:
    """Per draw, the share of samples in which a token is context, and target."""
    context, target = (np.zeros((len(plans), n_tokens)) for _ in range(2))
    for row, (seen, asked) in enumerate((p.context.numpy(), p.targets[0].numpy()) for p in plans):
        np.add.at(context[row], seen.ravel(), 1 / len(seen))
        for sample in asked:
            target[row, np.unique(sample)] += 1 / len(asked)
    return context, target


@pytest.fixture(scope="module")
def published() -> dict:
    return json.loads((PARITY / "fmri" / "mask_stats_official.json").read_text())


@pytest.fixture(scope="module")
def paper() -> dict[int, list[MaskPlan]]:
    sampler = SpatioTemporalSampler(recipe="paper")
    return {1: draw(sampler, 1, 2 * DRAWS), 16: draw(sampler, 16, DRAWS)}


@pytest.fixture(scope="module")
def corrected() -> list[MaskPlan]:
    return draw(SpatioTemporalSampler(), 16, 300)


@pytest.mark.parametrize("batch", [1, 16])
def test_the_paper_recipe_has_the_published_sizes(published, paper, batch) -> None:
    stats = published["results"][f"yaml_B{batch}"]
    plans = paper[batch]
    own = {
        "n_enc": [p.context.shape[1] for p in plans],
        "n_pred": [p.targets[0].shape[1] for p in plans],
        "enc_rois": [len(np.unique(p.context[0] // 10)) for p in plans],
        "enc_times": [len(np.unique(p.context[0] % 10)) for p in plans],
        "dup": [len(t := p.targets[0][0]) - len(np.unique(t)) for p in plans],
    }
    for name, values in own.items():
        theirs = stats[name]
        error = np.hypot(np.std(values) / len(plans) ** 0.5, theirs["sd"] / DRAWS**0.5)
        assert abs(np.mean(values) - theirs["mean"]) <= 3 * error, name


@pytest.mark.parametrize("batch", [1, 16])
def test_the_paper_recipe_has_the_published_bias_over_regions_and_time(
    published, paper, batch
) -> None:
    theirs = published["truncation_bias"][f"B{batch}"]
    for name, table in zip(("context", "target"), shares(paper[batch]), strict=True):
        grid = table.reshape(len(table), 450, 10)
        columns = {f"time {i}": grid[:, :, i].mean(axis=1) for i in range(10)}
        bands = {k: grid[:, a:b].mean(axis=(1, 2)) for k, (a, b) in BANDS.items()}
        given = dict(zip(columns, theirs[f"{name}_prob_by_time"], strict=True))
        given |= theirs[f"{name}_prob_by_roi_band"]
        for place, values in (columns | bands).items():
            spread = np.std(values)
            error = spread * np.hypot(len(values) ** -0.5, DRAWS**-0.5)  # both are samples
            assert abs(values.mean() - given[place]) <= 3 * error + 1e-9, (name, place)


def test_in_the_paper_recipe_the_last_time_is_never_seen_and_targets_repeat(paper) -> None:
    assert all((p.context % 10).max() < 9 for p in paper[1])
    repeated = [len(np.unique(p.targets[0])) < p.targets[0].numel() for p in paper[1]]
    assert 0.35 < np.mean(repeated) < 0.6  # published: 47 %


def test_by_default_every_band_of_regions_is_context_equally_often(corrected) -> None:
    context, _ = shares(corrected)
    by_band = [context[:, a * 10 : b * 10].mean() for a, b in BANDS.values()]
    np.testing.assert_allclose(by_band, np.mean(by_band), rtol=0.1)


def test_by_default_every_time_is_reached_and_both_ends_equally_often(corrected) -> None:
    for table in shares(corrected):
        by_time = table.reshape(len(table), 450, 10).mean(axis=1)
        assert (by_time.mean(axis=0) > 0.02).all()
        for i in range(5):
            difference = by_time[:, i] - by_time[:, 9 - i]
            error = difference.std() / len(difference) ** 0.5
            assert abs(difference.mean()) <= 3 * error, i


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_no_target_is_seen(recipe, paper, corrected) -> None:
    for plan in paper[16] if recipe == "paper" else corrected:
        for seen, asked in zip(plan.context.numpy(), plan.targets[0].numpy(), strict=True):
            assert not np.isin(asked, seen).any()
            assert len(np.unique(seen)) == len(seen)
            if recipe == "default":
                assert len(np.unique(asked)) == len(asked)


def test_by_default_all_three_kinds_are_asked_and_the_names_are_true(corrected) -> None:
    counts = np.zeros(len(REGIONS))
    for plan in corrected[:50]:
        grid = mask_map(plan, n_regions=450, n_times=10)
        counts += np.bincount(grid.ravel(), minlength=len(REGIONS))
        context = grid == REGIONS.index("context")
        regions, times = context.any(axis=1), context.any(axis=0)
        double = grid == REGIONS.index("double-cross")
        assert not double[regions].any()  # strictly unseen in region and in time
        assert not double[:, times].any()
        assert not (grid == REGIONS.index("cross-ROI"))[regions].any()
        assert not (grid == REGIONS.index("cross-time"))[:, times].any()
    assert (counts > 0).all()


GRIDS = [(1, 2), (2, 1), (1, 3), (2, 2), (3, 1), (5, 2), (1, 10), (7, 3), (24, 5), (116, 10)]
CASES = [(*grid, "default") for grid in GRIDS] + [(*grid, "paper") for grid in GRIDS[-2:]]


@pytest.mark.parametrize(("n_regions", "n_times", "recipe"), CASES)
def test_any_number_of_regions_and_times_leaves_something_to_see_and_to_ask(
    n_regions, n_times, recipe
) -> None:
    sampler = SpatioTemporalSampler(n_regions, n_times, recipe=recipe)
    for plan in draw(sampler, 3, 40):
        assert plan.context.shape[1] >= 1
        assert plan.targets[0].shape[1] >= 1
        for tokens in (plan.context, plan.targets[0]):
            assert 0 <= int(tokens.min()) <= int(tokens.max()) < n_regions * n_times


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_a_rank_gets_its_rows_of_the_same_draw(recipe) -> None:
    sampler = SpatioTemporalSampler(30, 10, recipe=recipe)
    (whole,) = sampler(6, np.random.default_rng(3))
    (part,) = sampler(6, np.random.default_rng(3), rows=np.array([1, 4]))
    assert torch.equal(part.context, whole.context[[1, 4]])
    assert torch.equal(part.targets[0], whole.targets[0][[1, 4]])


def test_the_sampler_follows_the_layout_of_the_batch() -> None:
    sampler = SpatioTemporalSampler(450, 10, patch=16)
    own = sampler.for_signals(Signals(torch.zeros(2, 94, 100)))
    assert (own.n_regions, own.n_times) == (94, 6)
    assert own.observe == sampler.observe


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"recipe": "papier"}, "expected recipe in"),
        ({"n_regions": 1, "n_times": 1}, "at least 2 tokens"),
        ({"observe": (0.9, 0.8)}, "observe"),
        ({"cross_time": (0.1, 1.2)}, "cross_time"),
    ],
)
def test_impossible_settings_are_refused(setting, message) -> None:
    with pytest.raises(ConfigError, match=message):
        SpatioTemporalSampler(**setting)


def test_the_settings_rebuild_the_sampler() -> None:
    sampler = SpatioTemporalSampler(20, 4, observe=(0.5, 0.9), recipe="paper")
    assert SpatioTemporalSampler(**json.loads(json.dumps(sampler.to_config()))).side == sampler.side


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_groups_are_the_kinds_of_targets(recipe) -> None:
    sampler = SpatioTemporalSampler(n_regions=40, n_times=10, recipe=recipe)
    (plan,) = sampler(6, np.random.default_rng(0))
    (groups,) = plan.groups
    for sample in range(6):
        grid = mask_map(plan, n_regions=40, n_times=10, sample=sample).ravel()
        named = np.array(["cross-ROI", "cross-time", "double-cross"])[groups[sample]]
        assert np.array_equal(np.array(REGIONS)[grid[plan.targets[0][sample]]], named)
    assert set(groups.unique().tolist()) == {0, 1, 2}
    (share,) = sampler(6, np.random.default_rng(0), rows=np.array([4, 1]))
    assert share.groups[0].equal(groups[[4, 1]])
    assert plan.rows(slice(2, 3)).groups[0].equal(groups[2:3])
