"""Blocks of electrodes: the published sets, both readings, and blocks in space and time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from biojepa.data.montage import HEAD_RADII_PER_METRE, standard_xyz
from biojepa.eeg.masking import (
    SCALP_M2,
    SpaceTimeBlocks,
    SpatialBlocks,
    distances,
    spatial_blocks,
)
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, LeadError
from tests.eeg.published import TEN_TWENTY, needs_eeg
from tests.eeg.published import spatial_blocks as published

pytestmark = needs_eeg
MONTAGES = ("lee62", "ten20_19")


@pytest.mark.parametrize("montage", MONTAGES)
@pytest.mark.parametrize("radius", [0.4, 0.6, 0.8, 1.0])
def test_every_block_is_the_published_one(montage, radius):
    reference = published()["montages"][montage]
    found = spatial_blocks(reference["channels"], radius)
    wanted = reference["blocks"][str(radius)]
    assert {k: set(v) for k, v in found.items()} == {k: set(v) for k, v in wanted.items()}
    sizes = [len(block) for block in found.values()]
    assert np.mean(sizes) == pytest.approx(reference["stats"][str(radius)]["mean"], abs=1e-2)


def test_the_names_of_a_block_are_spelt_as_they_came():
    blocks = spatial_blocks(["cz", "C1", "FZ"], 0.4)
    assert blocks["cz"] == ["cz", "C1"]


def test_blocks_of_a_montage_with_an_unknown_channel_are_an_error():
    with pytest.raises(LeadError, match="Fp1-F7"):
        spatial_blocks(["Cz", "Fp1-F7"], 0.6)
    with pytest.raises(ConfigError, match="radius"):
        spatial_blocks(["Cz"], 0.0)


@pytest.fixture
def xyz() -> np.ndarray:
    return standard_xyz(published()["montages"]["lee62"]["channels"])


def channels_of(index: torch.Tensor, valid: torch.Tensor | None, steps: int) -> list[set[int]]:
    """Channels whose tokens stand in each row; every one of them with all its steps."""
    found = []
    for i, row in enumerate(index):
        own = row if valid is None else row[valid[i]]
        channels = (own // steps).tolist()
        assert sorted(own.tolist()) == [
            c * steps + s for c in sorted(set(channels)) for s in range(steps)
        ]
        found.append(set(channels))
    return found


def test_the_paper_reading_sees_all_that_is_not_masked_and_predicts_all_that_is(xyz):
    sampler = SpatialBlocks(xyz, 4, radius=0.6)
    (plan,) = sampler(32, np.random.default_rng(0))
    seen = channels_of(plan.context, plan.context_valid, 4)
    hidden = channels_of(plan.targets[0], plan.valid_targets(0), 4)
    blocks = [set(np.flatnonzero(row)) for row in sampler.blocks()]
    for context, target in zip(seen, hidden, strict=True):
        assert context | target == set(range(62))
        assert not context & target
        assert target in blocks
    assert len({frozenset(target) for target in hidden}) > 10  # a centre a record


def test_the_share_that_is_masked_is_that_of_the_published_sets(xyz):
    for radius, share in ((0.4, 3.774), (0.6, 7.097), (0.8, 12.226)):
        sizes = SpatialBlocks(xyz, 1, radius=radius).blocks().sum(axis=1)
        assert sizes.mean() == pytest.approx(share, abs=1e-3)


def test_the_furthest_channels_are_never_masked():
    xyz = standard_xyz(TEN_TWENTY)
    between = distances(xyz)
    sampler = SpatialBlocks(xyz, 1, radius=5.0, min_unmasked=8)
    for centre, block in enumerate(sampler.blocks()):
        furthest = np.argsort(between[centre], kind="stable")[-8:]
        assert not block[furthest].any()
        assert block.sum() == 11
    for few in (2, 3, 8):
        blocks = SpatialBlocks(xyz[:few], 1, radius=5.0, min_unmasked=8).blocks()
        assert ((blocks.sum(1) >= 1) & (blocks.sum(1) < few)).all()
    assert (SpatialBlocks(xyz, 1, radius=5.0, min_unmasked=0).blocks().sum(1) == 18).all()


def test_the_config_reading_has_eight_contexts_of_eight_with_two_targets_of_eight(xyz):
    sampler = SpatialBlocks(xyz, 3, radius=0.8, reading="config")
    plans = sampler(16, np.random.default_rng(1))
    assert len(plans) == 8
    blocks = sampler.blocks()
    for plan in plans:
        seen = channels_of(plan.context, None, 3)
        targets = [channels_of(t, None, 3) for t in plan.targets]
        assert plan.context_valid is None
        for row, context in enumerate(seen):
            pair = [t[row] for t in targets]
            assert len(context) == len(pair[0]) == len(pair[1]) == 8
            assert not context & (pair[0] | pair[1])
            # some block holds both targets as far as it reaches, and none of the context
            assert any(
                all(set(np.flatnonzero(b)) <= t or t <= set(np.flatnonzero(b)) for t in pair)
                and not context & set(np.flatnonzero(b))
                for b in blocks
            )


def test_fixed_sets_shrink_on_small_caps():
    sampler = SpatialBlocks(standard_xyz(TEN_TWENTY[:6]), 2, radius=0.8, reading="config")
    plan = sampler(5, np.random.default_rng(0))[0]
    assert plan.context.shape == (5, 3 * 2)
    assert [t.shape for t in plan.targets] == [(5, 3 * 2)] * 2


@pytest.mark.parametrize("reading", ["paper", "config"])
def test_a_share_of_the_batch_gets_the_draws_of_the_whole(xyz, reading):
    sampler = SpatialBlocks(xyz, 2, reading=reading)
    whole = sampler(12, np.random.default_rng(3))
    rows = np.array([1, 4, 7])
    for mine, all_of in zip(sampler(12, np.random.default_rng(3), rows=rows), whole, strict=True):
        got = channels_of(mine.targets[0], mine.valid_targets(0), 2)
        wanted = channels_of(all_of.targets[0], all_of.valid_targets(0), 2)
        assert got == [wanted[i] for i in rows]


def test_a_single_channel_has_half_of_its_time_masked():
    sampler = SpatialBlocks(np.zeros((1, 3)), 5)
    (plan,) = sampler(64, np.random.default_rng(0))
    assert plan.context.shape == (64, 3)
    assert plan.targets[0].shape == (64, 2)
    assert (plan.targets[0].diff(dim=1) == 1).all()
    assert set(plan.targets[0].flatten().tolist()) == set(range(5))
    with pytest.raises(ConfigError, match="two tokens"):
        SpatialBlocks(np.zeros((1, 3)), 1)


def test_a_sampler_follows_the_channels_and_the_length_of_a_batch(xyz):
    sampler = SpatialBlocks(xyz, 4, radius=0.8)
    eight = torch.from_numpy(xyz[:8]).float()
    x = Signals(torch.zeros(3, 8, 152 + 128), positions=eight)
    (plan,) = sampler.for_signals(x)(3, np.random.default_rng(0))
    n_seen = plan.context.shape[1] if plan.context_valid is None else plan.context_valid.sum(1)[0]
    n_hidden = (
        plan.targets[0].shape[1] if plan.target_valid is None else plan.target_valid[0].sum(1)[0]
    )
    assert int(n_seen) + int(n_hidden) == 8 * 2


@pytest.mark.parametrize("radius_m", [0.0, 0.06, 0.09, 0.12, math.inf])
def test_the_number_of_space_time_blocks_reaches_the_ratio(xyz, radius_m):
    sampler = SpaceTimeBlocks(xyz, 16, radius_m=radius_m, patches=2, mask_ratio=0.55)
    share = {0.0: 1 / 62, math.inf: 1.0}.get(radius_m, math.pi * radius_m**2 / SCALP_M2)
    share *= 2 / 16
    wanted = math.ceil(math.log(0.45) / math.log(1 - share))
    assert sampler.n_blocks() == wanted


def test_space_time_blocks_mask_about_their_ratio_in_pieces_of_their_length(xyz):
    sampler = SpaceTimeBlocks(xyz, 16, radius_m=0.09, patches=2)
    (plan,) = sampler(64, np.random.default_rng(0))
    masked = np.zeros((64, 62 * 16), dtype=bool)
    valid = plan.valid_targets(0)
    for row in range(64):
        masked[row, plan.targets[0][row][valid[row]].numpy()] = True
    assert 0.4 < masked.mean() < 0.7
    masked = np.pad(masked.reshape(64, 62, 16), ((0, 0), (0, 0), (1, 1)))
    alone = masked[..., 1:-1] & ~masked[..., 2:] & ~masked[..., :-2]
    assert not alone.any()


def test_space_time_blocks_always_leave_something_to_see(xyz):
    sampler = SpaceTimeBlocks(xyz[:4], 2, radius_m=math.inf, patches=2)
    (plan,) = sampler(8, np.random.default_rng(0))
    assert plan.context.shape == (8, 2)
    (plan,) = SpaceTimeBlocks(xyz[:1], 4, patches=4)(8, np.random.default_rng(0))
    assert plan.context.shape == (8, 2)


@pytest.mark.parametrize(
    "options", [{"radius_m": -1.0}, {"patches": 0}, {"mask_ratio": 1.0}, {"radius_m": math.nan}]
)
def test_impossible_space_time_blocks_are_refused(xyz, options):
    with pytest.raises(ConfigError):
        SpaceTimeBlocks(xyz, 4, **options)


def test_impossible_blocks_are_refused(xyz):
    for options in ({"radius": 0.0}, {"reading": "other"}, {"min_unmasked": -1}):
        with pytest.raises(ConfigError):
            SpatialBlocks(xyz, 4, **options)
    with pytest.raises(ConfigError, match="positions"):
        SpatialBlocks(xyz[0], 4)


def test_one_head_radius_is_the_pinned_number():
    cz_pz = distances(standard_xyz(["Cz", "Pz"]))[0, 1]
    assert cz_pz * HEAD_RADII_PER_METRE == pytest.approx(0.7638, abs=1e-3)
