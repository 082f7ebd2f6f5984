"""Pooling tokens into one vector per record."""

from __future__ import annotations

import pytest
import torch

from biojepa.layers.pooling import AttentionPool, pool_tokens

TOKENS = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [8.0, 6.0]], [[2.0, 2.0], [2.0, 2.0], [9.0, 9.0]]])
VALID = torch.tensor([[True, True, True], [True, True, False]])


def test_mean_and_deviation_by_hand() -> None:
    mean = pool_tokens(TOKENS, pool="mean")
    torch.testing.assert_close(mean, torch.tensor([[4.0, 2.0], [13 / 3, 13 / 3]]))
    both = pool_tokens(TOKENS, pool="mean_std")
    assert torch.equal(both[:, :2], mean)
    torch.testing.assert_close(both[:, 2:], TOKENS.std(1, correction=0))


def test_padding_is_left_out() -> None:
    out = pool_tokens(TOKENS, pool="mean_std", valid=VALID)
    torch.testing.assert_close(out[1], torch.tensor([2.0, 2.0, 0.0, 0.0]))
    torch.testing.assert_close(out[:1], pool_tokens(TOKENS[:1], pool="mean_std"))


def test_a_record_without_valid_tokens_gives_zeros() -> None:
    out = pool_tokens(TOKENS, pool="mean_std", valid=torch.zeros_like(VALID))
    torch.testing.assert_close(out, torch.zeros(2, 4))


def test_the_deviation_of_equal_tokens_has_a_finite_gradient() -> None:
    tokens = torch.ones(1, 3, 2, requires_grad=True)
    pool_tokens(tokens, pool="mean_std").sum().backward()
    assert tokens.grad.isfinite().all()


def test_an_unknown_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="'max'"):
        pool_tokens(TOKENS, pool="max")


def test_a_zero_query_pools_to_the_mean_of_values() -> None:
    torch.manual_seed(0)
    head = AttentionPool(2, 1, 3)
    values = head.cross_attention_block.kv(TOKENS)[..., 2:]
    expected = head.cross_attention_block.proj(values.mean(1))
    torch.testing.assert_close(head(TOKENS), expected)
    assert not [n for n, _ in head.named_parameters() if n.endswith("bias")]


def test_attention_pool_does_not_see_padding() -> None:
    torch.manual_seed(0)
    head = AttentionPool(2, 1, 3)
    other = TOKENS.clone()
    other[1, 2] = -50.0
    assert torch.equal(head(TOKENS, VALID), head(other, VALID))
