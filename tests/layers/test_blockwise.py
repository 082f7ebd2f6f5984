"""Attention by blocks is exact: values, gradients, hidden keys, and more keys than queries."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from biojepa.layers import blockwise
from biojepa.layers.blockwise import blockwise_attention


def random_qkv(n_queries: int = 7, n_keys: int = 7, dtype=torch.float64) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    sizes = (n_queries, n_keys, n_keys)
    return [torch.randn(2, 3, n, 4, generator=rng, dtype=dtype).requires_grad_() for n in sizes]


def both(qkv: list[torch.Tensor], mask: torch.Tensor | None) -> list[list[torch.Tensor]]:
    """Output and gradients of blocks, and of torch's own kernel."""
    found = []
    for out in (
        blockwise_attention(*qkv, mask),
        F.scaled_dot_product_attention(*qkv, attn_mask=mask),
    ):
        slope = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        found.append([out.detach(), *torch.autograd.grad(out, qkv, slope)])
    return found


@pytest.mark.parametrize("block", [1, 3, 7, 256])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("large", [0.0, 40.0])
def test_blocks_of_any_size_give_the_exact_values_and_gradients(
    block, masked, large, monkeypatch
) -> None:
    monkeypatch.setattr(blockwise, "BLOCK", block)
    monkeypatch.setattr(blockwise, "LARGE", large)
    mask = None
    if masked:
        mask = (torch.arange(7) < torch.tensor([[5], [1]]))[:, None, None]
    ours, theirs = both(random_qkv(), mask)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_a_few_queries_may_attend_to_many_keys(monkeypatch) -> None:
    monkeypatch.setattr(blockwise, "BLOCK", 2)
    for a, b in zip(*both(random_qkv(3, 9), None), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_gradients_agree_with_finite_differences(monkeypatch) -> None:
    monkeypatch.setattr(blockwise, "BLOCK", 2)
    torch.autograd.gradcheck(blockwise_attention, random_qkv(5, 4))


def test_half_precision_is_as_near_to_the_exact_values_as_torch_is() -> None:
    exact = both(random_qkv(600, 600), None)[0]
    half = [x.detach().bfloat16().requires_grad_() for x in random_qkv(600, 600)]
    ours, theirs = both(half, None)
    for a, b, c in zip(ours, theirs, exact, strict=True):
        assert a.dtype == torch.bfloat16
        error = [float((x.double() - c).norm() / c.norm()) for x in (a, b)]
        assert error[0] < 1.5 * error[1] + 0.002


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_that_would_overflow_an_exponential_stay_finite(dtype) -> None:
    q, k, v = (x.detach() for x in random_qkv(dtype=torch.float32))
    qkv = [(x * f).to(dtype).requires_grad_() for x, f in ((q, 40), (k, 40), (v, 1))]
    ours, theirs = both(qkv, None)
    assert all(a.isfinite().all() for a in ours)
    # scores in the thousands are coarse in half precision; nearly all weight is on one key
    assert (ours[0] - theirs[0]).abs().median() < 0.01


def test_tensors_that_are_views_of_one_projection_are_taken_as_they_are() -> None:
    x = torch.randn(2, 6, 3, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, k, v = x.permute(2, 0, 3, 1, 4)
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(blockwise_attention(q, k, v), expected, rtol=0, atol=1e-14)
