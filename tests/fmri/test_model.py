"""Brain-JEPA's encoder, positions and assembly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from biojepa.engine.config import TrainConfig
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.train import train
from biojepa.errors import ConfigError, DataError
from biojepa.fmri.config import SIZES, BrainModelConfig
from biojepa.fmri.model import build_jepa, model_gradients
from biojepa.fmri.recipes import get_recipe

TINY = BrainModelConfig(
    n_regions=6,
    n_times=40,
    patch=8,
    n_gradients=3,
    dim=16,
    depth=2,
    heads=2,
    pred_dim=8,
    pred_depth=1,
    pred_heads=2,
    init_rescale=True,
)
GRADIENTS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def runs(n: int = 4, regions: int = 6, times: int = 40, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, regions, times, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def jepa():
    return build_jepa(TINY, gradients=GRADIENTS, seed=0).eval()


def test_a_token_holds_one_patch_of_one_region_in_order(jepa) -> None:
    values = runs(1)
    base = jepa.encoder.embed(Signals(values))
    changed = values.clone()
    changed[0, 4, 8:16] += 1.0  # region 4, second patch
    moved = (jepa.encoder.embed(Signals(changed)) - base).abs().sum(-1)[0] > 0
    assert moved.nonzero().ravel().tolist() == [4 * 5 + 1]


@pytest.mark.parametrize("size", ["s", "b", "l"])
def test_the_published_sizes_have_the_published_numbers_of_weights(size) -> None:
    config = BrainModelConfig.from_config(SIZES[size])
    with torch.device("meta"):
        from biojepa.fmri.model import BrainEncoder, build_predictor

        encoder, predictor = BrainEncoder(config), build_predictor(config)
    count = sum(p.numel() for p in encoder.parameters())
    table = config.n_tokens * config.dim // 2  # a fixed table that the published code counts
    expected = {"s": 22.17e6, "b": 86.81e6, "l": 307e6}[size]
    assert count + table == pytest.approx(expected, rel=1e-2)
    if size == "b":
        count = sum(p.numel() for p in predictor.parameters())
        assert count + table / 2 == pytest.approx(12.11e6, rel=1e-2)


def test_another_atlas_takes_its_own_gradients(jepa) -> None:
    other = torch.randn(9, 3, generator=torch.Generator().manual_seed(2))
    x = Signals(runs(2, 9), positions=other)
    assert jepa.encode(x).shape == (2, 45, 16)
    plan = jepa.collator().sampler.for_signals(x)(2, np.random.default_rng(0))[0]
    assert torch.isfinite(jepa.predict(x, plan).loss)
    again = Signals(runs(2), positions=model_gradients(jepa))
    assert torch.equal(jepa.encode(again), jepa.encode(Signals(runs(2))))


def test_the_wrong_number_of_regions_is_refused(jepa) -> None:
    with pytest.raises(DataError, match="6 regions"):
        jepa.encode(Signals(runs(2, 7)))
    with pytest.raises(DataError, match="at least one patch of 8 frames"):
        jepa.encode(Signals(runs(2, 6, 5)))
    with pytest.raises(DataError, match=r"shape \(6, 3\)"):
        build_jepa(TINY, gradients=GRADIENTS[:5])


def test_what_a_flat_region_holds_changes_nothing(jepa) -> None:
    values = runs(2)
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[0, 3] = False
    garbage = values.clone()
    garbage[0, 3] = float("nan")
    seen = jepa.encoder.token_valid(Signals(values, valid=valid))
    assert seen[0].view(6, 5).any(1).tolist() == [True, True, True, False, True, True]
    a, b = (jepa.encode(Signals(v, valid=valid)) for v in (values, garbage))
    assert torch.equal(a, b)
    plan = jepa.sampler(2, np.random.default_rng(0))[0]
    assert torch.isfinite(jepa.predict(Signals(garbage, valid=valid), plan).loss)


def test_padding_in_time_changes_no_other_token(jepa) -> None:
    values = runs(1)
    valid = torch.ones(1, 6, 40, dtype=torch.bool)
    valid[..., 24:] = False
    short = jepa.encode(Signals(values[..., :24])).view(6, 3, 16)
    padded = jepa.encode(Signals(values, valid=valid)).view(6, 5, 16)[:, :3]
    torch.testing.assert_close(padded, short, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["gradients", "learned", "none"])
def test_region_positions_tell_regions_apart_or_not(kind) -> None:
    config = replace(TINY, region_positions=kind)
    encoder = build_jepa(config, gradients=GRADIENTS).encoder
    table = encoder.positions(None, 30)[0].view(6, 5, 16).detach()
    assert torch.equal(table[0, :, :8], table[5, :, :8])  # the time half
    assert torch.equal(table[0, :, 8:], table[5, :, 8:]) == (kind == "none")
    assert torch.equal(table[2, 0, 8:], table[2, 4, 8:])


def test_learned_positions_serve_their_own_atlas_only() -> None:
    jepa = build_jepa(replace(TINY, region_positions="learned"), gradients=GRADIENTS)
    with pytest.raises(DataError, match="learned positions"):
        jepa.encode(Signals(runs(2, 9), positions=torch.zeros(9, 3)))


@pytest.mark.parametrize("flat", [False, True])
def test_a_few_targets_are_the_same_as_among_all_target_tokens(jepa, flat, monkeypatch) -> None:
    valid = torch.tensor([True, True, not flat, True, True, True]).expand(3, 6)
    x = Signals(runs(3), valid=valid if flat else None)
    seen, asked = torch.arange(6, 18).repeat(3, 1), torch.tensor([[0, 12, 29]] * 3)
    plan = MaskPlan(seen, (asked,))
    few = jepa.predict(x, plan)
    assert few.whole.shape[1] == 3
    monkeypatch.setattr("biojepa.engine.masked.few_targets", lambda *_: None)
    full = jepa.predict(x, plan)
    assert full.whole.shape[1] == 30
    torch.testing.assert_close(few.target[0][0], full.target[0][0], rtol=0, atol=1e-5)
    torch.testing.assert_close(few.loss, full.loss, rtol=0, atol=1e-6)


def test_it_trains_and_the_target_encoder_follows() -> None:
    class Runs:
        values = runs(16)

        def __len__(self):
            return len(self.values)

        def fetch(self, indices, key):
            return Signals(self.values[torch.from_numpy(indices)])

    jepa = build_jepa(replace(TINY, momentum_start=0.9), gradients=GRADIENTS)
    before = {k: v.clone() for k, v in jepa.target_encoder.state_dict().items()}
    result = train(
        jepa,
        Runs(),
        TrainConfig(steps=30, batch_size=8, warmup_steps=3, lr=2e-3, log_every=1, diagnose_every=0),
    )
    losses = [row["loss"] for row in result.rows]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    after = jepa.target_encoder.state_dict()
    assert not torch.equal(after["blocks.0.attn.qkv.weight"], before["blocks.0.attn.qkv.weight"])
    assert torch.equal(after["positions.gradients"], before["positions.gradients"])


def test_building_leaves_the_callers_random_state_alone() -> None:
    state = torch.random.get_rng_state()
    a, b = build_jepa(TINY, gradients=GRADIENTS), build_jepa(TINY, gradients=GRADIENTS)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"dim": 18}, "divisible by 4"),
        ({"n_times": 7}, "window of 2 to"),
        ({"n_regions": 0}, "n_regions >= 1"),
        ({"region_positions": "anatomy"}, "region_positions in"),
        ({"observe": (0.9, 0.1)}, "observe"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"target_layers": 3}, "target_layers"),
        ({"loss": "l3"}, "loss in"),
    ],
)
def test_impossible_settings_are_refused(setting, message) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **setting)


@pytest.mark.parametrize("value", [3, None, "ab", [0.1], [0.2, None]])
def test_ranges_of_a_file_that_are_none_are_refused_by_name(value) -> None:
    with pytest.raises(ConfigError, match="observe"):
        BrainModelConfig.from_config({"observe": value})


def test_the_config_survives_json_and_names_unknown_settings() -> None:
    assert BrainModelConfig.from_config(TINY.to_config()) == TINY
    with pytest.raises(ConfigError, match="did you mean 'n_regions'"):
        BrainModelConfig.from_config({"n_region": 4})


def test_the_loss_of_the_paper_averages_over_the_three_kinds_of_targets() -> None:
    config = replace(TINY, average="groups", loss="mse")
    jepa = build_jepa(config, gradients=GRADIENTS)
    x = Signals(runs(3))
    plans = config.sampler()(3, np.random.default_rng(0))
    found = jepa.predict(x, plans)
    error = (found.pred[0][0] - found.target[0][0]).square().mean(dim=-1)
    groups = plans[0].groups[0]
    means = [
        torch.stack([e[g == kind].mean() for kind in g.unique()]).mean()
        for e, g in zip(error, groups, strict=True)
    ]
    torch.testing.assert_close(found.loss, torch.stack(means).mean())
    assert not torch.allclose(found.loss, error.mean())


@pytest.mark.parametrize("size", ["s", "b", "l"])
def test_the_published_momentum_ends_early(size) -> None:
    model = get_recipe(f"paper-{size}").model
    assert (model.momentum_start, model.momentum_end) == (0.996, 0.9965)
