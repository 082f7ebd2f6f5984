"""torch's transformer layers, run with the attention kernel that suits the machine.

The layers are braindecode's, that is `nn.Transformer`'s, and keep its weights and order: attention,
dropout, sum, norm. torch's own forward always takes the fused kernel, which in bf16 on a CPU is
several times slower to train than explicit attention; `biojepa.layers.attention` knows.

Shapes: B batch, N and M tokens, D width.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.layers.attention import attend


def encoder_layer(layer: Any, x: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Run a post-norm `nn.TransformerEncoderLayer`.

    Parameters
    ----------
    layer : nn.TransformerEncoderLayer
    x : Tensor, shape (B, N, D)
    valid : BoolTensor, shape (B, N), optional
        Tokens that may be attended to; a row without any attends to all, to stay finite.

    Returns
    -------
    Tensor, shape (B, N, D)
    """
    x = layer.norm1(x + layer.dropout1(_attention(layer.self_attn, x, x, valid)))
    return layer.norm2(x + layer.dropout2(_feed_forward(layer, x)))


def decoder_layer(
    layer: Any,
    x: Tensor,
    memory: Tensor,
    *,
    valid: Tensor | None = None,
    memory_valid: Tensor | None = None,
) -> Tensor:
    """Run a post-norm `nn.TransformerDecoderLayer`.

    Parameters
    ----------
    layer : nn.TransformerDecoderLayer
    x : Tensor, shape (B, M, D)
    memory : Tensor, shape (B, N, D)
    valid, memory_valid : BoolTensor, shapes (B, M) and (B, N), optional

    Returns
    -------
    Tensor, shape (B, M, D)
    """
    x = layer.norm1(x + layer.dropout1(_attention(layer.self_attn, x, x, valid)))
    seen = _attention(layer.multihead_attn, x, memory, memory_valid)
    x = layer.norm2(x + layer.dropout2(seen))
    return layer.norm3(x + layer.dropout3(_feed_forward(layer, x)))


def _feed_forward(layer: Any, x: Tensor) -> Tensor:
    return layer.linear2(layer.dropout(layer.activation(layer.linear1(x))))


def _attention(
    own: nn.MultiheadAttention, x: Tensor, memory: Tensor, valid: Tensor | None
) -> Tensor:
    B, M, D = x.shape
    heads = own.num_heads
    if x is memory:
        joint = F.linear(x, own.in_proj_weight, own.in_proj_bias)
        q, k, v = joint.view(B, M, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
    else:
        weight, bias = own.in_proj_weight.split([D, 2 * D]), own.in_proj_bias.split([D, 2 * D])
        q = F.linear(x, weight[0], bias[0]).view(B, M, heads, D // heads).transpose(1, 2)
        both = F.linear(memory, weight[1], bias[1])
        k, v = both.view(B, memory.shape[1], 2, heads, D // heads).permute(2, 0, 3, 1, 4)
    out = attend(q, k, v, valid=valid, dropout=own.dropout if own.training else 0.0)
    return own.out_proj(out.transpose(1, 2).reshape(B, M, D))
