"""`biojepa pretrain eeg`: one run on EEG files or stores, with a model folder in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from biojepa.cli.config_files import settings_text, split_options
from biojepa.cli.eeg_runs import EEGRun, train_run
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import absolute, option, parse
from biojepa.cli.training_options import Training, given_settings
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.config import TrainConfig

TREE = {"train": TrainConfig}
MORE = """\
examples:
  biojepa pretrain eeg my_eegs/ -o my_run
  biojepa pretrain eeg sub-01_eeg.edf sub-02_eeg.edf -o my_run --on-unknown drop
  biojepa pretrain eeg my_eegs/ -o my_run --steps 2000 --resume auto
every other setting: --train.NAME VALUE, or the same in a YAML file (--config);
`biojepa pretrain eeg --print-config` lists them all with what they mean.
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
    preset: Annotated[str | None, option("NAME")] = None
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
    config: Annotated[str | None, option("FILE.yaml")] = None
    """Settings; options of the command line win over it."""
    init: Annotated[str | None, option("MODEL")] = None
    """Go on from this model instead of random weights."""
    resume: Annotated[Literal["no", "auto"], option("no|auto")] = "no"
    """auto: go on if RUN holds a run of the same settings, else start (for job queues)."""
    override: Annotated[bool, option()] = False
    """With --resume auto: go on although settings changed."""
    print_config: Annotated[bool, option()] = False
    """Print all settings of the training as YAML and stop."""
    training: Annotated[Training, arg(name="")] = Training()


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    rest, dotted = split_options(argv, list(TREE))
    options = parse(Options, "pretrain eeg", rest, more=MORE)
    given = given_settings(
        TREE,
        preset=options.preset,
        init=options.init,
        config=options.config,
        groups={"train": options.training},
        dotted=dotted,
    )
    recipe = get_recipe(given.preset)
    training = given.over("train", recipe.train)
    if options.print_config:
        print(f"preset: {recipe.name}")
        print(settings_text({"train": training}), end="")
        return OK
    if not options.data:
        raise UsageError("expected DATA: a store, files or a folder; see --help")
    if options.out is None:
        raise UsageError("expected -o RUN, a folder for the run; see --help")
    model: dict[str, Any] = {"masks": options.masks, "radius": options.radius}
    return train_run(
        EEGRun(
            Path(absolute(options.out)),
            tuple(absolute(path) for path in options.data),
            recipe.name,
            training,
            {name: value for name, value in model.items() if value is not None},
            units=options.units,
            on_unknown=options.on_unknown,
            init=given.init,
            resume=options.resume == "auto",
            override=options.override,
        )
    )
