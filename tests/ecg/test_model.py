from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from biojepa.ecg.config import SIZES, ECGModelConfig
from biojepa.ecg.lead_dropout import LeadDropout
from biojepa.ecg.model import ECGEncoder, build_jepa
from biojepa.engine.masked import MaskedBatch
from biojepa.engine.randomness import BatchKey
from biojepa.engine.regularisers import SIGReg, VICReg
from biojepa.engine.signals import Signals
from biojepa.errors import BiojepaError, ConfigError, DataError, LeadError
from biojepa.layers import attention

TINY = ECGModelConfig(
    leads=("I", "II", "V1"),
    rate_hz=100.0,
    n_times=200,
    patch=10,
    dim=16,
    depth=3,
    heads=2,
    pred_dim=8,
    pred_depth=2,
    pred_heads=2,
    min_block=3,
)


def signals(n: int = 4, n_times: int = 200, seed: int = 0) -> Signals:
    rng = torch.Generator().manual_seed(seed)
    return Signals(torch.randn(n, 3, n_times, generator=rng))


def key(n: int, rows: slice = slice(None), step: int = 0) -> BatchKey:
    return BatchKey(0, step, np.arange(n)[rows], n)


@pytest.fixture
def encoder() -> ECGEncoder:
    return build_jepa(TINY).encoder.eval()


@pytest.mark.parametrize(
    ("size", "n_encoder", "n_predictor"),
    [
        ("xs", 3_600_000, 923_328),
        ("s", 14_277_888, 3_689_856),
        ("b", 85_185_024, 21_833_472),
    ],
)
def test_sizes_have_the_published_numbers_of_parameters(size, n_encoder, n_predictor):
    with torch.device("meta"):  # shapes only
        jepa = build_jepa(ECGModelConfig.from_config(SIZES[size]))
    assert sum(p.numel() for p in jepa.encoder.parameters()) == n_encoder
    assert sum(p.numel() for p in jepa.predictor.parameters()) == n_predictor


@pytest.mark.parametrize(("size", "n_keys"), [("xs", 154), ("s", 154), ("b", 226)])
def test_sizes_have_the_published_numbers_of_tensors(size, n_keys):
    with torch.device("meta"):
        jepa = build_jepa(ECGModelConfig.from_config(SIZES[size]))
    assert len(jepa.state_dict()) == n_keys


def test_xs_has_the_published_numbers_of_decayed_tensors():
    with torch.device("meta"):
        jepa = build_jepa(ECGModelConfig())
    assert [len(g.params) for g in jepa.param_groups()] == [67, 36]


def test_nothing_has_a_bias_by_default():
    assert not [name for name in build_jepa(TINY).state_dict() if name.endswith("bias")]


def test_the_register_norms_and_residual_layers_start_as_published():
    jepa = build_jepa(replace(TINY, dim=64, pred_dim=64, depth=4, pred_depth=1))
    residual = 0.02 / (2 * 4) ** 0.5
    for part in (jepa.encoder.blocks[0], jepa.predictor.blocks[0]):  # the encoder's depth in both
        assert float(part.mlp.fc2.weight.detach().std()) == pytest.approx(residual, rel=0.05)
        assert float(part.attn.proj.weight.detach().std()) == pytest.approx(residual, rel=0.05)
        assert float(part.mlp.fc1.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        assert bool((part.norm1.weight == 1).all())
    assert float(jepa.encoder.registers.detach().std()) == pytest.approx(0.02, rel=0.4)
    assert float(jepa.predictor.mask_token.detach().std()) == pytest.approx(0.02, rel=0.4)


def test_a_seed_gives_the_weights_and_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (build_jepa(TINY, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    name = "encoder.patch_embed.proj.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_the_target_starts_as_a_copy_that_no_gradient_reaches():
    jepa = build_jepa(TINY)
    state = jepa.state_dict()
    for name, value in jepa.encoder.state_dict().items():
        assert torch.equal(state[f"target_encoder.{name}"], value)
    assert not any(p.requires_grad for p in jepa.target_encoder.parameters())


def test_a_longer_window_grows_the_positions_and_keeps_the_first(encoder):
    with torch.no_grad():
        short = encoder.embed(signals())
        long = encoder.embed(Signals(torch.cat([signals().values] * 3, dim=-1)))
        assert long.shape == (4, 60, 16)
        assert torch.equal(long[:, :20], short)
    assert "positions" not in encoder.state_dict()


def test_hidden_gives_each_layer_in_one_pass(encoder):
    with torch.no_grad():
        tokens = encoder.embed(signals())
        for i, out in enumerate(encoder.hidden(tokens)):
            assert torch.equal(out, encoder.contextualise(tokens, layer=i))
        second, last = encoder.hidden(tokens, layers=[-2, 2], registers=True)
        assert torch.equal(last, encoder.contextualise(tokens, registers=True))
        assert torch.equal(second[:, 1:], encoder.contextualise(tokens, layer=1))


def test_last_is_the_mean_of_blocks_before_the_final_norm(encoder):
    with torch.no_grad():
        tokens = encoder.embed(signals())
        x, _ = encoder._enter(tokens, None)
        outputs = []
        for block in encoder.blocks:
            x = block(x)
            outputs.append(x)
        wanted = encoder.norm((outputs[1] + outputs[2]) / 2)[:, 1:]
        torch.testing.assert_close(encoder.contextualise(tokens, last=2), wanted)
        wanted = encoder.norm((outputs[0] + outputs[1]) / 2)[:, 1:]
        torch.testing.assert_close(encoder.contextualise(tokens, last=2, layer=1), wanted)


@pytest.mark.parametrize("asked", [{"layer": 3}, {"layer": -4}, {"last": 4}, {"last": 0}])
def test_blocks_that_do_not_exist_are_refused(encoder, asked):
    with pytest.raises(ConfigError, match="expected"):
        encoder.contextualise(encoder.embed(signals()), **asked)


def test_invalid_leads_count_as_zero_whatever_they_hold(encoder):
    x = signals()
    valid = torch.tensor([[True, False, True]]).expand(4, -1)
    broken, zero = x.values.clone(), x.values.clone()
    broken[:, 1] = float("nan")
    zero[:, 1] = 0.0
    with torch.no_grad():
        out = encoder.embed(Signals(broken, valid=valid))
        assert torch.equal(out, encoder.embed(Signals(zero)))
    assert encoder.token_valid(Signals(broken, valid=valid)) is None


@pytest.mark.parametrize("registers", [0, 1])
def test_padding_in_time_does_not_change_the_other_tokens(registers):
    encoder = build_jepa(replace(TINY, registers=registers)).encoder.eval()
    x = signals()
    padded = torch.nn.functional.pad(x.values, (0, 100), value=float("nan"))
    valid = (torch.arange(300) < 200).expand(4, 3, 300).clone()
    valid[3] = False  # a record of padding alone
    with torch.no_grad():
        whole = Signals(padded, valid=valid)
        there = encoder.token_valid(whole)
        out = encoder.contextualise(encoder.embed(whole), valid=there)
        plain = encoder.contextualise(encoder.embed(x))
    assert there[:3].sum(dim=1).tolist() == [20, 20, 20]
    torch.testing.assert_close(out[:3, :20], plain[:3], atol=1e-5, rtol=0)
    assert bool(out.isfinite().all())


def test_padded_records_train_without_nan():
    jepa = build_jepa(replace(TINY, registers=0))
    valid = torch.ones(4, 3, 200, dtype=torch.bool)
    valid[0, :, 20:] = False
    valid[1] = False
    batch = jepa.collator()(Signals(signals().values, valid=valid), key(4))
    loss = jepa(batch, torch.Generator()).total()
    loss.backward()
    assert bool(loss.isfinite())
    grads = [p.grad for p in jepa.parameters() if p.grad is not None]
    assert all(bool(g.isfinite().all()) for g in grads)


@pytest.mark.parametrize("registers", [0, 1])
@pytest.mark.parametrize("fused", [True, False])
def test_a_context_of_padding_alone_is_finite(registers, fused, monkeypatch):
    monkeypatch.setattr(attention, "use_fused_kernel", lambda *_, **__: fused)
    encoder = build_jepa(replace(TINY, registers=registers)).encoder
    keep = torch.arange(5).expand(4, -1)
    nothing = torch.zeros(4, 5, dtype=torch.bool)
    out = encoder.contextualise(encoder.embed(signals()), keep=keep, valid=nothing)
    assert bool(out.isfinite().all())


def test_other_leads_and_too_short_windows_are_refused(encoder):
    with pytest.raises(LeadError, match=r"3 leads.*I, II, V1"):
        encoder.embed(Signals(torch.zeros(2, 12, 200)))
    with pytest.raises(DataError, match="one patch of 10"):
        encoder.embed(Signals(torch.zeros(2, 3, 9)))


def test_another_front_end_can_take_the_place_of_the_patches():
    stem = torch.nn.Sequential(
        torch.nn.Conv1d(3, 16, 10, stride=10), torch.nn.Flatten(2), _Transposed()
    )
    jepa = build_jepa(TINY, patch_embed=stem)
    assert jepa.encode(signals()).shape == (4, 20, 16)
    assert "encoder.patch_embed.0.bias" in jepa.state_dict()


class _Transposed(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


@pytest.mark.parametrize(("name", "kind"), [("vicreg", VICReg), ("sigreg", SIGReg)])
def test_a_regulariser_enters_the_loss_once_at_its_weight(name, kind):
    jepa = build_jepa(replace(TINY, regulariser=name, regulariser_weight=0.25))
    batch = jepa.collator()(signals(), key(4))
    losses = jepa(batch, torch.Generator().manual_seed(0))
    context = jepa.predict(batch.signals, batch.plans).context[0]
    term = kind(weight=0.25)(context, torch.Generator().manual_seed(0), None)
    wanted = jepa.predict(batch.signals, batch.plans).loss + term
    torch.testing.assert_close(losses.total(), wanted, rtol=1e-5, atol=0)


def test_a_few_steps_lower_the_loss():
    jepa = build_jepa(replace(TINY, target_norm="layernorm"))
    batch = jepa.collator()(signals(16), key(16))
    optimizer = torch.optim.AdamW(jepa.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = jepa(MaskedBatch(batch.signals, batch.plans), torch.Generator()).total()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_the_objective_survives_pickling():
    jepa = build_jepa(replace(TINY, lead_dropout=0.3)).eval()
    twin = pickle.loads(pickle.dumps(jepa))
    assert torch.equal(twin.encode(signals()), jepa.encode(signals()))


def test_lead_dropout_depends_on_the_place_in_the_global_batch_alone():
    drop = pickle.loads(pickle.dumps(LeadDropout(0.7)))
    x = signals(64)
    whole = drop(x, key(64))
    part = drop(x.rows(slice(8, 24)), key(64, slice(8, 24)))
    assert torch.equal(whole.values[8:24], part.values)
    assert torch.equal(whole.valid[8:24], part.valid)
    assert not torch.equal(whole.valid, drop(x, key(64, step=1)).valid)


def test_lead_dropout_blanks_its_share_but_never_all_leads():
    x = signals(2000, n_times=10)
    before = x.values.clone()
    out = LeadDropout(0.4)(x, key(2000))
    assert torch.equal(x.values, before)
    assert bool(out.valid.any(dim=1).all())
    assert bool((out.values[~out.valid] == 0).all())
    assert torch.equal(out.values[out.valid], x.values[out.valid])
    # a record that would lose all three gets one back: 0.4 - 0.4**3 / 3
    assert float((~out.valid).double().mean()) == pytest.approx(0.4 - 0.4**3 / 3, abs=0.02)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_lead_dropout_keeps_a_lead_that_is_there(n_dims):
    valid = torch.zeros(500, 3, dtype=torch.bool)
    valid[:, 1] = True
    if n_dims == 3:
        valid = valid[..., None].expand(-1, -1, 10)
    x = Signals(torch.ones(500, 3, 10), valid=valid)
    out = LeadDropout(0.9)(x, key(500))
    assert torch.equal(out.valid, valid)
    assert bool((out.values[:, 1] == 1).all())


def test_a_config_survives_its_dict():
    config = replace(TINY, norm_bias=True, regulariser="sigreg", regulariser_weight=0.02)
    assert ECGModelConfig.from_config(config.to_config()) == config


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'depth'"):
        ECGModelConfig.from_config({"dept": 3})


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 15},
        {"heads": 3},
        {"n_times": 10},
        {"n_times": 10**9},
        {"depth": 0},
        {"depth": 2.0},
        {"dropout": 1.0},
        {"mlp_ratio": float("nan")},
        {"momentum_end": 1.5},
        {"loss": "l3"},
        {"bias": 1},
        {"keep": (0.1,)},
        {"leads": ()},
        {"leads": ("I", "Lead I")},
        {"target_layers": 4},
        {"registers": -1},
        {"regulariser_weight": -0.1},
    ],
)
def test_a_setting_out_of_range_is_refused(change):
    with pytest.raises(BiojepaError, match=r"expected|mean lead"):
        replace(TINY, **change)


def test_masks_that_do_not_fit_the_window_are_refused_and_for_window_makes_them_fit():
    with pytest.raises(ConfigError, match="min_block"):
        build_jepa(replace(TINY, n_times=30))
    short = TINY.for_window(30)
    assert short.n_tokens == 3
    jepa = build_jepa(short)
    batch = jepa.collator()(signals(4, 30), key(4))
    assert bool(jepa(batch, torch.Generator()).total().isfinite())
