"""A pretraining step of Brain-JEPA ViT-B: `python -m tests.benchmarks.bench_brain_pretrain`.

Published shapes: 450 regions x 160 frames, 4,500 tokens, one run a micro-batch. Ours is the
engine's loop as a user runs it, with bf16 autocast and in float32; against it stands the plain form
with explicit attention in float32, on the same masks. Each side runs in a process of its own, whose
largest resident memory counts with everything in it (Linux and macOS).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import torch

from biojepa.engine.config import TrainConfig
from biojepa.engine.masked_batch import MaskedCollator
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.engine.train import train
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.model import build_jepa
from biojepa.fmri.recipes import get_recipe
from tests.benchmarks import straightforward_brain
from tests.benchmarks.measure import ROOT, bar, clock, ratio, report

STEPS, WARM = 1, 1
FASTER, MOST_GB = 5.0, 3.5
RECIPE = get_recipe("paper-b")
CONFIG = BrainModelConfig()  # ViT-B, corrected masks
SIDES = {"explicit fp32": "plain", "ours fp32": "32-true", "ours bf16": "bf16-mixed"}
MODULE = "tests.benchmarks.bench_brain_pretrain"


class NoiseRuns:
    """Runs that are ready in memory."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        shape = (WARM + STEPS, CONFIG.n_regions, CONFIG.n_times)
        self.values = torch.randn(shape, generator=rng)
        self.gradients = torch.randn(CONFIG.n_regions, CONFIG.n_gradients, generator=rng)
        self.times: list[float] = []  # when each step began

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """The runs of these numbers."""
        self.times.append(clock())
        return Signals(self.values[torch.from_numpy(indices)])


def ours(data: NoiseRuns, precision: str) -> None:
    """Steps of the engine."""
    training = TrainConfig(
        steps=WARM + STEPS,
        batch_size=1,
        precision=precision,
        recompute=RECIPE.train.recompute,
        device="cpu",
        warmup_steps=1,
        log_every=100,
        diagnose_every=0,
    )
    train(build_jepa(CONFIG, gradients=data.gradients), data, training, progress=False)
    data.times.append(clock())


def plain(data: NoiseRuns) -> None:
    """Steps of the plain form, on the masks that the engine draws."""
    model = straightforward_brain.StraightforwardBrainJEPA(data.gradients)
    model.load_state_dict(build_jepa(CONFIG, gradients=data.gradients).state_dict())
    optimizer = straightforward_brain.make_optimizer(model, 1e-3, 0.01)
    collate = MaskedCollator(CONFIG.sampler())
    for step in range(WARM + STEPS):
        key = BatchKey(0, step, np.arange(1), 1)
        batch = collate(data.fetch(np.array([step]), key), key)
        plan = batch.plans[0]
        straightforward_brain.train_step(
            model, optimizer, batch.signals.values, plan.context, plan.targets[0], 0.996
        )
    data.times.append(clock())


def run_side(kind: str) -> dict[str, float]:
    """Seconds of a step and the largest resident memory of this process, gigabytes."""
    data = NoiseRuns()
    if kind == "plain":
        plain(data)
    else:
        ours(data, kind)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = (data.times[-1] - data.times[WARM]) / STEPS
    return {"seconds": seconds, "gigabytes": largest * unit / 1e9}


def child(kind: str, threads: int) -> dict[str, float]:
    """`run_side` in a process of its own."""
    command = [sys.executable, "-m", MODULE, "--threads", str(threads), "--side", kind]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> dict[str, Any] | None:
    """Measure and report; in a child, run one side."""
    parser = argparse.ArgumentParser(description="Ratio of a step and peak memory; writes JSON.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=list(SIDES.values()))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.side:
        print(json.dumps(run_side(given.side)))
        return None
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    for round_ in range(given.rounds):
        for name in list(SIDES)[:: -1 if round_ % 2 else 1]:
            rounds[name].append(child(SIDES[name], given.threads))
    times = {name: [found["seconds"] for found in rounds[name]] for name in SIDES}
    memory = {name: max(found["gigabytes"] for found in rounds[name]) for name in SIDES}
    ratios = {name: ratio(times["explicit fp32"], times[name]) for name in SIDES}
    rows: list[list[Any]] = [
        ["ViT-B, 450 x 160, batch 1", "s a step", "ratio", "least", "largest", "GB"]
    ]
    for name, found in ratios.items():
        middle = float(np.median(times[name]))
        rows.append([name, middle, found["median"], found["min"], found["max"], memory[name]])
    bf16 = ratios["ours bf16"]["median"]
    result = {
        "seconds": times,
        "gigabytes": memory,
        "against_explicit": ratios,
        "ratios": {
            "Brain-JEPA ViT-B step, bf16, over explicit attention in fp32": bar(bf16, FASTER),
            "peak memory of that step, bf16, GB": bar(memory["ours bf16"], MOST_GB, holds="<="),
        },
    }
    return report("bench_brain_pretrain", "Brain-JEPA pretraining", rows, result)


if __name__ == "__main__":
    main()
