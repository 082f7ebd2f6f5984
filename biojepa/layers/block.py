"""The pre-norm transformer block, with the key names of the published checkpoints.

`x += ls(attn(norm1(x)))`, `x += ls(mlp(norm2(x)))`; exact (erf) GELU. timm's block with the same
weights is the oracle of the tests where timm is installed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from biojepa.layers.attention import Attention
from biojepa.layers.gather import gather_tokens


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them.

    Parameters
    ----------
    dim, hidden : int
    bias : bool
    dropout : float
        After each layer.
    """

    def __init__(self, dim: int, hidden: int, *, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden, bias=bias)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim, bias=bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last dimension; same shape out."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class LayerScale(nn.Module):
    """A learned factor per channel, `weight` (D), on a residual branch."""

    def __init__(self, dim: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Tensor) -> Tensor:
        """Scale the last dimension."""
        return x * self.weight


class DropPath(nn.Module):
    """Drop a whole residual branch of some samples while training (stochastic depth)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Zero the branch of a share `p` of the samples, scale the others up."""
        if not self.training or self.p == 0.0:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.p
        return x * keep / (1.0 - self.p)


class Block(nn.Module):
    """Pre-norm transformer block.

    Parameters
    ----------
    dim, heads : int
    mlp_ratio : float
    bias, qkv_bias : bool
        `bias=False` removes the bias of every Linear and of both LayerNorms; `norm_bias`
        brings that of the norms back (first releases of ECG-JEPA).
    norm_eps : float
    layer_scale : float
        Start of the learned residual scale; 0 for none.
    dropout, attn_dropout, drop_path : float
    """

    compile_unit = True  # what torch.compile is applied to when a run asks for it
    recompute = False  # a run may ask to make the MLP's hidden layer again in the backward pass

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        bias: bool = True,
        qkv_bias: bool = True,
        norm_bias: bool | None = None,
        norm_eps: float = 1e-6,
        layer_scale: float = 0.0,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        norm_bias = bias if norm_bias is None else norm_bias
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps, bias=norm_bias)
        self.attn = Attention(
            dim, heads, qkv_bias=qkv_bias, bias=bias, dropout=dropout, attn_dropout=attn_dropout
        )
        self.attn_ls = LayerScale(dim, layer_scale) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps, bias=norm_bias)
        self.mlp = MLP(dim, int(dim * mlp_ratio), bias=bias, dropout=dropout)
        self.mlp_ls = LayerScale(dim, layer_scale) if layer_scale else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, valid: Tensor | None = None, only: Tensor | None = None) -> Tensor:
        """Transform tokens; `x` (B, N, D), `valid` (B, N) or None, returns (B, N, D).

        With `only` (B, M), just these tokens come out, (B, M, D); all are attended to.
        """
        mixed = self.attn(self.norm1(x), valid, only)
        x = x if only is None else gather_tokens(x, only)
        x = x + self.drop_path(self.attn_ls(mixed))
        fed: Tensor
        if self.recompute and torch.is_grad_enabled():
            fed = checkpoint(self._feed, x, use_reentrant=False)
        else:
            fed = self._feed(x)
        return x + self.drop_path(fed)

    def _feed(self, x: Tensor) -> Tensor:
        return self.mlp_ls(self.mlp(self.norm2(x)))


def init_transformer(module: nn.Module, *, depth: int | None, std: float = 0.02) -> None:
    """Initialise in place: truncated normal, residual projections scaled down by depth.

    Linear and Conv weights: truncated normal, std 0.02, cut at ±2 (absolute). `attn.proj` and
    `mlp.fc2`: std 0.02 / sqrt(2 depth). Biases 0, norms 1. Tokens (`mask_token`, `registers`,
    `query_token`): truncated normal 0.02. Source: ECG-JEPA's code, as described in its spec 1.3.

    Parameters
    ----------
    module : nn.Module
    depth : int or None
        Number of blocks of the *encoder*, also for the predictor. None leaves the residual
        projections unscaled (Brain-JEPA, I-JEPA as published).
    std : float
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            residual = depth is not None and name.endswith(("attn.proj", "mlp.fc2"))
            scale = std / math.sqrt(2 * (depth or 1)) if residual else std
            nn.init.trunc_normal_(part.weight, std=scale, a=-2.0, b=2.0)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for name, parameter in module.named_parameters():
        if name.split(".")[-1] in ("mask_token", "registers", "query_token"):
            nn.init.trunc_normal_(parameter, std=std, a=-2.0, b=2.0)
