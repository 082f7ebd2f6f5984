"""A toy run as a process of its own: `python -m tests.engine.run_toy OUT [options]`.

Tests start it alone, under several gloo processes, and kill it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings

import torch

from biojepa.engine.config import TrainConfig
from biojepa.engine.files import write_folder
from biojepa.engine.regularisers import SIGReg, VICReg
from biojepa.engine.train import train
from tests.engine.toys import TOYS, RaggedSampler, ToySignals, toy_jepa

REGULARISERS = {"none": None, "vicreg": VICReg(), "sigreg": SIGReg(n_directions=32)}


def main() -> int:
    """Train and write the final weights to OUT/final."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--toy", default="masked", choices=sorted(TOYS))
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--ragged", action="store_true")
    parser.add_argument("--regulariser", default="none", choices=sorted(REGULARISERS))
    parser.add_argument("--checkpoint-every", type=int, default=1000)
    parser.add_argument("--kill-at", type=int, default=-1, help="SIGKILL oneself after this step")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    dtype = torch.float64 if args.double else torch.float32
    if args.toy == "masked":
        sampler = RaggedSampler() if args.ragged else None
        objective = toy_jepa(
            dtype=dtype, sampler=sampler, regulariser=REGULARISERS[args.regulariser]
        )
    else:
        objective = TOYS[args.toy]().to(dtype)
    config = TrainConfig(
        steps=args.steps,
        batch_size=args.batch_size,
        accumulate=args.accumulate,
        warmup_steps=2,
        device="cpu",
        devices=args.devices,
        strategy=args.strategy,
        precision="64-true" if args.double else "32-true",
        workers=args.workers,
        log_every=1,
        diagnose_every=3 if args.strategy != "fsdp" else 0,
        checkpoint_every=args.checkpoint_every,
    )

    def kill(_objective, step: int) -> dict[str, float]:
        if step == args.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    result = train(
        objective,
        ToySignals(dtype=dtype),
        config,
        args.out,
        evaluate=kill if args.kill_at >= 0 else None,
        every=1,
        resume=args.resume,
    )
    if args.strategy != "fsdp" and int(os.environ.get("LOCAL_RANK", "0")) == 0:
        from pathlib import Path

        write_folder(Path(args.out) / "final", {"model": objective.state_dict()}, {})
    return 128 + result.stopped_by if result.stopped_by else 0


if __name__ == "__main__":
    sys.exit(main())
