"""What the loop costs over a plain one: `python -m tests.benchmarks.bench_engine_overhead`.

Both train a 64-128-64 student towards its momentum copy on one constant batch of 32 with fused
AdamW; the plain loop is what one would write by hand. What the engine does beyond it is the
overhead: keyed seeds, schedules, the finite check, counts, hooks. Prints JSON, in milliseconds.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.engine import Losses, Objective, TrainConfig, train
from biojepa.engine.momentum import Momentum, momentum_copy
from biojepa.engine.randomness import BatchKey
from biojepa.engine.schedules import Linear
from biojepa.engine.step import StepInfo

STEPS, PAIRS = 2000, 7


def student() -> nn.Module:
    """64-128-64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64))


BATCH = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))


class ConstantBatch:
    """The same 32 samples at every step, whichever of 3200 records are asked for."""

    def __len__(self) -> int:
        return 100 * len(BATCH)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Tensor:
        """Always the same."""
        return BATCH


def keep(samples: Tensor, key: BatchKey) -> Tensor:
    """Collate nothing."""
    return samples


class Toy(Objective):
    """A student and its momentum copy."""

    def __init__(self) -> None:
        super().__init__()
        self.student = student()
        self.target = momentum_copy(self.student)
        self._copies = {"target": Momentum(self.student, self.target, Linear(0.99, 1.0))}

    def collator(self):
        """Nothing to collate."""
        return keep

    def momentum_copies(self) -> dict[str, Momentum]:
        """One."""
        return self._copies

    def after_step(self, info: StepInfo) -> None:
        """Move it."""
        self._copies["target"].after_step(info)

    def forward(self, batch: Tensor, rng: torch.Generator) -> Losses:
        """L1 to the copy's output."""
        with torch.no_grad():
            target = self.target(batch)
        return Losses({"l1": (F.l1_loss(self.student(batch), target + 1), 1.0)})


def plain(steps: int) -> float:
    """Seconds of a hand-written loop with the same work."""
    model = student()
    target = momentum_copy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    sources, targets = list(model.parameters()), list(target.parameters())
    began = time.perf_counter()
    for step in range(steps):
        with torch.no_grad():
            wanted = target(BATCH)
        loss = F.l1_loss(model(BATCH), wanted + 1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        m = 0.99 + 0.01 * step / steps
        with torch.no_grad():
            torch._foreach_mul_(targets, m)
            torch._foreach_add_(targets, sources, alpha=1 - m)
    return time.perf_counter() - began


def engine(steps: int) -> float:
    """Seconds inside the engine's loop, setting up not counted."""
    config = TrainConfig(
        steps=steps,
        batch_size=32,
        device="cpu",
        warmup_steps=10,
        log_every=100,
        diagnose_every=0,
    )
    return train(Toy(), ConstantBatch(), config, progress=False).seconds


def main() -> None:
    """Alternate the two, print the medians."""
    torch.set_num_threads(1)
    plain(100)
    engine(100)
    if "--profile" in sys.argv:
        with cProfile.Profile() as profile:
            engine(STEPS)
        stats = pstats.Stats(profile).sort_stats("cumtime")
        stats.print_stats(60)
        stats.print_callers(r"module.py.*parameters|zeros|hasattr")
        return
    pairs = [(plain(STEPS), engine(STEPS)) for _ in range(PAIRS)]
    per_step = 1000 / STEPS
    result = {
        "plain_ms": statistics.median(p for p, _ in pairs) * per_step,
        "engine_ms": statistics.median(e for _, e in pairs) * per_step,
        "overhead_ms": statistics.median(e - p for p, e in pairs) * per_step,
        "target_ms": 0.3,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}))


if __name__ == "__main__":
    main()
