"""The narrow transformer that predicts target tokens from context tokens.

Context tokens are projected to the predictor's width and given its own positions; a learned mask
token plus the position of each target asks for it; all attend to each other; the outputs at the
targets are projected back. Shapes: B batch, K context, M targets, D encoder width, P own width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biojepa.layers.block import Block, init_transformer
from biojepa.layers.gather import gather_tokens


class JointPredictor(nn.Module):
    """Predict all targets of a set in one pass.

    Parameters
    ----------
    dim, own_dim : int
        Width of the encoder's tokens and of this network.
    depth, heads : int
    positions : Tensor, shape (N, P), or nn.Module
        Fixed table, not saved with the weights; or a module that makes it, called with the
        batch's own positions (or None) and the number of tokens, and gives (1, N, P).
    kinds : int
        Number of mask tokens; a plan's `kind` chooses one.
    mlp_ratio, norm_eps, layer_scale, dropout, attn_dropout : float
    bias, qkv_bias, norm_bias : bool
    init_depth : int, optional
        Depth that scales the residual initialisation; the encoder's in ECG-JEPA.
    init_std : float
        Of the initial weights.
    out_dim : int, optional
        Width of what is predicted, if it is not `dim`.
    """

    positions: Tensor | nn.Module

    def __init__(
        self,
        dim: int,
        own_dim: int,
        depth: int,
        heads: int,
        positions: Tensor | nn.Module,
        *,
        kinds: int = 1,
        mlp_ratio: float = 4.0,
        bias: bool = True,
        qkv_bias: bool = True,
        norm_bias: bool | None = None,
        norm_eps: float = 1e-6,
        layer_scale: float = 0.0,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
        init_depth: int | None = None,
        init_std: float = 0.02,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        norm_bias = bias if norm_bias is None else norm_bias
        self.takes_positions = isinstance(positions, nn.Module)
        if isinstance(positions, nn.Module):
            self.positions = positions
        else:
            self.register_buffer("positions", positions[None], persistent=False)
        self.mask_token = nn.Parameter(torch.zeros(kinds, 1, own_dim))
        self.embed = nn.Linear(dim, own_dim, bias=bias)
        self.blocks = nn.ModuleList(
            Block(
                own_dim,
                heads,
                mlp_ratio=mlp_ratio,
                bias=bias,
                qkv_bias=qkv_bias,
                norm_bias=norm_bias,
                norm_eps=norm_eps,
                layer_scale=layer_scale,
                dropout=dropout,
                attn_dropout=attn_dropout,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(own_dim, eps=norm_eps, bias=norm_bias)
        self.proj = nn.Linear(own_dim, out_dim or dim, bias=bias)
        init_transformer(self, depth=init_depth or depth, std=init_std)

    def forward(
        self,
        context: Tensor,
        context_index: Tensor,
        target_index: Tensor,
        kind: int = 0,
        *,
        context_valid: Tensor | None = None,
        target_valid: Tensor | None = None,
        positions: Tensor | None = None,
        n_tokens: int | None = None,
    ) -> Tensor:
        """Predict the tokens at `target_index`.

        Parameters
        ----------
        context : Tensor, shape (B, K, D)
        context_index : LongTensor, shape (B, K)
        target_index : LongTensor, shape (B, M)
        kind : int
        context_valid, target_valid : BoolTensor, shapes (B, K) and (B, M), optional
        positions : Tensor, optional
            Of the batch, for a module of positions.
        n_tokens : int, optional
            N, for a module of positions.

        Returns
        -------
        Tensor, shape (B, M, D) or (B, M, out_dim)
        """
        table = self.positions
        if isinstance(table, nn.Module):
            table = table(positions, n_tokens)
        x = self.embed(context) + gather_tokens(table, context_index)
        queries = self.mask_token[kind] + gather_tokens(table, target_index)
        valid = _join_valid(context_index, target_index, context_valid, target_valid)
        x = torch.cat([x, queries.to(x.dtype)], dim=1)
        for block in self.blocks:
            x = block(x, valid)
        return self.proj(self.norm(x[:, context.shape[1] :]))


def _join_valid(
    context_index: Tensor,
    target_index: Tensor,
    context_valid: Tensor | None,
    target_valid: Tensor | None,
) -> Tensor | None:
    """Validity of the joint sequence, or None if all of it is valid."""
    if context_valid is None and target_valid is None:
        return None
    if context_valid is None:
        context_valid = torch.ones_like(context_index, dtype=torch.bool)
    if target_valid is None:
        target_valid = torch.ones_like(target_index, dtype=torch.bool)
    return torch.cat([context_valid, target_valid], dim=1)
