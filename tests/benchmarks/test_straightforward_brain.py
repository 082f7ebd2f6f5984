"""The baseline of Brain-JEPA's speed ratio computes what the engine computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedBatch, MaskedJEPA
from biojepa.engine.optimiser import make_optimizer, set_rates
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.step import StepInfo
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.model import build_jepa
from tests.benchmarks import straightforward_brain
from tests.benchmarks.straightforward_brain import StraightforwardBrainJEPA

SIZES = {"dim": 32, "depth": 2, "heads": 4, "pred_dim": 16, "pred_depth": 2, "pred_heads": 4}
CONFIG = BrainModelConfig(n_regions=12, n_times=40, patch=4, n_gradients=5, **SIZES)
TRAIN = TrainConfig(steps=100, warmup_steps=0, lr=1e-2, weight_decay=0.05, beta2=0.999, eps=1e-8)
INFO = StepInfo(0, 100, 1)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def plan() -> MaskPlan:
    return CONFIG.sampler()(3, np.random.default_rng(0))[0]


def twins() -> tuple[MaskedJEPA, StraightforwardBrainJEPA]:
    """Two models of the same weights; encoder and target differ, no weight is at its start."""
    rng = torch.Generator().manual_seed(2)
    gradients = torch.randn(12, 5, generator=rng)
    ours = build_jepa(CONFIG, gradients=gradients)
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=rng))
    plain = StraightforwardBrainJEPA(gradients, patch=4, **SIZES)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def test_weights_copy_over_by_their_names() -> None:
    ours, plain = twins()
    assert list(ours.state_dict()) == list(plain.state_dict())


def test_both_take_the_same_step_and_move_the_target_alike(x, plan) -> None:
    ours, plain = twins()
    before = {k: v.clone() for k, v in plain.state_dict().items()}

    optimizer = make_optimizer(ours, TRAIN)
    set_rates(optimizer, TRAIN, 0)
    loss = ours(MaskedBatch(Signals(x), (plan,)), torch.Generator()).total()
    loss.backward()
    optimizer.step()
    ours.after_step(INFO)

    other = straightforward_brain.make_optimizer(plain, TRAIN.lr, TRAIN.weight_decay)
    found = straightforward_brain.train_step(
        plain, other, x, plan.context, plan.targets[0], CONFIG.momentum_start
    )
    assert float(loss.detach()) == pytest.approx(found, abs=1e-6)
    after = plain.state_dict()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, after[name], rtol=0, atol=1e-5)
        assert name.endswith("gradients") or not torch.equal(value, before[name]), name
