"""`biojepa pretrain fmri`: one run on region series, with a model folder in the end."""

from __future__ import annotations

import platform
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from tyro.conf import Positional, arg

from biojepa import __version__
from biojepa.cli.console import say, table
from biojepa.cli.errors import INTERRUPTED, OK, TERMINATED, UsageError
from biojepa.cli.fmri_sources import RunOptions, open_source
from biojepa.cli.parse import absolute, option, parse
from biojepa.engine.run import write_card
from biojepa.fmri._encoder_file import read_encoder
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.gradient_file import read_gradients
from biojepa.fmri.pretrain import Pretrained, pretrain, scaled_training
from biojepa.fmri.recipes import get_recipe
from biojepa.plotting.curves import plot_curves

MORE = """\
examples:
  biojepa pretrain fmri my_series/ -o my_run --tr 2
  biojepa pretrain fmri my_store -o my_run --preset small --steps 800
  biojepa pretrain fmri my_store -o my_run --resume auto
features: BrainJEPA.from_pretrained("my_run").transform(runs)"""


@dataclass(frozen=True)
class Options:
    """Pretrain a Brain-JEPA on region series of any atlas; labels are not needed.

    Writes into RUN: the model (RUN/model), curves.png, metrics.csv, config.yaml, model_card.json
    and checkpoints. Stopped by Ctrl-C or SIGTERM it saves first; --resume auto goes on.
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
    records = open_source(options.data, options.files, default_tr=recipe.tr_s)
    rows = [
        ("runs", f"{len(records):,} from {', '.join(options.data)}"),
        ("recipe", recipe.name),
        ("training", f"{training.steps:,} steps of {training.batch_size} runs"),
        ("run", str(out)),
    ]
    say("Brain-JEPA pretraining", *table(rows))
    fitted = pretrain(
        records,
        recipe,
        gradients=None if options.gradients is None else read_gradients(options.gradients),
        normalise=options.normalise,
        training=training,
        init=None if options.init is None else read_encoder(options.init)[0],
        out=out,
        resume=options.resume == "auto",
    )
    result = fitted.result
    if (out / "metrics.csv").read_text(encoding="utf-8").count("\n") > 1:
        plot_curves(out / "metrics.csv", title=out.name).savefig(out / "curves.png", dpi=120)
    if result.step < training.steps and not result.exhausted:
        say(
            f"stopped at step {result.step:,} of {training.steps:,}; all of it is saved.",
            "go on with the same command and --resume auto",
        )
        return INTERRUPTED if result.stopped_by == signal.SIGINT else TERMINATED
    estimator = BrainJEPA(preset=recipe.name)
    estimator.take(fitted)
    estimator.n_features_in_ = len(fitted.atlases[0])
    estimator.save_pretrained(out / "model")
    write_card(out, _card(fitted, recipe.name, options))
    lines = [("model", str(out / "model")), ("curves", str(out / "curves.png"))]
    say(f"done: {result.step:,} steps in {result.seconds:.0f} s", *table(lines))
    if result.collapsed:
        say("warning: the embeddings collapsed; see curves.png before using the features")
    return OK


def _card(fitted: Pretrained, recipe: str, options: Options) -> dict[str, object]:
    last = fitted.result.rows[-1] if fitted.result.rows else {}
    return {
        "modality": "fmri",
        "recipe": recipe,
        "atlases": [len(atlas) for atlas in fitted.atlases],
        "tr_s": fitted.preprocess.tr_s,
        "normalise": fitted.preprocess.normalise,
        "n_records": fitted.training["n_records"],
        "data_fingerprint": fitted.training["fingerprint"],
        "source": list(options.data),
        "steps": fitted.result.step,
        "last_metrics": {k: v for k, v in last.items() if np.isfinite(v)},
        "collapsed": fitted.result.collapsed,
        "versions": {
            "biojepa": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
