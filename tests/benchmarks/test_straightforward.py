"""The baseline of the speed ratios computes what the engine computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.model import build_jepa
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedBatch, MaskedJEPA
from biojepa.engine.optimiser import make_optimizer, set_rates
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.step import StepInfo
from biojepa.estimators.features import extract_features
from tests.benchmarks import straightforward
from tests.benchmarks.straightforward import StraightforwardJEPA

CONFIG = ECGModelConfig(
    n_times=500, dim=32, depth=2, heads=4, pred_dim=16, pred_depth=2, pred_heads=2, min_block=2
)
TRAIN = TrainConfig(steps=100, warmup_steps=0, lr=1e-2, weight_decay=0.05)
INFO = StepInfo(0, 100, 1)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(4, 12, 500, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def plan() -> MaskPlan:
    return CONFIG.sampler()(4, np.random.default_rng(0))[0]


def twins() -> tuple[MaskedJEPA, StraightforwardJEPA]:
    """Two models of the same weights; encoder and target differ, no weight is at its start."""
    ours = build_jepa(CONFIG)
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=rng))
    plain = StraightforwardJEPA(
        n_tokens=CONFIG.n_tokens, dim=32, depth=2, heads=4, pred_dim=16, pred_depth=2, pred_heads=2
    )
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def run_ours(ours: MaskedJEPA, x: torch.Tensor, plan: MaskPlan) -> float:
    """One step as the loop takes it."""
    optimizer = make_optimizer(ours, TRAIN)
    set_rates(optimizer, TRAIN, 0)
    ours.before_forward(INFO)
    loss = ours(MaskedBatch(Signals(x), (plan,)), torch.Generator()).total()
    loss.backward()
    optimizer.step()
    ours.after_step(INFO)
    return float(loss.detach())


def run_plain(plain: StraightforwardJEPA, x: torch.Tensor, plan: MaskPlan) -> float:
    optimizer = straightforward.make_optimizer(plain, TRAIN.lr, TRAIN.weight_decay)
    loss = plain(x, plan.context, plan.targets[0], CONFIG.momentum_start)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def test_weights_copy_over_by_their_names() -> None:
    ours, plain = twins()
    assert list(ours.state_dict()) == list(plain.state_dict())


def test_both_give_the_same_loss_and_gradients(x, plan) -> None:
    ours, plain = twins()
    assert run_ours(ours, x, plan) == pytest.approx(run_plain(plain, x, plan), abs=1e-5)
    other = dict(plain.named_parameters())
    moved = [name for name, p in ours.named_parameters() if p.grad is not None]
    assert len(moved) > 20
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert other[name].grad is None, name
        else:
            torch.testing.assert_close(parameter.grad, other[name].grad, rtol=0, atol=1e-5)


def test_both_take_the_same_step_and_move_the_target_alike(x, plan) -> None:
    ours, plain = twins()
    before = {k: v.clone() for k, v in plain.state_dict().items()}
    run_ours(ours, x, plan)
    run_plain(plain, x, plan)
    after = plain.state_dict()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, after[name], rtol=0, atol=1e-5)
        assert not torch.equal(value, before[name]), name


def test_both_give_the_same_features(x) -> None:
    ours, plain = twins()
    found = extract_features(
        ours.eval(), list(x.numpy()), window=500, shortest=50, pool="mean_std", layers=[-1]
    )
    np.testing.assert_allclose(found, plain.features(x).numpy(), rtol=0, atol=1e-5)
