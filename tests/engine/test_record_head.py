"""The record head: numbers by hand, gradients, and its part in the loss of a masked JEPA."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from biojepa.ecg.model import build_jepa
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.masked_batch import MaskedBatch
from biojepa.engine.record_head import RecordHead, standardise
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError


def identity_head(dim):
    """A head that returns what it gets."""
    head = RecordHead(dim)
    head.mlp = torch.nn.Identity()
    return head


def batch_of(jepa, n=6):
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.standard_normal((n, 8, 1000)).astype(np.float32))
    return MaskedBatch(Signals(values), jepa.sampler(n, rng))


def test_standardised_rows_have_mean_zero_and_spread_one():
    rows = standardise(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    torch.testing.assert_close(rows, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), atol=2e-4, rtol=0)


def test_the_loss_is_the_squared_distance_to_the_standardised_mean_target():
    context = torch.tensor([[[1.0], [3.0]], [[0.0], [0.0]]])  # means 2, 0
    target = torch.tensor([[[1.0], [3.0]], [[4.0], [8.0]]])  # means 2, 6: -1, +1
    total = identity_head(1)(context, target)
    assert total.item() == pytest.approx(3**2 + 1**2, rel=1e-3)


def test_padded_tokens_do_not_count():
    context, target = torch.randn(3, 4, 2), torch.randn(3, 5, 2)
    seen = torch.tensor([True, True, True, False]).expand(3, 4)
    there = torch.tensor([True, True, True, True, False]).expand(3, 5)
    head = RecordHead(2)
    expected = head(context[:, :3], target[:, :4])
    context[:, 3], target[:, 4] = 1e6, 1e6
    found = head(context, target, context_valid=seen, target_valid=there)
    torch.testing.assert_close(found, expected)


def test_the_target_gets_no_gradient():
    context = torch.randn(3, 4, 2, requires_grad=True)
    target = torch.randn(3, 5, 2, requires_grad=True)
    RecordHead(2)(context, target).backward()
    assert context.grad.abs().sum() > 0
    assert target.grad is None


def test_a_weight_that_is_not_positive_is_refused():
    with pytest.raises(ConfigError, match="weight > 0"):
        RecordHead(2, weight=0.0)


def test_the_total_is_the_other_parts_and_the_weighted_record_part():
    config = replace(get_recipe("tiny").model, record_weight=2.0, regulariser="none")
    jepa = build_jepa(config)
    batch = batch_of(jepa)
    losses = jepa(batch, torch.Generator().manual_seed(0))
    record, count = losses.parts["record"]
    tokens, n_tokens = losses.parts["prediction"]
    expected = tokens / n_tokens + 2.0 * record / count
    assert losses.total().item() == pytest.approx(expected.item(), rel=1e-6)
    assert jepa.counts(batch)["record"] == count


def test_the_parts_do_not_depend_on_the_head_being_there():
    config = replace(get_recipe("tiny").model, record_weight=0.0)
    plain, headed = build_jepa(config), build_jepa(replace(config, record_weight=1.0))
    batch = batch_of(plain)
    found = [
        model(batch, torch.Generator().manual_seed(0)).parts["prediction"][0].item()
        for model in (plain, headed)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
