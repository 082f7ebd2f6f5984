"""Signal-JEPA's network: channels as tokens, positions of any montage, masks, targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from biojepa.data.montage import standard_xyz
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.model import build_jepa
from biojepa.eeg.network import build_network, place_code, time_code
from biojepa.engine.masked import MaskedBatch, MaskedJEPA
from biojepa.engine.randomness import torch_generator
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.step import StepInfo
from biojepa.errors import ConfigError, DataError, LeadError
from tests.eeg.published import TEN_TWENTY, needs_eeg

pytestmark = needs_eeg
NAMES = tuple(TEN_TWENTY[:7])
SMALL = {
    "conv": ((8, 32, 8), (12, 2, 2), (24, 2, 2)),
    "spat_dim": 12,
    "time_dim": 12,
    "dim": 24,
    "depth": 3,
    "heads": 2,
    "pred_depth": 1,
    "hidden": 32,
    "dropout": 0.0,
    "n_times": 152,
    "min_unmasked": 0,
    "radius": 0.8,
}


def config(names=NAMES, **changes) -> EEGModelConfig:
    places = tuple(map(tuple, standard_xyz(names).tolist()))
    return EEGModelConfig(names, places, **(SMALL | changes))


@pytest.fixture
def jepa() -> MaskedJEPA:
    return build_jepa(config()).eval()


@pytest.fixture
def values() -> torch.Tensor:
    return torch.randn(3, 7, 152, generator=torch.Generator().manual_seed(0))


def xyz_of(names) -> torch.Tensor:
    return torch.from_numpy(standard_xyz(names)).float()


def test_a_window_of_16_tokens_needs_2072_samples():
    published = EEGModelConfig(("Cz",), ((0.0, 0.0, 0.1),))
    counts = {152: 1, 151: 0, 536: 4, 2048: 15, 2071: 15, 2072: 16}
    assert {n: published.tokens_of(n) for n in counts} == counts
    assert [published.samples_of(n) for n in (1, 4, 16)] == [152, 536, 2072]


def test_the_published_size_has_the_published_number_of_weights():
    from biojepa.eeg.official import LEE2019_62

    places = tuple(map(tuple, standard_xyz(LEE2019_62).tolist()))
    network = build_network(EEGModelConfig(LEE2019_62, places))
    assert sum(p.numel() for p in network.parameters()) == 3_456_852
    assert len(network.state_dict()) == 180


def test_tokens_are_ordered_by_channel_then_time(jepa, values):
    changed = values.clone()
    changed[:, 2] = torch.randn(3, 152, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = jepa.encoder.embed(Signals(values)) - jepa.encoder.embed(Signals(changed))
    steps = jepa.encoder.config.n_steps
    moved = difference.abs().amax(dim=(0, 2)) > 0
    assert moved.nonzero().flatten().tolist() == list(range(2 * steps, 3 * steps))


def test_permuting_channels_permutes_tokens_and_leaves_their_mean_alone(jepa, values):
    order = [3, 0, 6, 2, 5, 1, 4]
    with torch.no_grad():
        whole = jepa.encode(Signals(values, xyz_of(NAMES)))
        turned = jepa.encode(Signals(values[:, order], xyz_of([NAMES[i] for i in order])))
    steps = jepa.encoder.config.n_steps
    whole = whole.view(3, 7, steps, -1)
    turned = turned.view(3, 7, steps, -1)
    assert float((whole[:, order] - turned).abs().max()) <= 1e-5
    assert float((whole.mean((1, 2)) - turned.mean((1, 2))).abs().max()) <= 1e-5


def test_permuting_the_batch_permutes_the_output(jepa, values):
    with torch.no_grad():
        out, turned = jepa.encode(Signals(values)), jepa.encode(Signals(values[[2, 0, 1]]))
    assert float((out[[2, 0, 1]] - turned).abs().max()) <= 1e-6


def test_channels_of_the_table_take_their_trained_rows_and_others_a_fresh_code(jepa):
    encoder = jepa.encoder
    table = encoder.pos_encoder.pos_encoder_spat.weight
    with torch.no_grad():
        table += 1.0  # as if trained
        known = encoder.positions(xyz_of(["Fz", "Fp1"]), 2)[0, :, :12]
        new = encoder.positions(xyz_of(["Oz"]), 1)[0, :, :12]
    assert torch.equal(known, table[[NAMES.index("Fz"), NAMES.index("Fp1")]])
    largest = float(encoder.xyz.abs().max())
    assert torch.equal(new, place_code(xyz_of(["Oz"]), largest, 12))


def test_position_codes_are_those_of_braindecode():
    network = build_network(config())
    own = config()
    table = place_code(torch.tensor(own.positions), float(np.abs(own.positions).max()), 12)
    assert torch.allclose(network.pos_encoder.pos_encoder_spat.weight, table, atol=1e-5)
    theirs = network.pos_encoder(torch.zeros(1, 7 * 9, 24))
    ours = time_code(9, own)
    assert torch.allclose(theirs[0, :9, 12:], ours, atol=1e-6)


def test_a_place_that_is_not_known_starts_at_zero_and_is_trained(values):
    own = EEGModelConfig(("ch1",), ((0.0, 0.0, 0.0),), **SMALL)
    jepa = build_jepa(own)
    table = jepa.encoder.pos_encoder.pos_encoder_spat.weight
    assert not table.detach().any()
    jepa.encoder.embed(Signals(values[:, :1], torch.zeros(1, 3))).sum().backward()
    assert table.grad is not None
    assert table.grad.abs().sum() > 0


def test_dropping_masked_tokens_equals_hiding_them_from_attention(jepa, values):
    keep = torch.tensor([0, 1, 4, 9, 12]).expand(3, -1)
    with torch.no_grad():
        tokens = jepa.encoder.embed(Signals(values))
        dropped = jepa.encoder.contextualise(tokens, keep=keep)
        seen = torch.zeros(tokens.shape[:2], dtype=torch.bool).scatter(1, keep, True)
        hidden = jepa.encoder.contextualise(tokens, valid=seen)
    assert torch.allclose(hidden.gather(1, keep[..., None].expand_as(dropped)), dropped, atol=2e-6)


def test_padding_of_ragged_sets_changes_nothing(jepa, values):
    short = MaskPlan(torch.tensor([[0, 3, 5]]), (torch.tensor([[8, 9]]),))
    padded = MaskPlan(
        torch.tensor([[0, 3, 5, 0, 0]]),
        (torch.tensor([[8, 9, 0]]),),
        context_valid=torch.tensor([[True, True, True, False, False]]),
        target_valid=(torch.tensor([[True, True, False]]),),
    )
    with torch.no_grad():
        a = jepa.predict(Signals(values[:1]), short)
        b = jepa.predict(Signals(values[:1]), padded)
    assert float(a.loss) == pytest.approx(float(b.loss), abs=1e-6)
    assert torch.allclose(a.pred[0][0], b.pred[0][0][:, :2], atol=1e-5)


def test_a_channel_that_is_not_valid_counts_nowhere_whatever_it_holds(jepa, values):
    spoilt = values.clone()
    spoilt[0, 2] = float("nan")
    valid = torch.ones(3, 7, dtype=torch.bool)
    valid[0, 2] = False
    x = Signals(spoilt, valid=valid)
    with torch.no_grad():
        tokens = jepa.encode(x)
        without = jepa.encode(
            Signals(values[:1, [0, 1, 3, 4, 5, 6]], xyz_of([*NAMES[:2], *NAMES[3:]]))
        )
    there = jepa.encoder.token_valid(x)
    assert there is not None
    assert there[0].sum() == 6 * jepa.encoder.config.n_steps
    assert torch.allclose(tokens[0][there[0]], without[0], atol=1e-5)
    assert tokens.isfinite().all()
    nothing = Signals(
        torch.full_like(values, float("nan")), valid=torch.zeros(3, 7, dtype=torch.bool)
    )
    assert jepa.encode(nothing).isfinite().all()


def test_gradients_stay_finite_when_a_whole_block_is_not_valid(values):
    jepa = build_jepa(config())
    valid = torch.ones(3, 7, dtype=torch.bool)
    valid[1, :2] = False
    plans = MaskPlan(torch.arange(2 * 4, 7 * 4).expand(3, -1), (torch.arange(2 * 4).expand(3, -1),))
    x = Signals(values, valid=valid)
    jepa.predict(x, plans).loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in jepa.parameters())


def test_the_momentum_copy_is_of_the_contextual_encoder_alone(values):
    jepa = build_jepa(config(momentum_start=0.5, momentum_end=0.5))
    copied = {name.split(".")[0] for name, _ in jepa.target_encoder.named_parameters()}
    assert copied == {"transformer"}
    before = [p.clone() for p in jepa.target_encoder.parameters()]
    with torch.no_grad():
        for p in jepa.encoder.contextual.parameters():
            p += 1.0
    jepa.after_step(StepInfo(step=0, micro=0, accumulate=1, total_steps=10, steps_per_epoch=5))
    for old, new in zip(before, jepa.target_encoder.parameters(), strict=True):
        assert torch.allclose(new, old + 0.5)


def test_the_target_encoder_receives_no_gradient_and_the_shared_features_do(values):
    jepa = build_jepa(config())
    plans = jepa.sampler(3, np.random.default_rng(0))
    loss = jepa(MaskedBatch(Signals(values), tuple(plans)), torch_generator(0, "test")).total()
    loss.backward()
    assert all(p.grad is None for p in jepa.target_encoder.parameters())
    first = jepa.encoder.feature_encoder[1][0].weight
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
    assert jepa.predictor.mask_query.grad.abs().sum() > 0


def test_local_features_are_computed_once_for_both_encoders(jepa, values, monkeypatch):
    calls = []
    encoder = jepa.encoder
    whole = encoder.local_features
    monkeypatch.setattr(encoder, "local_features", lambda x: calls.append(1) or whole(x))
    jepa.predict(Signals(values), jepa.sampler(3, np.random.default_rng(0)))
    assert len(calls) == 1


def test_targets_may_be_the_mean_over_several_layers(values):
    own = build_jepa(config(target_layers=2))
    plan = own.sampler(3, np.random.default_rng(0))
    with torch.no_grad():
        target = own.predict(Signals(values), plan).target[0][0]
        whole = own.target_encoder.contextualise(own.encoder.embed(Signals(values)), last=2)
        first, second = own.target_encoder.hidden(own.encoder.embed(Signals(values)), layers=[1, 2])
    index = plan[0].targets[0][..., None].expand_as(target)
    assert torch.equal(target, whole.gather(1, index))
    assert not torch.allclose(first, second)


def test_hidden_gives_each_layer_as_contextualise_does(jepa, values):
    with torch.no_grad():
        tokens = jepa.encoder.embed(Signals(values))
        several = jepa.encoder.contextual.hidden(tokens, layers=[-1, 0])
        for out, layer in zip(several, (-1, 0), strict=True):
            assert torch.equal(out, jepa.encoder.contextualise(tokens, layer=layer))
    for bad in ({"layer": 3}, {"last": 4}, {"layer": 0, "last": 2}):
        with pytest.raises(ConfigError):
            jepa.encoder.contextualise(tokens, **bad)
    with pytest.raises(ConfigError, match="register"):
        jepa.encoder.contextual.hidden(tokens, layers=[0], registers=True)


def test_a_run_starts_from_its_seed_and_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b, c = (build_jepa(config(), seed=s) for s in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    first = [next(iter(j.encoder.contextual.parameters())) for j in (a, b, c)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_wrong_shapes_say_what_was_expected(jepa, values):
    with pytest.raises(LeadError, match="7 channels"):
        jepa.encoder.embed(Signals(values[:, :5]))
    with pytest.raises(DataError, match="one token"):
        jepa.encoder.embed(Signals(values[..., :30]))
    with pytest.raises(ConfigError, match="n_tokens"):
        jepa.predictor(values[:, :3, :24], torch.zeros(3, 3), torch.zeros(3, 2).long())


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": 5},
        {"spat_dim": 10},
        {"time_dim": 14},
        {"target_layers": 9},
        {"n_times": 20},
        {"masks": "blocks"},
        {"mask_ratio": 1.0},
        {"dropout": 1.5},
        {"radius": 0.0},
        {"momentum_end": 2.0},
        {"conv": ((8, 0, 8),)},
        {"min_unmasked": -1},
        {"depth": 0},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError):
        config(**changes)


def test_settings_survive_json_and_name_the_nearest_key():
    own = config(masks="space-time")
    assert EEGModelConfig.from_config(own.to_config()) == own
    with pytest.raises(ConfigError, match="did you mean 'radius'"):
        EEGModelConfig.from_config(own.to_config() | {"radus": 1})
    with pytest.raises(LeadError):
        replace(own, channels=("Fz",) * 7)
    with pytest.raises(ConfigError, match="position"):
        replace(own, positions=own.positions[:3])


def test_pretraining_learns_and_does_not_collapse(tmp_path):
    from biojepa.engine.config import TrainConfig
    from biojepa.engine.train import train
    from tests.eeg.toys import Waves

    jepa = build_jepa(config(momentum_start=0.99, momentum_end=0.999))
    settings = TrainConfig(
        steps=60, batch_size=16, warmup_steps=5, lr=2e-3, diagnose_every=59, log_every=1
    )
    rows = train(jepa, Waves(64, NAMES, n_times=152), settings, progress=False).rows
    losses = [row["loss"] for row in rows if "loss" in row]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert rows[-1]["std"] > 0.01
