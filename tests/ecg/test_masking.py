"""The block sampler: published draws, both recipes' statistics, rank slices, short inputs."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from biojepa.ecg.masking import BlockSampler
from biojepa.errors import ConfigError
from tests.conftest import PARITY


@pytest.fixture(scope="module")
def official() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ecg" / "masks_official.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def kept_mask(plan, n_tokens: int) -> np.ndarray:
    kept = np.zeros((len(plan.context), n_tokens), dtype=bool)
    np.put_along_axis(kept, plan.context.numpy(), True, axis=1)
    return kept


def run_lengths(mask: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def statistics(sampler: BlockSampler, n_masks: int, seed: int) -> dict[str, np.ndarray]:
    """Histograms as in the reference file; one mask a call, each with its own kept number."""
    rng = np.random.default_rng(seed)
    n = sampler.n_tokens
    runs = {"masked": np.zeros(n + 1, int), "context": np.zeros(n + 1, int)}
    numbers = {"masked": np.zeros(30, int), "context": np.zeros(30, int)}
    sizes = np.zeros(n + 1, int)
    kept_count = np.zeros(n)
    for _ in range(n_masks):
        kept = kept_mask(sampler(1, rng)[0], n)[0]
        kept_count += kept
        sizes[kept.sum()] += 1
        for name, mask in (("masked", ~kept), ("context", kept)):
            lengths = run_lengths(mask)
            numbers[name][len(lengths)] += 1
            np.add.at(runs[name], lengths, 1)
    return {
        "masked_runs_hist": runs["masked"],
        "context_runs_hist": runs["context"],
        "n_masked_runs_hist": numbers["masked"],
        "n_context_runs_hist": numbers["context"],
        "n_context_hist": sizes,
        "keep_prob_by_position": kept_count / n_masks,
    }


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    return 0.5 * float(np.abs(a / a.sum() - b / b.sum()).sum())


def test_the_published_masks_are_reproduced_bit_for_bit(official):
    rng = np.random.RandomState(0)
    sampler = BlockSampler(recipe="paper")
    expected = np.unpackbits(official["masks_seed0"], axis=1)[:, :200].astype(bool)
    for row, n_kept in zip(expected, official["num_keep_seed0"], strict=True):
        (plan,) = sampler(1, rng)
        assert plan.context.shape == (1, n_kept)
        np.testing.assert_array_equal(kept_mask(plan, 200)[0], row)


def test_the_published_batch_is_reproduced_bit_for_bit(official):
    (plan,) = BlockSampler(recipe="paper")(8, np.random.RandomState(7))
    np.testing.assert_array_equal(plan.context, official["batch_seed7_mask_encoder"])
    np.testing.assert_array_equal(plan.targets[0], official["batch_seed7_mask_predictor"])


def test_paper_recipe_has_the_published_distribution_with_a_modern_generator(official):
    found = statistics(BlockSampler(recipe="paper"), 20_000, seed=3)
    for name in found:
        if name.endswith("hist"):
            distance = total_variation(found[name], official[f"seed1_20000/{name}"])
            assert distance < 0.03, f"{name}: total variation {distance:.3f}"
    reference = official["seed1_20000/keep_prob_by_position"]
    assert np.abs(found["keep_prob_by_position"] - reference).max() < 0.015
    assert found["masked_runs_hist"][:10].sum() == 0
    sizes = np.flatnonzero(found["n_context_hist"])
    assert (sizes[0], sizes[-1]) == (31, 50)


def test_default_recipe_keeps_every_position_equally_often():
    found = statistics(BlockSampler(), 20_000, seed=0)["keep_prob_by_position"]
    mean = found.mean()
    standard_error = np.sqrt(mean * (1 - mean) / 20_000)
    assert np.abs(found - mean).max() < 3 * standard_error


@pytest.mark.parametrize("keep", [(0.15, 0.25), (0.4, 0.6)])
def test_default_recipe_masks_blocks_of_the_minimum_length_on_the_circle(keep):
    sampler = BlockSampler(60, keep=keep, min_block=7)
    kept = kept_mask(sampler(500, np.random.default_rng(0))[0], 60)
    cut = 0
    for row in kept:
        inner = run_lengths(~np.roll(row, -int(np.flatnonzero(row)[0])))
        assert min(inner) >= 7
        cut += min(run_lengths(~row)) < 7
    assert cut > 0, "a block that crosses the seam is cut: the docstring says so"


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_context_and_target_are_sorted_and_share_out_all_tokens(recipe):
    (plan,) = BlockSampler(50, recipe=recipe)(32, np.random.default_rng(0))
    (target,) = plan.targets
    assert plan.context.dtype == target.dtype == torch.int64
    assert (plan.context.diff(dim=1) > 0).all()
    assert (target.diff(dim=1) > 0).all()
    both = torch.cat([plan.context, target], dim=1).sort(dim=1).values
    torch.testing.assert_close(both, torch.arange(50).expand(32, 50))


@pytest.mark.parametrize("recipe", ["default", "paper"])
@pytest.mark.parametrize("legacy", [False, True])
def test_rank_slices_are_rows_of_the_global_batch(recipe, legacy):
    def rng():
        return np.random.RandomState(5) if legacy else np.random.default_rng(5)

    sampler = BlockSampler(recipe=recipe)
    (whole,) = sampler(12, rng())
    rows = np.array([1, 4, 11])
    used = rng()
    (part,) = sampler(12, used, rows=rows)
    assert torch.equal(part.context, whole.context[rows])
    assert torch.equal(part.targets[0], whole.targets[0][rows])
    other = rng()
    sampler(12, other)
    assert used.random() == other.random(), "the stream moves on alike on every rank"


def test_the_number_kept_is_shared_by_the_batch_and_drawn_anew():
    sampler, rng = BlockSampler(), np.random.default_rng(0)
    sizes = {sampler(4, rng)[0].context.shape[1] for _ in range(200)}
    assert sizes <= set(range(31, 51))
    assert len(sizes) > 15


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state(legacy=True)  # noqa: NPY002
    BlockSampler(recipe="paper")(4, np.random.RandomState(1))
    BlockSampler()(4, np.random.default_rng(1))
    after = np.random.get_state(legacy=True)  # noqa: NPY002
    assert before[2:] == after[2:]
    np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"n_tokens": 10}, "n_tokens=10"),
        ({"n_tokens": 1}, "n_tokens=1"),
        ({"n_tokens": 0}, "n_tokens=0"),
        ({"n_tokens": 50, "keep": (0.4, 0.9)}, "5 tokens"),
        ({"keep": (0.5, 0.99)}, "min_block=10"),
        ({"keep": (0.0, 0.2)}, r"\(0.0, 0.2\)"),
        ({"keep": (0.3, 1.0)}, r"\(0.3, 1.0\)"),
        ({"keep": (0.3, 0.2)}, r"\(0.3, 0.2\)"),
        ({"keep": (float("nan"), 0.2)}, "nan"),
        ({"min_block": 0}, "got 0"),
        ({"min_block": 151}, "min_block=151"),
        ({"recipe": "papre"}, "papre"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_numbers(settings, named):
    with pytest.raises(ConfigError, match=named):
        BlockSampler(**settings)


def test_the_tightest_allowed_settings_work():
    for recipe in ("default", "paper"):
        sampler = BlockSampler(200, min_block=150, recipe=recipe)
        (plan,) = sampler(16, np.random.default_rng(0))
        assert plan.targets[0].shape[1] >= 150


@pytest.mark.parametrize("recipe", ["default", "paper"])
@pytest.mark.parametrize("keep", [(0.15, 0.25), (0.4, 0.6), (0.05, 0.95)])
def test_short_records_leave_one_token_to_see_and_one_to_predict(recipe, keep):
    sampler = BlockSampler(200, keep=keep, recipe=recipe)
    for legacy in (False, True):
        rng = np.random.RandomState(0) if legacy else np.random.default_rng(0)
        for n_tokens in range(2, 40):
            (plan,) = sampler.for_tokens(n_tokens)(5, rng)
            n_context, n_target = plan.context.shape[1], plan.targets[0].shape[1]
            assert n_context >= 1
            assert n_target >= 1
            assert n_context + n_target == n_tokens


def test_another_token_count_keeps_the_settings_that_fit():
    sampler = BlockSampler(200)
    assert sampler.for_tokens(200) is sampler
    assert sampler.for_tokens(50).to_config() == BlockSampler(50).to_config()
    with pytest.raises(ConfigError, match="n_tokens=1"):
        sampler.for_tokens(1)


def test_a_fixed_share_keeps_exactly_that_many():
    (plan,) = BlockSampler(50, keep=(0.5, 0.5))(3, np.random.default_rng(0))
    assert plan.context.shape == (3, 25)


def test_settings_and_draws_survive_json_and_copying_to_a_worker():
    sampler = BlockSampler(50, keep=(0.4, 0.6), min_block=5, recipe="paper")
    from_json = BlockSampler(**json.loads(json.dumps(sampler.to_config())))
    copied = pickle.loads(pickle.dumps(sampler))
    expected = sampler(4, np.random.default_rng(2))[0].context
    for other in (from_json, copied):
        assert torch.equal(other(4, np.random.default_rng(2))[0].context, expected)
