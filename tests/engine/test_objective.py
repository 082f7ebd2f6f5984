"""Losses add up, and weights are told apart from what does not decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from biojepa.engine.objective import Losses, Objective, embedding_health, split_by_decay


def test_the_total_divides_sums_by_counts_and_weighs_parts() -> None:
    losses = Losses(
        {"a": (torch.tensor(6.0), 3), "b": (torch.tensor(8.0), 2), "c": (torch.tensor(9.0), 1)},
        {"b": 0.5, "c": 0.0},
    )
    assert losses.total().item() == pytest.approx(2 + 2)
    assert losses.total({"a": 6, "b": 8, "c": 1}).item() == pytest.approx(1 + 0.5)


def test_a_part_of_weight_zero_is_only_logged() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    Losses({"a": (x, 1), "b": (x.square(), 1)}, {"b": 0.0}).total().backward()
    assert x.grad.item() == 1.0


def test_totals_keep_double_precision() -> None:
    third = torch.tensor(1.0, dtype=torch.float64) / 3
    total = Losses({"a": (third, 1), "b": (third, 1)}).total()
    assert total.dtype == torch.float64
    assert total.item() == 2 / 3


def test_half_precision_parts_add_in_single() -> None:
    part = torch.tensor(1.0, dtype=torch.bfloat16)
    total = Losses({"a": (part, 1), "b": (part, 1)}, {"b": 2**-12}).total()
    assert total.item() == 1 + 2**-12


def test_layer_weights_decay_and_biases_norms_and_tokens_do_not() -> None:
    model = nn.Module()
    model.layer, model.norm = nn.Linear(2, 3), nn.LayerNorm(3)
    model.conv = nn.Conv1d(1, 2, 3)
    model.mask_token = nn.Parameter(torch.zeros(1, 1, 3))
    model.frozen = nn.Linear(2, 2).requires_grad_(False)
    decayed, other = split_by_decay(model)
    assert decayed.decay
    assert not other.decay
    assert sorted(decayed.names) == ["conv.weight", "layer.weight"]
    assert sorted(other.names) == [
        "conv.bias",
        "layer.bias",
        "mask_token",
        "norm.bias",
        "norm.weight",
    ]


def test_an_empty_group_is_left_out() -> None:
    assert [g.decay for g in split_by_decay(nn.Linear(2, 2, bias=False))] == [True]


def test_few_records_of_a_wide_embedding_are_no_collapse() -> None:
    health = embedding_health(torch.eye(400)[:10])
    assert health["rankme"] > 0.9 * health["dim"]


@pytest.mark.parametrize("call", ["collator", "forward", "encode"])
def test_what_an_objective_leaves_out_says_so(call) -> None:
    arguments = {"collator": (), "forward": (None, None), "encode": (None,)}[call]
    with pytest.raises(TypeError, match="Objective"):
        getattr(Objective(), call)(*arguments)
