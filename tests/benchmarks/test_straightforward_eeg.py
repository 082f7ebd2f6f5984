"""The EEG baseline of the speed ratios computes what the engine computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.eeg.model import build_jepa
from biojepa.engine.masked import MaskedBatch, MaskedJEPA
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.step import StepInfo
from tests.benchmarks.straightforward_eeg import StraightforwardSJEPA
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
Twins = tuple[MaskedJEPA, StraightforwardSJEPA, MaskPlan]


@pytest.fixture
def x() -> torch.Tensor:
    return 10 * torch.randn(3, 8, 280, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def twins() -> Twins:
    """Two models of the same weights, and masks; encoder and target differ."""
    from tests.benchmarks.bench_eeg import config_of, plain_model

    config = config_of("small", n_channels=8, n_times=280)
    ours = build_jepa(config)
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=rng))
    ours.regulariser = None
    return ours, plain_model(ours, dropout=0.0), config.sampler()(3, np.random.default_rng(0))[0]


def test_both_give_the_same_loss_and_gradients(twins: Twins, x) -> None:
    from tests.benchmarks.bench_eeg import masked_of

    ours, plain, plan = twins
    loss = ours(MaskedBatch(Signals(x), (plan,)), torch.Generator()).total()
    other = plain(x, masked_of(plan, 16))
    assert float(loss.detach()) == pytest.approx(float(other.detach()), abs=1e-5)
    loss.backward()
    other.backward()
    pairs = [
        (ours.encoder.feature_encoder, plain.network.feature_encoder),
        (ours.encoder.pos_encoder, plain.network.pos_encoder),
        (ours.encoder.contextual.transformer, plain.network.transformer.encoder),
        (ours.predictor.transformer, plain.network.transformer.decoder),
    ]
    for own, straight in pairs:
        for a, b in zip(own.parameters(), straight.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.predictor.mask_query.grad, plain.mask_query.grad)


def test_both_move_the_target_alike(twins: Twins) -> None:
    ours, plain, _ = twins
    plain.move_target(0.99)
    ours.after_step(StepInfo(0, 100, 1))
    found, wanted = ours.target_encoder.parameters(), plain.target.parameters()
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_both_give_the_same_features(x) -> None:
    from tests.benchmarks.bench_eeg import config_of, features, plain_features, plain_model

    ours = build_jepa(config_of("small", n_channels=8)).eval()
    plain = plain_model(ours, dropout=0.1).eval()
    records = list(10 * np.random.default_rng(0).standard_normal((4, 8, 536), dtype=np.float32))
    found = features(ours, records, "fp32")
    np.testing.assert_allclose(found, plain_features(plain, records), rtol=0, atol=1e-5)
