"""Brain-JEPA in the plainest form: the baseline that its speed ratio is measured against.

FROZEN, as `straightforward` is; `test_straightforward_brain.py` holds it to the numbers of the
engine. Explicit softmax attention everywhere, float32, a convolution as patch embedding, positions
made anew in each pass, AdamW that is not fused, one parameter after the other in the momentum
update. Nothing of `biojepa` is used; parameters are named as there, so weights copy over.

Shapes: B batch, R regions, T frames, n time patches, N = R n tokens, K context, M targets, D width.

References
----------
Dong et al. 2024, arXiv:2409.19407: sizes, positions, targets and loss of ViT-B.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6


class Attention(nn.Module):
    """Softmax attention with the whole score matrix in memory."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

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
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the last dimension."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = MLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens; (B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Positions(nn.Module):
    """Time half fixed, region half a linear map of the gradients, scaled to [-1, 1]."""

    gradients: Tensor

    def __init__(self, gradients: Tensor, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(gradients.shape[1], dim // 2)
        self.register_buffer("gradients", gradients.clone())

    def forward(self, n_times: int) -> Tensor:
        """The table (1, N, D)."""
        place = self.proj(self.gradients)
        place = (place - place.min()) / (place.max() - place.min()) * 2 - 1
        R, half = place.shape
        rate = 10000 ** (-torch.arange(half // 2, dtype=torch.float64) / (half // 2))
        angle = torch.arange(n_times, dtype=torch.float64)[:, None] * rate
        time = torch.cat([angle.sin(), angle.cos()], dim=1).float()
        table = torch.cat([time.repeat(R, 1), place.repeat_interleave(n_times, dim=0)], dim=1)
        return table[None]


class PatchEmbed(nn.Module):
    """A convolution over one region whose stride is its kernel."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv1d(1, dim, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """Embed; (B, R, T) to (B, R n, D)."""
        B, R, T = x.shape
        x = self.proj(x.reshape(B * R, 1, T)).transpose(1, 2)
        return x.reshape(B, -1, x.shape[-1])


class Encoder(nn.Module):
    """Vision transformer over the time patches of all regions."""

    def __init__(self, gradients: Tensor, patch: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(patch, dim)
        self.positions = Positions(gradients, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=EPS)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode; `x` (B, R, T), `keep` (B, K), returns (B, K, D) or (B, N, D)."""
        R = x.shape[1]
        x = self.patch_embed(x)
        x = x + self.positions(x.shape[1] // R)
        if keep is not None:
            x = torch.gather(x, 1, keep.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Predictor(nn.Module):
    """Narrow transformer from context tokens to target tokens."""

    def __init__(self, gradients: Tensor, dim: int, own_dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.positions = Positions(gradients, own_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, own_dim))
        self.embed = nn.Linear(dim, own_dim)
        self.blocks = nn.ModuleList(Block(own_dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(own_dim, eps=EPS)
        self.proj = nn.Linear(own_dim, dim)

    def forward(self, context: Tensor, seen: Tensor, asked: Tensor, n_times: int) -> Tensor:
        """Predict; (B, K, D), (B, K), (B, M) to (B, M, D)."""
        B, M = asked.shape
        x = self.embed(context)
        table = self.positions(n_times).repeat(B, 1, 1)
        width = (1, 1, x.shape[-1])
        x = x + torch.gather(table, 1, seen.unsqueeze(-1).repeat(width))
        queries = self.mask_token.repeat(B, M, 1)
        queries = queries + torch.gather(table, 1, asked.unsqueeze(-1).repeat(width))
        x = torch.cat([x, queries], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.proj(self.norm(x)[:, -M:])


class StraightforwardBrainJEPA(nn.Module):
    """Encoder, predictor and momentum encoder; the defaults are ViT-B."""

    def __init__(
        self,
        gradients: Tensor,
        *,
        patch: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        pred_dim: int = 384,
        pred_depth: int = 6,
        pred_heads: int = 12,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.encoder = Encoder(gradients, patch, dim, depth, heads)
        self.predictor = Predictor(gradients, dim, pred_dim, pred_depth, pred_heads)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)

    def forward(self, x: Tensor, seen: Tensor, asked: Tensor) -> Tensor:
        """Smooth L1 between predicted and layer-normalised target tokens."""
        with torch.no_grad():
            wanted = self.target_encoder(x)
            wanted = F.layer_norm(wanted, wanted.shape[-1:])
            wanted = torch.gather(wanted, 1, asked.unsqueeze(-1).repeat(1, 1, wanted.shape[-1]))
        context = self.encoder(x, seen)
        predicted = self.predictor(context, seen, asked, x.shape[2] // self.patch)
        return F.smooth_l1_loss(predicted, wanted)

    @torch.no_grad()
    def move_target(self, momentum: float) -> None:
        """Target <- m target + (1 - m) encoder, one parameter after the other."""
        pairs = zip(self.encoder.parameters(), self.target_encoder.parameters(), strict=True)
        for source, target in pairs:
            target.data = momentum * target.data + (1.0 - momentum) * source.data


def make_optimizer(model: StraightforwardBrainJEPA, lr: float, decay: float) -> torch.optim.AdamW:
    """AdamW, not fused; weights of layers decay, biases, norms and the mask token do not."""
    layers = [m.weight for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d)]
    decayed = [p for p in layers if p.requires_grad]
    known = {id(p) for p in decayed}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=lr, betas=(0.9, 0.999), eps=1e-8, fused=False, foreach=False
    )


def train_step(
    model: StraightforwardBrainJEPA,
    optimizer: torch.optim.AdamW,
    x: Tensor,
    seen: Tensor,
    asked: Tensor,
    momentum: float,
) -> float:
    """One step; returns the loss."""
    loss = model(x, seen, asked)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    model.move_target(momentum)
    return loss.item()
