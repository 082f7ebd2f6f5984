"""Multi-head self-attention whose kernel follows device, dtype, grad mode and token count.

On CPU, in float32 the fused kernel is taken. In bf16 matrix products are several times as fast on
CPUs made for them, which the fused kernel's backward pass makes no use of: explicit attention is
taken, whole while the score matrix stays in the cache, in blocks beyond that (`blockwise`), which
keep memory flat; without gradient the fused kernel on CPUs with AMX tiles. On CUDA and MPS it is
always taken. What this is worth in whole training steps: `tests/benchmarks`.

Shapes: B batch, N tokens, D width, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.layers.blockwise import blockwise_attention
from biojepa.layers.gather import gather_tokens

# ours: up to here the whole score matrix is quicker than blocks of it, without and with gradient
SHORT_TOKENS, SHORT_TOKENS_GRAD = 256, 512
_tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
CPU_HAS_TILES = bool(_tiles and _tiles())  # AMX


def use_fused_kernel(device: str, dtype: torch.dtype, *, grad: bool) -> bool:
    """Whether scaled-dot-product attention is the faster kernel here.

    Parameters
    ----------
    device : str
        `"cpu"`, `"cuda"` or `"mps"`.
    dtype : torch.dtype
        Of the queries.
    grad : bool
        Whether a backward pass will follow.
    """
    if device != "cpu" or dtype not in (torch.bfloat16, torch.float16):
        return True
    return CPU_HAS_TILES and not grad


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, valid: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Softmax attention.

    Parameters
    ----------
    q, k, v : Tensor, shape (B, H, N, D / H)
    valid : BoolTensor, shape (B, N), optional
        Keys that may be attended to; a row without any attends to all, so that a record with
        nothing in it stays finite (its output means nothing).
    dropout : float
        Probability of dropping an attention weight; give 0 in eval mode.

    Returns
    -------
    Tensor, shape (B, H, N, D / H)
    """
    grad = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    mask = None
    if valid is not None:
        mask = (valid | ~valid.any(dim=1, keepdim=True))[:, None, None, :]
    long = k.shape[-2] > (SHORT_TOKENS_GRAD if grad else SHORT_TOKENS)
    # blocks have no dropout, and for long sequences the whole score matrix is too large
    if use_fused_kernel(q.device.type, q.dtype, grad=grad) or (long and dropout):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    if long:
        return blockwise_attention(q, k, v, mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    if dropout:
        weights = F.dropout(weights, dropout)
    return weights.to(v.dtype) @ v


class Attention(nn.Module):
    """Multi-head self-attention with one joint projection `qkv`.

    The rows of `qkv` are ordered q, k, v, then head, as in the published checkpoints.

    Parameters
    ----------
    dim, heads : int
    qkv_bias, bias : bool
        Bias of the joint and of the output projection.
    dropout, attn_dropout : float
        After the output projection, and of the attention weights.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        qkv_bias: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"expected a width divisible by the heads, got {dim} and {heads}")
        self.heads = heads
        self.attn_dropout = attn_dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None, only: Tensor | None = None) -> Tensor:
        """Attend; `x` (B, N, D), `valid` (B, N) or None, returns (B, N, D).

        With `only` (B, M), these tokens alone ask, and (B, M, D) is returned.
        """
        B, N, D = x.shape
        if only is None:
            q, k, v = self.qkv(x).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            asking = None if bias is None else bias[:D]
            asked = None if bias is None else bias[D:]
            N = only.shape[1]
            q = F.linear(gather_tokens(x, only), weight[:D], asking)
            q = q.view(B, N, self.heads, -1).transpose(1, 2)
            pair = F.linear(x, weight[D:], asked)
            k, v = pair.view(B, -1, 2, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.attn_dropout if self.training else 0.0
        out = attend(q, k, v, valid=valid, dropout=dropout)
        return self.drop(self.proj(out.transpose(1, 2).reshape(B, N, D)))


class CrossAttention(nn.Module):
    """Attention of a few queries over many tokens; its projection may change the width.

    Parameters
    ----------
    dim, heads : int
    out_dim : int, optional
        Width of the output; `dim` by default.
    bias : bool
        Of the three projections.
    """

    def __init__(
        self, dim: int, heads: int, *, out_dim: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim, bias=bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=bias)
        self.proj = nn.Linear(dim, out_dim or dim, bias=bias)

    def forward(self, query: Tensor, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Attend; `query` (B, Q, D), `x` (B, N, D), returns (B, Q, out_dim)."""
        B, Q, D = query.shape
        width = D // self.heads
        q = self.q(query).view(B, Q, self.heads, width).transpose(1, 2)
        k, v = self.kv(x).view(B, x.shape[1], 2, self.heads, width).permute(2, 0, 3, 1, 4)
        out = attend(q, k, v, valid=valid)
        return self.proj(out.transpose(1, 2).reshape(B, Q, D))
