"""`biojepa pretrain fmri`: one run on region series, with a model folder in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from biojepa.cli.errors import UsageError
from biojepa.cli.fmri_runs import FMRIRun, train_run
from biojepa.cli.fmri_sources import RunOptions
from biojepa.cli.parse import absolute, option, parse
from biojepa.fmri.pretrain import scaled_training
from biojepa.fmri.recipes import get_recipe

MORE = """\
examples:
  biojepa pretrain fmri my_series/ -o my_run --tr 2
  biojepa pretrain fmri my_store -o my_run --preset small --steps 800
  biojepa pretrain fmri my_store -o my_run --resume auto
  biojepa resume my_run
features: biojepa embed my_run FILES... -o features.csv, or in Python
BrainJEPA.from_pretrained("my_run").transform(runs)"""


@dataclass(frozen=True)
class Options:
    """Pretrain a Brain-JEPA on region series of any atlas; labels are not needed.

    Writes into RUN: the model (RUN/model), pictures (curves, masks, gradients, regions),
    metrics.csv, config.yaml, model_card.json and checkpoints. Stopped by Ctrl-C or SIGTERM it
    saves first; `biojepa resume` goes on.
    """

    data: Annotated[Positional[tuple[str, ...]], option("DATA...")] = ()
    """A store of `biojepa prepare fmri`, or files or folders of region series."""
    out: Annotated[str | None, option("RUN", short="-o")] = None
    """Folder for the run."""
    preset: Annotated[str, option("NAME")] = "small"
    """small (default: some hundred runs, minutes on a CPU), tiny (to try things out), paper-s,
    paper-b or paper-l (tens of thousands of runs, GPUs)."""
    gradients: Annotated[str | None, option("FILE.csv")] = None
    """Gradients of the atlas (`biojepa gradients`); fitted on the runs by default."""
    normalise: Annotated[Literal["region", "robust", "global", "none"] | None, option("HOW")] = None
    """In place of the preset's: region (z-score of each region of a run) or robust (published)."""
    init: Annotated[str | None, option("MODEL")] = None
    """Go on from this model instead of random weights."""
    steps: Annotated[int | None, option("N")] = None
    """Optimiser steps; the warm-up is scaled along."""
    batch_size: Annotated[int | None, option("N")] = None
    """Runs a step."""
    lr: Annotated[float | None, option("RATE")] = None
    """Peak learning rate."""
    seed: Annotated[int, option("N")] = 0
    """Of weights, order, windows and masks."""
    device: Annotated[str, option("NAME")] = "auto"
    """auto (default), cpu, cuda or mps."""
    resume: Annotated[Literal["no", "auto"], option("no|auto")] = "no"
    """auto: go on if RUN holds a run of the same settings, else start."""
    files: Annotated[RunOptions, arg(name="")] = RunOptions()


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "pretrain fmri", argv, more=MORE)
    if options.out is None:
        raise UsageError("expected -o RUN, a folder for the run; see --help")
    if not options.data:
        raise UsageError("expected DATA: a store, files or folders of region series; see --help")
    out = Path(absolute(options.out))
    recipe = get_recipe(options.preset)
    training = scaled_training(
        recipe,
        steps=options.steps,
        batch_size=options.batch_size,
        lr=options.lr,
        seed=options.seed,
        device=options.device,
    )
    return train_run(
        FMRIRun(
            out,
            tuple(absolute(path) for path in options.data),
            recipe.name,
            training,
            options.files,
            gradients=None if options.gradients is None else absolute(options.gradients),
            normalise=options.normalise,
            init=options.init,
            resume=options.resume == "auto",
        )
    )
