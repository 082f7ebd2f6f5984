"""Small objectives and data that train through the one loop in milliseconds.

They show that the contract is wide enough: two target encoders; no masks, but views and actions;
multi-crops with a centre that must be reduced over ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.engine.distributed import sum_over_ranks
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.momentum import Momentum, momentum_copy
from biojepa.engine.objective import Losses, Objective, ParamGroup, split_by_decay
from biojepa.engine.randomness import BatchKey, keyed_torch_rng
from biojepa.engine.schedules import Linear
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.step import StepInfo
from biojepa.engine.target import Target
from biojepa.layers.block import Block, init_transformer
from biojepa.layers.gather import gather_tokens
from biojepa.layers.patch import PatchEmbed1d
from biojepa.layers.positions import sincos_1d
from biojepa.layers.predictor import JointPredictor


class ToySignals:
    """`n` records of 3 channels x 40 samples with structure over time."""

    def __init__(self, n: int = 48, dtype: torch.dtype = torch.float32) -> None:
        rng = np.random.default_rng(0)
        t = np.arange(40) / 10
        phase, rate = rng.uniform(0, 6, (n, 3, 1)), rng.uniform(0.5, 2, (n, 1, 1))
        values = np.sin(rate * t + phase) + 0.1 * rng.standard_normal((n, 3, 40))
        self.values = torch.as_tensor(values, dtype=dtype)

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Tensor:
        """Records (B, 3, 40)."""
        return self.values[torch.as_tensor(indices)]


class ToyEncoder(nn.Module):
    """Patches of 5 samples, 8 tokens, two blocks."""

    def __init__(self, dim: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed1d(3, 5, dim)
        self.register_buffer("positions", sincos_1d(8, dim, order="interleaved")[None], False)
        self.blocks = nn.ModuleList(Block(dim, 2, dropout=dropout) for _ in range(2))
        self.norm = nn.LayerNorm(dim)
        init_transformer(self, depth=2, std=0.2)

    def embed(self, x: Signals) -> Tensor:
        """All tokens."""
        return self.patch_embed(x.values) + self.positions

    def contextualise(self, tokens, keep=None, valid=None, last=1, layer=-1) -> Tensor:
        """Drop tokens, then the blocks."""
        if keep is not None:
            tokens = gather_tokens(tokens, keep)
        for block in self.blocks:
            tokens = block(tokens, valid)
        return self.norm(tokens)


class ToySampler:
    """Keep 3 of 8 tokens at random; the number is fixed, the places are not."""

    def __call__(self, n_samples, rng, *, rows=None) -> list[MaskPlan]:
        """One plan."""
        order = torch.as_tensor(rng.random((n_samples, 8)).argsort(axis=1))
        if rows is not None:
            order = order[torch.as_tensor(rows)]
        return [MaskPlan(order[:, :3].sort().values, (order[:, 3:].sort().values,))]


class RaggedSampler:
    """Between 2 and 5 targets a record, padded: the counts differ between slices of a batch."""

    def __call__(self, n_samples, rng, *, rows=None) -> list[MaskPlan]:
        """One plan with padding."""
        order = torch.as_tensor(rng.random((n_samples, 8)).argsort(axis=1))
        n_targets = torch.as_tensor(rng.integers(2, 6, n_samples))
        if rows is not None:
            rows = torch.as_tensor(rows)
            order, n_targets = order[rows], n_targets[rows]
        valid = torch.arange(5) < n_targets[:, None]
        return [MaskPlan(order[:, :3], (order[:, 3:],), target_valid=(valid,))]


def toy_jepa(
    *, seed=0, dropout=0.0, dtype=torch.float32, sampler=None, target=None, **options
) -> MaskedJEPA:
    """A MaskedJEPA of 8 tokens and width 16."""
    with keyed_torch_rng(seed, "init"):
        encoder = ToyEncoder(dropout=dropout)
        predictor = JointPredictor(16, 8, 1, 2, sincos_1d(8, 8, order="interleaved"))
    target = target or Target(norm="layernorm", momentum=Linear(0.9, 1.0))
    return MaskedJEPA(encoder, predictor, sampler or ToySampler(), target=target, **options).to(
        dtype
    )


@dataclass(frozen=True)
class Views:
    """Two views of each record and the action (a shift) between them."""

    first: Tensor
    second: Tensor
    action: Tensor

    def __len__(self) -> int:
        return len(self.first)


class ViewsCollator:
    """Crops two views of 20 samples; the action is the shift between them."""

    def __call__(self, samples: Tensor, key: BatchKey) -> Views:
        """Draw the shifts of the whole global batch, keep this slice's."""
        starts = key.generator("views").integers(0, 21, (key.size, 2))[key.rows]
        pick = [
            torch.stack([x[:, s : s + 20] for x, s in zip(samples, starts[:, v], strict=True)])
            for v in range(2)
        ]
        shift = torch.as_tensor((starts[:, 1] - starts[:, 0]) / 20, dtype=samples.dtype)
        return Views(pick[0], pick[1], shift[:, None])


class ViewsAndActions(Objective):
    """No masks: predict the second view's embedding from the first and the action (seq-JEPA)."""

    def __init__(self) -> None:
        super().__init__()
        with keyed_torch_rng(0, "init"):
            self.encoder = nn.Sequential(
                nn.Flatten(), nn.Linear(60, 16), nn.GELU(), nn.Linear(16, 8)
            )
            self.predictor = nn.Sequential(nn.Linear(9, 16), nn.GELU(), nn.Linear(16, 8))
        self.slow = momentum_copy(self.encoder)

    def collator(self) -> ViewsCollator:
        """Two crops."""
        return ViewsCollator()

    def momentum_copies(self) -> dict[str, Momentum]:
        """The encoder's copy."""
        return {"slow": Momentum(self.encoder, self.slow, Linear(0.95, 1.0))}

    def after_step(self, info: StepInfo) -> None:
        """Move the copy."""
        self.momentum_copies()["slow"].after_step(info)

    def forward(self, batch: Views, rng: torch.Generator) -> Losses:
        """Cosine distance; counts records."""
        pred = self.predictor(torch.cat([self.encoder(batch.first), batch.action], 1))
        with torch.no_grad():
            target = self.slow(batch.second)
        loss = 1 - F.cosine_similarity(pred, target)
        return Losses({"cosine": (loss.sum(), len(batch))})


class TwoTargets(Objective):
    """Two target encoders: a fast and a slow copy of one encoder, each with its predictor."""

    def __init__(self) -> None:
        super().__init__()
        with keyed_torch_rng(0, "init"):
            self.encoder = nn.Sequential(
                nn.Flatten(), nn.Linear(60, 16), nn.GELU(), nn.Linear(16, 8)
            )
            self.heads = nn.ModuleList(nn.Linear(9, 8) for _ in range(2))
        self.fast, self.slow = momentum_copy(self.encoder), momentum_copy(self.encoder)

    def collator(self) -> ViewsCollator:
        """Two crops."""
        return ViewsCollator()

    def momentum_copies(self) -> dict[str, Momentum]:
        """One moves before each forward, the other after the step."""
        return {
            "fast": Momentum(
                self.encoder, self.fast, Linear(0.5, 0.9), update="before", per="forward"
            ),
            "slow": Momentum(self.encoder, self.slow, Linear(0.99, 1.0)),
        }

    def before_forward(self, info: StepInfo) -> None:
        """Move the fast copy."""
        self.momentum_copies()["fast"].before_forward(info)

    def after_step(self, info: StepInfo) -> None:
        """Move the slow copy."""
        self.momentum_copies()["slow"].after_step(info)

    def forward(self, batch: Views, rng: torch.Generator) -> Losses:
        """Two named parts, one of them at half weight."""
        x = torch.cat([self.encoder(batch.first), batch.action], 1)
        parts = {}
        for name, head in zip(("fast", "slow"), self.heads, strict=True):
            with torch.no_grad():
                target = getattr(self, name)(batch.second)
            parts[name] = (F.mse_loss(head(x), target, reduction="sum"), len(batch))
        return Losses(parts, {"slow": 0.5})


@dataclass(frozen=True)
class Crops:
    """Two long and two short crops of each record."""

    long: Tensor
    short: Tensor

    def __len__(self) -> int:
        return self.long.shape[1]


class CropsCollator:
    """Crop starts are drawn for the global batch."""

    def __call__(self, samples: Tensor, key: BatchKey) -> Crops:
        """Cut the crops."""
        starts = key.generator("crops").integers(0, 11, (key.size, 4))[key.rows]

        def cut(view: int, n: int) -> Tensor:
            pairs = zip(samples, starts[:, view], strict=True)
            return torch.stack([x[:, s : s + n] for x, s in pairs])

        return Crops(torch.stack([cut(0, 30), cut(1, 30)]), torch.stack([cut(2, 10), cut(3, 10)]))


class MultiCrops(Objective):
    """Self-distillation over crops with a centre reduced over ranks and a head frozen at first."""

    def __init__(self) -> None:
        super().__init__()
        with keyed_torch_rng(0, "init"):
            self.encoder = nn.Linear(3, 12)
            self.head = nn.Linear(12, 6, bias=False)
        self.slow_encoder, self.slow_head = momentum_copy(self.encoder), momentum_copy(self.head)
        self.register_buffer("centre", torch.zeros(6))
        self._sum = torch.zeros(7)

    def collator(self) -> CropsCollator:
        """Four crops."""
        return CropsCollator()

    def momentum_copies(self) -> dict[str, Momentum]:
        """Encoder and head move alike."""
        return {
            "slow_encoder": Momentum(self.encoder, self.slow_encoder, Linear(0.9, 1.0)),
            "slow_head": Momentum(self.head, self.slow_head, Linear(0.9, 1.0)),
        }

    def param_groups(self, recipe=None) -> list[ParamGroup]:
        """The head rests for two steps and is clipped by itself."""
        head = ParamGroup([self.head.weight], frozen_until=2, clip_group="head")
        return [*split_by_decay(self.encoder), head]

    def before_step(self, info: StepInfo) -> None:
        """A new sum for the centre."""
        self._sum = torch.zeros_like(self.centre.new_zeros(7))

    def after_step(self, info: StepInfo) -> None:
        """Move the copies, and the centre by the outputs of all ranks and micro-batches."""
        for copy in self.momentum_copies().values():
            copy.after_step(info)
        total = sum_over_ranks(self._sum)
        self.centre.mul_(0.9).add_(total[:6] / total[6], alpha=0.1)

    def forward(self, batch: Crops, rng: torch.Generator) -> Losses:
        """Cross-entropy of each crop against the centred output for the other long crop."""
        with torch.no_grad():
            outputs = [self.slow_head(self.slow_encoder(x.mean(-1)).tanh()) for x in batch.long]
            targets = [((out - self.centre) / 0.05).softmax(-1) for out in outputs]
            flat = torch.cat(outputs)
            self._sum += torch.cat([flat.sum(0), flat.new_tensor([len(flat)])])
        total, pairs = 0.0, 0
        for i, x in enumerate([*batch.long, *batch.short]):
            logits = self.head(self.encoder(x.mean(-1)).tanh()) / 0.1
            for j, target in enumerate(targets):
                if i != j:
                    total = total - (target * logits.log_softmax(-1)).sum()
                    pairs += 1
        return Losses({"crops": (total, pairs * len(batch))})


TOYS = {
    "masked": toy_jepa,
    "two_targets": TwoTargets,
    "views_and_actions": ViewsAndActions,
    "multi_crops": MultiCrops,
}
