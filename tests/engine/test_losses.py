"""Token losses by hand, with padding, in half precision and with wrong shapes."""

from __future__ import annotations

import math

import pytest
import torch

from biojepa.engine.losses import LossKind, token_loss
from biojepa.errors import ConfigError, DataError

KINDS: list[LossKind] = ["l1", "smooth_l1", "mse", "cosine"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("l1", (0.5 + 2.0) / 2 + 1.0),
        ("smooth_l1", (0.125 + 1.5) / 2 + 0.5),
        ("mse", (0.25 + 4.0) / 2 + 1.0),
        ("cosine", (1 - 1 / math.sqrt(2)) + 2.0),
    ],
)
def test_losses_equal_the_numbers_by_hand(kind: LossKind, expected: float) -> None:
    if kind == "cosine":
        pred = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
        target = torch.tensor([[[1.0, 1.0], [0.0, -1.0]]])
    else:
        pred = torch.tensor([[[0.5, 2.0], [1.0, -1.0]]])
        target = torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
    total, count = token_loss(pred, target, kind=kind)
    assert float(total) == pytest.approx(expected)
    assert float(count) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_padding_counts_nowhere_and_gets_no_gradient(kind: LossKind) -> None:
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.randn(2, 3, 4, 5, generator=generator)
    valid = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    padded, padded_target = pred.clone(), target.clone()
    padded[~valid] = math.nan
    padded_target[~valid] = math.inf
    padded.requires_grad_()
    total, count = token_loss(padded, padded_target, kind=kind, valid=valid)
    total.backward()
    alone, alone_count = token_loss(pred[valid][None], target[valid][None], kind=kind)
    assert float(total.detach()) == pytest.approx(float(alone), rel=1e-6)
    assert float(count) == float(alone_count) == 4
    assert padded.grad is not None
    assert padded.grad[~valid].abs().max() == 0
    assert padded.grad[valid].isfinite().all()
    assert padded.grad[valid].abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_compared_in_float32(kind: LossKind) -> None:
    generator = torch.Generator().manual_seed(1)
    pred, target = torch.randn(2, 2, 3, 8, generator=generator).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = token_loss(pred, target, kind=kind)
    expected, _ = token_loss(pred.float(), target.float(), kind=kind)
    assert total.dtype == torch.float32
    assert torch.equal(total, expected)


def test_double_precision_stays_double() -> None:
    total, count = token_loss(
        torch.ones(1, 1, 2).double(), torch.zeros(1, 1, 2).double(), kind="l1"
    )
    assert total.dtype == count.dtype == torch.float64


def test_wrong_arguments_are_named() -> None:
    x = torch.zeros(2, 3, 4)
    with pytest.raises(ConfigError, match="huber"):
        token_loss(x, x, kind="huber")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one shape"):
        token_loss(x, x[:, :2], kind="l1")
    with pytest.raises(DataError, match="valid of shape"):
        token_loss(x, x, kind="l1", valid=torch.ones(2, 4, dtype=torch.bool))


def test_groups_of_a_record_count_alike_whatever_their_size() -> None:
    pred, target = (
        torch.tensor([[1.0, 2.0, 3.0, 9.0], [4.0, 4.0, 4.0, 4.0]])[..., None],
        torch.zeros(2, 4, 1),
    )
    group = torch.tensor([[0, 0, 2, 2], [1, 1, 1, 1]])
    total, count = token_loss(pred, target, kind="l1", unit="group", group=group)
    assert (float(total), float(count)) == (pytest.approx((1.5 + 6.0) / 2 + 4.0), 2)
    valid = torch.tensor([[True, False, True, False], [False] * 4])
    total, count = token_loss(pred, target, kind="l1", unit="group", group=group, valid=valid)
    assert (float(total), float(count)) == (pytest.approx((1.0 + 3.0) / 2), 1)
    with pytest.raises(ConfigError, match="a sampler that gives groups"):
        token_loss(pred, target, kind="l1", unit="group")
