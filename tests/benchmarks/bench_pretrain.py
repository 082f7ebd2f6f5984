"""Pretraining steps of ECG-JEPA ViT-XS: `python -m tests.benchmarks.bench_pretrain`.

Official shapes (12 leads x 5,000 samples, batch 32, 40 context and 160 target tokens), 2 threads.
Ours is the engine's loop as a user runs it, with bf16 autocast and in float32: masks drawn,
momentum, forward, backward, finite guard, fused AdamW. Against it stands `straightforward`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.model import build_jepa
from biojepa.engine.config import TrainConfig
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.engine.train import train
from tests.benchmarks import straightforward
from tests.benchmarks.measure import (
    alternate,
    bar,
    clock,
    machine,
    ratio,
    report,
    seconds,
    threads_asked,
)

BATCH, STEPS, WARM, TARGET = 32, 3, 1, 1.8
CONFIG = ECGModelConfig(keep=(0.2, 0.2))  # 40 of 200 tokens in every batch


class NoiseRecords:
    """Records that are ready in memory: reading is measured elsewhere."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        self.values = torch.randn(4 * BATCH, 12, CONFIG.n_times, generator=rng)
        self.times: list[float] = []  # when each step began

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """The records of these numbers."""
        self.times.append(clock())
        return Signals(self.values[torch.from_numpy(indices)])


def ours(data: NoiseRecords, precision: str) -> float:
    """Seconds of one engine step."""
    training = TrainConfig(
        steps=WARM + STEPS,
        batch_size=BATCH,
        precision=precision,
        device="cpu",
        warmup_steps=1,
        log_every=100,
        diagnose_every=0,
        final_weight_decay=0.1,
    )
    data.times = []
    train(build_jepa(CONFIG), data, training, progress=False)
    return (clock() - data.times[WARM]) / STEPS


def plain(data: NoiseRecords) -> float:
    """Seconds of one straightforward step."""
    model = straightforward.StraightforwardJEPA()
    model.load_state_dict(build_jepa(CONFIG).state_dict())
    optimizer = straightforward.make_optimizer(model, 1e-3, 0.01)
    rng = np.random.default_rng(0)
    sampler = CONFIG.sampler()

    def steps(n: int) -> None:
        for step in range(n):
            plan = sampler(BATCH, rng)[0]
            x = data.values[step * BATCH : (step + 1) * BATCH]
            straightforward.train_step(model, optimizer, x, plan.context, plan.targets[0], 0.998)

    steps(WARM)
    return seconds(lambda: steps(STEPS)) / STEPS


def main() -> dict:
    """Measure and report."""
    threads_asked()
    data = NoiseRecords()
    sides: dict[str, Callable[[], float]] = {
        "straightforward fp32": lambda: plain(data),
        "ours fp32": lambda: ours(data, "32-true"),
        "ours bf16": lambda: ours(data, "bf16-mixed"),
    }
    figures = alternate(sides)
    slow = figures["straightforward fp32"]
    ratios = {name: ratio(slow, figures[name]) for name in sides}
    rows = [["ViT-XS pretraining step, batch 32", "samples/s", "ratio", "least", "largest"]]
    for name, found in ratios.items():
        speed = float(np.median([BATCH / s for s in figures[name]]))
        rows.append([name, speed, found["median"], found["min"], found["max"]])
    value = bar(ratios["ours bf16"]["median"], TARGET, applies=machine()["amx_bf16"])
    result = {
        "samples_per_s": {name: [BATCH / s for s in figures[name]] for name in sides},
        "against_straightforward": ratios,
        "ratios": {"pretraining XS, bf16, over straightforward": value},
    }
    return report("bench_pretrain", "Pretraining", rows, result)


if __name__ == "__main__":
    main()
