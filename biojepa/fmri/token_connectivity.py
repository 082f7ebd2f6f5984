"""Functional connectivity in the space of the tokens: which regions' tokens change alike.

A token is centred over time within its region, so that positions, which never change, drop out; the
correlation of two regions is that of their sequences of tokens, all widths together.

Shapes: B runs or layers, R regions, n time patches, D width, F = R (R - 1) / 2 pairs of regions.
"""

from __future__ import annotations

import torch
from torch import Tensor

CLOSE_TO_ONE = 1 - 1e-6  # a correlation of exactly 1 has no Fisher z


def centred(tokens: Tensor, valid: Tensor | None = None) -> Tensor:
    """Without each region's mean over one window: windows differ in their positions.

    Parameters
    ----------
    tokens : Tensor, shape (B, R, n, D)
    valid : BoolTensor, shape (B, R, n), optional
        Tokens that count.

    Returns
    -------
    Tensor, shape (B, R, n, D)
    """
    if valid is None:
        return tokens - tokens.mean(dim=2, keepdim=True)
    weight = valid[..., None].to(tokens.dtype)
    mean = (tokens * weight).sum(dim=2, keepdim=True) / weight.sum(dim=2, keepdim=True).clamp(min=1)
    return tokens - mean


def token_connectivity(tokens: Tensor, valid: Tensor | None = None) -> Tensor:
    """Fisher z of the correlation of every pair of regions.

    Parameters
    ----------
    tokens : Tensor, shape (B, R, n, D)
        Of `centred`; windows may stand one after the other.
    valid : BoolTensor, shape (B, R, n) or broadcast to it, optional
        Tokens that count.

    Returns
    -------
    Tensor, shape (B, F)
        Zero for regions without tokens that count. Differentiable.
    """
    if valid is not None:
        tokens = tokens * valid[..., None].to(tokens.dtype)
    flat = tokens.flatten(2)
    norm = flat.norm(dim=2, keepdim=True)
    unit = flat / torch.where(norm > 0, norm, torch.ones_like(norm))
    above = torch.triu_indices(flat.shape[1], flat.shape[1], 1, device=flat.device)
    r = (unit @ unit.transpose(1, 2))[:, above[0], above[1]]
    return torch.atanh(r.clamp(-CLOSE_TO_ONE, CLOSE_TO_ONE))
