"""ECG-JEPA in the plainest form: the baseline that the speed ratios are measured against.

FROZEN. It is never edited together with the fast path, so that a ratio means the same from one
commit to the next; `test_straightforward.py` holds it to the numbers of the engine. Explicit
softmax attention everywhere, float32, a convolution as patch embedding, all 200 tokens embedded
before any is dropped, AdamW that is not fused, one parameter after the other in the momentum
update. Nothing of `biojepa` is used; parameters are named as there, so weights copy over.

Shapes: B batch, C leads, T samples, N tokens, K context, M targets, D width, P predictor width.

References
----------
Weimann & Conrad 2024, arXiv:2410.13867: sizes, order of the layers, schedules and loss.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

EPS = 1e-6


class Attention(nn.Module):
    """Softmax attention with the whole score matrix in memory."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; (B, N, D) to (B, N, D)."""
        B, N, D = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(B, N, D))


class MLP(nn.Module):
    """Two linear layers and an exact GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim, bias=False)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the last dimension."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS, bias=False)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS, bias=False)
        self.mlp = MLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens; (B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """A convolution whose stride is its kernel."""

    def __init__(self, leads: int, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv1d(leads, dim, patch, stride=patch, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Embed; (B, C, T) to (B, N, D)."""
        return self.proj(x).transpose(1, 2)


class Encoder(nn.Module):
    """Vision transformer over time patches of all leads, with one register."""

    positions: Tensor

    def __init__(self, leads: int, n_tokens: int, patch: int, dim: int, depth: int, heads: int):
        super().__init__()
        self.registers = nn.Parameter(torch.zeros(1, 1, dim))
        self.patch_embed = PatchEmbed(leads, patch, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=EPS, bias=False)
        self.register_buffer("positions", position_table(n_tokens, dim), persistent=False)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode; `x` (B, C, T), `keep` (B, K), returns (B, K, D) or (B, N, D)."""
        x = self.patch_embed(x)
        x = x + self.positions[:, : x.shape[1]]
        if keep is not None:
            x = torch.gather(x, 1, keep.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
        x = torch.cat([self.registers.repeat(len(x), 1, 1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1:]


class Predictor(nn.Module):
    """Narrow transformer from context tokens to target tokens."""

    positions: Tensor

    def __init__(self, n_tokens: int, dim: int, own_dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.register_buffer("positions", position_table(n_tokens, own_dim), persistent=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, own_dim))
        self.embed = nn.Linear(dim, own_dim, bias=False)
        self.blocks = nn.ModuleList(Block(own_dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(own_dim, eps=EPS, bias=False)
        self.proj = nn.Linear(own_dim, dim, bias=False)

    def forward(self, context: Tensor, context_index: Tensor, target_index: Tensor) -> Tensor:
        """Predict; (B, K, D), (B, K), (B, M) to (B, M, D)."""
        B, M = target_index.shape
        x = self.embed(context)
        table = self.positions.repeat(B, 1, 1)
        width = (1, 1, x.shape[-1])
        x = x + torch.gather(table, 1, context_index.unsqueeze(-1).repeat(width))
        queries = self.mask_token.repeat(B, M, 1)
        queries = queries + torch.gather(table, 1, target_index.unsqueeze(-1).repeat(width))
        x = torch.cat([x, queries], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.proj(self.norm(x)[:, -M:])


class StraightforwardJEPA(nn.Module):
    """Encoder, predictor and momentum encoder; the defaults are ViT-XS at the official shapes."""

    def __init__(
        self,
        *,
        leads: int = 12,
        n_tokens: int = 200,
        patch: int = 25,
        dim: int = 192,
        depth: int = 8,
        heads: int = 4,
        pred_dim: int = 96,
        pred_depth: int = 8,
        pred_heads: int = 4,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(leads, n_tokens, patch, dim, depth, heads)
        self.predictor = Predictor(n_tokens, dim, pred_dim, pred_depth, pred_heads)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)

    def forward(self, x: Tensor, context: Tensor, target: Tensor, momentum: float) -> Tensor:
        """Move the momentum encoder, then the mean absolute error of the predicted tokens."""
        self.move_target(momentum)
        with torch.no_grad():
            wanted = self.target_encoder(x)
            wanted = torch.gather(wanted, 1, target.unsqueeze(-1).repeat(1, 1, wanted.shape[-1]))
        predicted = self.predictor(self.encoder(x, context), context, target)
        return (predicted - wanted).abs().mean()

    @torch.no_grad()
    def move_target(self, momentum: float) -> None:
        """Target <- m target + (1 - m) encoder, one parameter after the other."""
        pairs = zip(self.encoder.parameters(), self.target_encoder.parameters(), strict=True)
        for source, target in pairs:
            target.data = momentum * target.data + (1.0 - momentum) * source.data

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Mean and standard deviation over the tokens of the momentum encoder, (B, 2 D)."""
        tokens = self.target_encoder(x)
        return torch.cat([tokens.mean(dim=1), tokens.std(dim=1, unbiased=False)], dim=1)


def make_optimizer(model: StraightforwardJEPA, lr: float, decay: float) -> torch.optim.AdamW:
    """AdamW, not fused; layer weights decay, norms, register and mask token do not."""
    layers = [m.weight for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d)]
    decayed = [p for p in layers if p.requires_grad]
    known = {id(p) for p in decayed}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), eps=1e-6, fused=False, foreach=False)


def train_step(
    model: StraightforwardJEPA,
    optimizer: torch.optim.AdamW,
    x: Tensor,
    context: Tensor,
    target: Tensor,
    momentum: float,
) -> float:
    """One step; returns the loss."""
    loss = model(x, context, target, momentum)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def position_table(n_tokens: int, dim: int) -> Tensor:
    """Interleaved sines and cosines, (1, N, D)."""
    table = torch.zeros(n_tokens, dim, dtype=torch.float64)
    place = torch.arange(n_tokens, dtype=torch.float64)[:, None]
    angle = place / 10000 ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    table[:, 0::2] = torch.sin(angle)
    table[:, 1::2] = torch.cos(angle)
    return table.float()[None]
