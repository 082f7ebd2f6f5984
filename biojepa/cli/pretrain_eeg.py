"""`biojepa pretrain eeg`: one run on EEG files or stores, with a model folder in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from biojepa.cli.config_files import COMMAND_LINE, check_keys, split_options, with_settings
from biojepa.cli.eeg_runs import EEGRun, train_run
from biojepa.cli.errors import UsageError
from biojepa.cli.parse import absolute, option, parse
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.config import TrainConfig

MORE = """\
examples:
  biojepa pretrain eeg my_eegs/ -o my_run
  biojepa pretrain eeg sub-01_eeg.edf sub-02_eeg.edf -o my_run --on-unknown drop
  biojepa pretrain eeg my_eegs/ -o my_run --steps 2000 --resume auto
--train.NAME VALUE sets any other number, such as --train.workers 2
features: biojepa embed my_run my_eegs/ -o features.csv"""


@dataclass(frozen=True)
class Options:
    """Pretrain a Signal-JEPA on EEG of any montage; labels are not needed.

    Writes into RUN: the model (RUN/model), curves.png, metrics.csv, config.yaml, model_card.json
    and checkpoints. Stopped by Ctrl-C or SIGTERM it saves first; `biojepa resume RUN` goes on.
    Montages may differ: each batch holds one.
    """

    data: Annotated[Positional[tuple[str, ...]], option("DATA...")] = ()
    """Stores of `biojepa prepare eeg`, or files, folders (also BIDS) or patterns of EDF, BDF,
    FIF, BrainVision or EEGLAB."""
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
    rest, dotted = split_options(argv, ["train"])
    options = parse(Options, "pretrain eeg", rest, more=MORE)
    check_keys(dotted, {"train": TrainConfig}, where=COMMAND_LINE)
    if not options.data:
        raise UsageError("expected DATA: a store, files or a folder; see --help")
    if options.out is None:
        raise UsageError("expected -o RUN, a folder for the run; see --help")
    recipe = get_recipe(options.preset)
    model: dict[str, Any] = {"masks": options.masks, "radius": options.radius}
    init = options.init
    if init is not None and Path(init).exists():
        init = absolute(init)
    return train_run(
        EEGRun(
            Path(absolute(options.out)),
            tuple(absolute(path) for path in options.data),
            recipe.name,
            _training(recipe.train, options, dotted),
            {name: value for name, value in model.items() if value is not None},
            units=options.units,
            on_unknown=options.on_unknown,
            init=init,
            resume=options.resume == "auto",
        )
    )


def _training(base: TrainConfig, options: Options, dotted: dict[str, str]) -> TrainConfig:
    """The recipe's training with the command line's numbers in their place."""
    given = {"steps": options.steps, "batch_size": options.batch_size, "lr": options.lr}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    steps = changes.get("steps", base.steps)
    changes["warmup_steps"] = round(base.warmup_steps * steps / base.steps)
    training = replace(base, **changes, seed=options.seed, device=options.device)
    return with_settings("train", training, dotted, where=COMMAND_LINE)
