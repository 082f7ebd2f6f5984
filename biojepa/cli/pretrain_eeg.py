"""`biojepa pretrain eeg`: one run on EEG files or stores, with a model folder in the end."""

from __future__ import annotations

import platform
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from tyro.conf import Positional

from biojepa import __version__
from biojepa.cli.console import say, table
from biojepa.cli.errors import INTERRUPTED, OK, TERMINATED, UsageError
from biojepa.cli.parse import absolute, option, parse
from biojepa.data.eeg_records import EEGRecords, open_eeg
from biojepa.eeg._encoder_file import read_encoder
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.pretrain import Pretrained, pretrain
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.run import write_card
from biojepa.plotting.curves import plot_curves

MORE = """\
examples:
  biojepa pretrain eeg my_eegs/ -o my_run
  biojepa pretrain eeg sub-01_eeg.edf sub-02_eeg.edf -o my_run --on-unknown drop
  biojepa pretrain eeg my_eegs/ -o my_run --steps 2000 --resume auto
features: SignalJEPA.from_pretrained("my_run").transform("my_eegs/")"""


@dataclass(frozen=True)
class Options:
    """Pretrain a Signal-JEPA on EEG of any montage; labels are not needed.

    Writes into RUN: the model (RUN/model), curves.png, metrics.csv, config.yaml, model_card.json
    and checkpoints. Stopped by Ctrl-C or SIGTERM it saves first; --resume auto goes on.
    """

    data: Annotated[Positional[tuple[str, ...]], option("DATA...")] = ()
    """A store, or files, folders (also BIDS) or patterns of EDF, BDF, FIF, BrainVision or
    EEGLAB."""
    out: Annotated[str | None, option("RUN", short="-o")] = None
    """Folder for the run."""
    preset: Annotated[str, option("NAME")] = "small"
    """small (default: hours of EEG, minutes on a CPU), tiny (to try things out) or paper (a
    GPU)."""
    masks: Annotated[Literal["paper", "config", "space-time"] | None, option("KIND")] = None
    """In place of the preset's: which reading of the block masks."""
    radius: Annotated[float | None, option("R")] = None
    """Of a block, head radii: 0.4, 0.6 or 0.8."""
    units: Annotated[Literal["uV", "mV", "V", "arbitrary"], option("UNIT")] = "uV"
    """arbitrary: the files are not in volts, whatever they say."""
    on_unknown: Annotated[Literal["error", "drop"], option("WHAT")] = "error"
    """A channel without a known place: error (default) or drop (leave it out)."""
    init: Annotated[str | None, option("MODEL")] = None
    """Go on from this model instead of random weights."""
    steps: Annotated[int | None, option("N")] = None
    """Optimiser steps; the warm-up is scaled along."""
    batch_size: Annotated[int | None, option("N")] = None
    """Windows a step."""
    lr: Annotated[float | None, option("RATE")] = None
    """Peak learning rate."""
    seed: Annotated[int, option("N")] = 0
    """Of weights, order, windows and masks."""
    device: Annotated[str, option("NAME")] = "auto"
    """auto (default), cpu, cuda or mps."""
    resume: Annotated[Literal["no", "auto"], option("no|auto")] = "no"
    """auto: go on if RUN holds a run of the same settings, else start."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "pretrain eeg", argv, more=MORE)
    if not options.data:
        raise UsageError("expected DATA: a store, files or a folder; see --help")
    if options.out is None:
        raise UsageError("expected -o RUN, a folder for the run; see --help")
    out = Path(absolute(options.out))
    recipe = get_recipe(options.preset)
    training = _training(recipe.train, options)
    source = _source(options)
    model: dict[str, Any] = {"masks": options.masks, "radius": options.radius}
    model = {name: value for name, value in model.items() if value is not None}
    rows = [
        ("EEG", f"{len(source.records):,} recordings from {', '.join(options.data)}"),
        ("recipe", recipe.name),
        ("training", f"{training.steps:,} steps of {training.batch_size} windows"),
        ("run", str(out)),
    ]
    say("Signal-JEPA pretraining", *table(rows))
    fitted, inputs = pretrain(
        source,
        recipe,
        on_unknown=options.on_unknown,
        model=model or None,
        training=training,
        init=None if options.init is None else read_encoder(options.init)[0],
        out=out,
        resume=options.resume == "auto",
    )
    say(str(inputs.placed))
    result = fitted.result
    if (out / "metrics.csv").read_text(encoding="utf-8").count("\n") > 1:
        plot_curves(out / "metrics.csv", title=out.name).savefig(out / "curves.png", dpi=120)
    if result.step < training.steps and not result.exhausted:
        say(
            f"stopped at step {result.step:,} of {training.steps:,}; all of it is saved.",
            "go on with the same command and --resume auto",
        )
        return INTERRUPTED if result.stopped_by == signal.SIGINT else TERMINATED
    estimator = SignalJEPA(preset=recipe.name)
    estimator.take(fitted)
    estimator.n_features_in_ = len(fitted.config.channels)
    estimator.save_pretrained(out / "model")
    write_card(out, _card(fitted, recipe.name, options))
    lines = [("model", str(out / "model")), ("curves", str(out / "curves.png"))]
    say(f"done: {result.step:,} steps in {result.seconds:.0f} s", *table(lines))
    if result.collapsed:
        say("warning: the embeddings collapsed; see curves.png before using the features")
    return OK


def _training(base: TrainConfig, options: Options) -> TrainConfig:
    """The recipe's training with the command line's numbers in their place."""
    given = {"steps": options.steps, "batch_size": options.batch_size, "lr": options.lr}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    steps = changes.get("steps", base.steps)
    warmup = round(base.warmup_steps * steps / base.steps)
    return replace(base, **changes, warmup_steps=warmup, seed=options.seed, device=options.device)


def _source(options: Options) -> EEGRecords:
    data = options.data[0] if len(options.data) == 1 else list(options.data)
    return open_eeg(data, units=options.units)


def _card(fitted: Pretrained, recipe: str, options: Options) -> dict[str, object]:
    last = fitted.result.rows[-1] if fitted.result.rows else {}
    return {
        "modality": "eeg",
        "recipe": recipe,
        "channels": list(fitted.config.channels),
        "rate_hz": fitted.config.rate_hz,
        "reference": fitted.preprocess.reference,
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
