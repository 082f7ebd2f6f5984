"""Exact softmax attention over blocks of queries: the whole score matrix is never in memory.

For half precision on CPUs, where plain matrix products are far faster than the fused kernel: head
by head, the scores of some queries with all keys are made, used while they are in the cache, and
thrown away; the backward pass makes them again. Half precision is summed in float32. Where no score
of a head can be large, exponentials are taken as they are, without the largest score subtracted:
that is a pass less, and as exact.

Shapes: B batch, H heads, N queries, M keys, D width of a head.

References
----------
Rabe & Staats 2021, arXiv:2112.05682. Dao et al. 2022, arXiv:2205.14135 (the backward pass).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

BLOCK = 256  # ours: queries at a time; of 4,500 keys in bf16 2 MB, near the cache of one core
LARGE = 40.0  # ours: exp(40), times 4,500 keys and values of 1e6, is far from overflow in bf16


def blockwise_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention, block by block.

    Parameters
    ----------
    q : Tensor, shape (B, H, N, D)
    k, v : Tensor, shape (B, H, M, D)
    mask : BoolTensor, shape (B, 1, 1, M), optional
        Keys that may be attended to, at least one in each row.

    Returns
    -------
    Tensor, shape (B, H, N, D)
    """
    return _Blockwise.apply(q, k, v, mask)


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        out = _like(q)
        for b, h in _heads(q):
            head, values = _Head(q[b, h], k[b, h], _hidden(mask, b)), v[b, h].contiguous()
            for rows in _blocks(q):
                weights, total = head.weights(rows)
                out[b, h, rows] = (weights @ values) / total
        ctx.save_for_backward(q, k, v, mask, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, mask, out = ctx.saved_tensors
        dq, dk, dv = _like(q), _like(k), _like(v)
        for b, h in _heads(q):
            head, values = _Head(q[b, h], k[b, h], _hidden(mask, b)), v[b, h].t().contiguous()
            keys = k[b, h].contiguous()
            key_sum, value_sum = (torch.zeros_like(keys, dtype=head.wide) for _ in range(2))
            for rows in _blocks(q):
                weights, total = head.weights(rows)
                outer = grads[0][b, h, rows] / total
                mean = (outer * out[b, h, rows]).sum(dim=1, keepdim=True)
                outer = outer.to(q.dtype)
                value_sum += weights.t() @ outer
                # of softmax: weights * (slope - its mean under the weights)
                slope = (outer @ values).sub_(mean).mul_(weights)
                dq[b, h, rows] = (slope @ keys) * head.scale
                key_sum += slope.t() @ head.q[rows]
            dk[b, h], dv[b, h] = key_sum * head.scale, value_sum
        return dq, dk, dv, None


class _Head:
    """Attention weights of one head, not yet divided by their totals."""

    def __init__(self, q: Tensor, k: Tensor, hidden: Tensor | None) -> None:
        self.q, self.hidden, self.scale = q, hidden, q.shape[-1] ** -0.5
        self.columns = k.t().contiguous()  # as the matrix product likes it
        self.wide = torch.float32 if q.dtype in (torch.bfloat16, torch.float16) else q.dtype
        longest = q.norm(dim=1).max() * k.norm(dim=1).max()
        self.small = q.dtype != torch.float16 and float(longest) * self.scale < LARGE

    def weights(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Weights (n, M) of some queries and their totals (n, 1)."""
        scores = (self.q[rows] * self.scale) @ self.columns
        if self.hidden is not None:
            scores.masked_fill_(self.hidden, float("-inf"))
        weights = scores.exp_() if self.small else scores.softmax(dim=-1)
        return weights, weights.sum(dim=1, keepdim=True, dtype=self.wide)


def _heads(q: Tensor) -> Iterator[tuple[int, int]]:
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            yield b, h


def _blocks(q: Tensor) -> Iterator[slice]:
    for start in range(0, q.shape[2], BLOCK):
        yield slice(start, start + BLOCK)


def _hidden(mask: Tensor | None, b: int) -> Tensor | None:
    return None if mask is None else ~mask[b, 0, 0]


def _like(x: Tensor) -> Tensor:
    """Empty, with the heads of a token side by side, as the layers around take them."""
    return x.new_empty(x.shape[0], x.shape[2], x.shape[1], x.shape[3]).transpose(1, 2)
