"""From tokens to one vector per record. Shapes: B batch, N tokens, D width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biojepa.layers.attention import CrossAttention

POOLS = ("mean", "mean_std", "register")


def pool_tokens(tokens: Tensor, *, pool: str, valid: Tensor | None = None) -> Tensor:
    """Pool tokens without parameters.

    Parameters
    ----------
    tokens : Tensor, shape (B, N, D)
    pool : {"mean", "mean_std"}
        The mean, or mean and (population) standard deviation side by side.
    valid : BoolTensor, shape (B, N), optional
        Tokens that count; a record without any gives zeros.

    Returns
    -------
    Tensor, shape (B, D) or (B, 2 D)

    Raises
    ------
    ValueError
        If `pool` is unknown.
    """
    if pool not in ("mean", "mean_std"):
        raise ValueError(f"expected pool 'mean' or 'mean_std', got {pool!r}")
    if valid is None:
        mean = tokens.mean(dim=1)
        centred = tokens - mean[:, None]
        square = centred.square().mean(dim=1)
    else:
        weight = valid.to(tokens.dtype)[..., None]
        total = weight.sum(dim=1).clamp(min=1.0)
        mean = (tokens * weight).sum(dim=1) / total
        square = ((tokens - mean[:, None]).square() * weight).sum(dim=1) / total
    if pool == "mean":
        return mean
    # the root of exactly 0 has no gradient
    std = square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()
    return torch.cat([mean, std], dim=-1)


class AttentionPool(nn.Module):
    """One learned query attends to all tokens; the output projection is the classifier.

    Head A of ECG-JEPA: no norm, no bias, as many heads as the encoder.

    Parameters
    ----------
    dim, heads, n_outputs : int
    """

    def __init__(self, dim: int, heads: int, n_outputs: int) -> None:
        super().__init__()
        self.query_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.cross_attention_block = CrossAttention(dim, heads, out_dim=n_outputs, bias=False)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """Logits (B, n_outputs) of `tokens` (B, N, D)."""
        query = self.query_token.expand(tokens.shape[0], -1, -1)
        return self.cross_attention_block(query, tokens, valid).squeeze(1)
