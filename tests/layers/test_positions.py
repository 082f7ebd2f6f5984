"""Sine-cosine positions: numbers by hand, and the two orders."""

from __future__ import annotations

import math

import pytest
import torch

from biojepa.layers.positions import sincos_1d


def test_position_numbers_by_hand() -> None:
    table = sincos_1d(3, 4, order="interleaved")
    expected = [math.sin(2.0), math.cos(2.0), math.sin(0.02), math.cos(0.02)]
    torch.testing.assert_close(table[2], torch.tensor(expected))
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert table.dtype == torch.float32


def test_the_orders_hold_the_same_columns() -> None:
    mixed, joined = (sincos_1d(9, 6, order=o) for o in ("interleaved", "concatenated"))
    assert torch.equal(mixed[:, 0::2], joined[:, :3])
    assert torch.equal(mixed[:, 1::2], joined[:, 3:])


def test_an_odd_width_or_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="even width"):
        sincos_1d(3, 5, order="interleaved")
    with pytest.raises(ValueError, match="'mixed'"):
        sincos_1d(3, 4, order="mixed")
