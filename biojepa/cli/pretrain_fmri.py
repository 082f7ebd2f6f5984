"""`biojepa pretrain fmri`: one run on region series, with a model folder in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from biojepa.cli.config_files import settings_text, split_options
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.fmri_runs import FMRIRun, train_run
from biojepa.cli.fmri_sources import RunOptions
from biojepa.cli.parse import absolute, option, parse
from biojepa.cli.training_options import Training, given_settings
from biojepa.engine.config import TrainConfig
from biojepa.fmri.pretrain import scaled_batch
from biojepa.fmri.recipes import get_recipe

TREE = {"train": TrainConfig}
MORE = """\
examples:
  biojepa pretrain fmri my_series/ -o my_run --tr 2
  biojepa pretrain fmri my_store -o my_run --preset small --steps 800
  biojepa pretrain fmri my_store -o my_run --devices 2 --resume auto
  biojepa resume my_run
every other setting: --train.NAME VALUE, or the same in a YAML file (--config);
`biojepa pretrain fmri --print-config` lists them all with what they mean.
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
    preset: Annotated[str | None, option("NAME")] = None
    """small (default: some hundred runs, minutes on a CPU), tiny (to try things out), paper-s,
    paper-b or paper-l (tens of thousands of runs, GPUs)."""
    gradients: Annotated[str | None, option("FILE.csv")] = None
    """Gradients of the atlas (`biojepa gradients`); fitted on the runs by default."""
    normalise: Annotated[Literal["region", "robust", "global", "none"] | None, option("HOW")] = None
    """In place of the preset's: region (z-score of each region of a run) or robust (published)."""
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
    files: Annotated[RunOptions, arg(name="")] = RunOptions()
    training: Annotated[Training, arg(name="")] = Training()


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    rest, dotted = split_options(argv, list(TREE))
    options = parse(Options, "pretrain fmri", rest, more=MORE)
    given = given_settings(
        TREE,
        preset=options.preset,
        init=options.init,
        config=options.config,
        groups={"train": options.training},
        dotted=dotted,
    )
    recipe = get_recipe(given.preset)
    training = given.over("train", scaled_batch(recipe.train, options.training.batch_size))
    if options.print_config:
        print(f"preset: {recipe.name}")
        print(settings_text({"train": training}), end="")
        return OK
    if options.out is None:
        raise UsageError("expected -o RUN, a folder for the run; see --help")
    if not options.data:
        raise UsageError("expected DATA: a store, files or folders of region series; see --help")
    gradients = options.gradients
    return train_run(
        FMRIRun(
            Path(absolute(options.out)),
            tuple(absolute(path) for path in options.data),
            recipe.name,
            training,
            options.files,
            gradients=None if gradients is None else absolute(gradients),
            normalise=options.normalise,
            init=given.init,
            resume=options.resume == "auto",
            override=options.override,
        )
    )
