"""The joint predictor: order of targets, padding, mask tokens."""

from __future__ import annotations

import pytest
import torch

from biojepa.layers.positions import sincos_1d
from biojepa.layers.predictor import JointPredictor


@pytest.fixture
def predictor() -> JointPredictor:
    torch.manual_seed(0)
    return JointPredictor(12, 8, 2, 2, sincos_1d(10, 8, order="interleaved"), kinds=2).double()


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    context = torch.randn(2, 4, 12, generator=rng, dtype=torch.float64)
    order = torch.rand(2, 10, generator=rng).argsort(1)
    return context, order[:, :4], order[:, 4:]


def test_permuting_targets_permutes_predictions(predictor) -> None:
    context, seen, ask = inputs()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(
        predictor(context, seen, ask)[:, order], predictor(context, seen, ask[:, order])
    )


def test_permuting_the_context_changes_nothing(predictor) -> None:
    context, seen, ask = inputs()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        predictor(context, seen, ask), predictor(context[:, order], seen[:, order], ask)
    )


def test_padding_of_context_and_targets_does_not_leak(predictor) -> None:
    context, seen, ask = inputs()
    short = predictor(context[:, :3], seen[:, :3], ask[:, :4])
    context[:, 3:] = 100.0
    ask[:, 4:] = 0
    padded = predictor(
        context,
        seen,
        ask,
        context_valid=(torch.arange(4) < 3).expand(2, 4),
        target_valid=(torch.arange(6) < 4).expand(2, 6),
    )
    torch.testing.assert_close(padded[:, :4], short)


def test_each_kind_has_its_mask_token(predictor) -> None:
    context, seen, ask = inputs()
    first, second = (predictor(context, seen, ask, kind) for kind in (0, 1))
    assert not torch.allclose(first, second)
    second.sum().backward()
    assert predictor.mask_token.grad[1].any()
    assert not predictor.mask_token.grad[0].any()


def test_fixed_positions_are_not_saved(predictor) -> None:
    assert "positions" not in predictor.state_dict()


def test_a_module_of_positions_is_asked_for_the_batch_and_trained():
    class Ramp(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.ones(4))

        def forward(self, positions, n_tokens):
            start = 0.0 if positions is None else positions
            return (start + torch.arange(n_tokens)[:, None] * self.slope)[None]

    predictor = JointPredictor(8, 4, 1, 2, Ramp())
    assert predictor.takes_positions
    index = torch.tensor([[0, 1]])
    asked = {"context_index": index, "target_index": index + 2, "n_tokens": 4}
    context = torch.ones(1, 2, 8)
    here, there = (predictor(context, **asked, positions=p) for p in (None, 3.0))
    assert not torch.allclose(here, there)
    here.square().sum().backward()
    assert predictor.positions.slope.grad.abs().sum() > 0
