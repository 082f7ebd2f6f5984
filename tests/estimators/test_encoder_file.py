"""Sizes that settings declare are compared with the weights."""

from __future__ import annotations

import pytest
import torch

from biojepa.errors import CheckpointError
from biojepa.estimators.encoder_file import check_depth, check_entries, check_sizes, stored_result

WEIGHTS = {
    "norm.weight": torch.zeros(8),
    "blocks.0.w": torch.zeros(3, 4),
    "blocks.1.w": torch.ones(1),
}


@pytest.mark.parametrize(
    ("name", "key", "axis"), [("dim", "norm.weight", 1), ("dim", "blocks.0.w", 0), ("dim", "x", 0)]
)
def test_a_size_that_the_weights_do_not_have_is_named(name, key, axis) -> None:
    check_sizes({"dim": 8}, WEIGHTS, [("dim", "norm.weight", 0)], where="here")
    with pytest.raises(CheckpointError, match=r"here is damaged: its settings say dim=8"):
        check_sizes({"dim": 8}, WEIGHTS, [(name, key, axis)], where="here")


def test_another_number_of_blocks_is_named() -> None:
    check_depth("depth", 2, WEIGHTS, "blocks.", where="here")
    with pytest.raises(CheckpointError, match="say depth=12, the weights hold 2 blocks"):
        check_depth("depth", 12, WEIGHTS, "blocks.", where="here")


def test_missing_entries_and_metrics_are_named() -> None:
    with pytest.raises(CheckpointError, match=r"lacks \['b'\]"):
        check_entries({"a": 1}, "a", "b", where="here")
    with pytest.raises(CheckpointError, match="expected the metrics"):
        stored_result({"metrics": None}, where="here")
    assert stored_result({"metrics": {"loss": 1.0}}, where="here").rows == [{"loss": 1.0}]
