"""Keeping tokens by position."""

from __future__ import annotations

import pytest
import torch

from biojepa.layers.gather import gather_tokens


def test_tokens_come_in_the_order_of_the_index() -> None:
    tokens = torch.arange(12.0).view(2, 3, 2)
    kept = gather_tokens(tokens, torch.tensor([[2, 0], [1, 1]]))
    assert kept.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_one_table_serves_every_row() -> None:
    table = torch.arange(6.0).view(1, 3, 2)
    assert gather_tokens(table, torch.tensor([[2], [0]])).tolist() == [[[4, 5]], [[0, 1]]]


def test_another_number_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="as many rows"):
        gather_tokens(torch.zeros(3, 4, 2), torch.zeros(2, 1, dtype=torch.long))


def test_a_position_out_of_range_is_an_error() -> None:
    with pytest.raises((IndexError, RuntimeError)):
        gather_tokens(torch.zeros(2, 4, 2), torch.full((2, 1), 4))
