"""`biojepa pretrain ecg`: settings from preset, YAML and options, then one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from biojepa.cli.config_files import settings_text, split_options
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import absolute, option, parse
from biojepa.cli.sources import DataOptions, OnMissing, Source, Units
from biojepa.cli.training_options import Training, given_settings
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.recipes import Recipe, get_recipe
from biojepa.engine.config import TrainConfig

TREE = {"train": TrainConfig, "model": ECGModelConfig, "data": DataOptions}
MORE = """\
every other setting:
  --train.NAME VALUE, --model.NAME VALUE, or the same in a YAML file (--config).
  `biojepa pretrain ecg --preset small --print-config` lists them all with what
  they mean; save it, change it, and pass it with --config.

examples:
  biojepa pretrain ecg my_store -o my_run
  biojepa pretrain ecg ecgs.npy --fs 500 --units uV -o my_run --steps 2000
  biojepa pretrain ecg my_store -o my_run --init other_model --train.lr 3e-4
  biojepa pretrain ecg my_store -o my_run --devices 2 --resume auto
  biojepa pretrain ecg mimic code15 ptbxl -o my_run --weights 0.8,0.1,0.1"""


@dataclass(frozen=True)
class Ours:
    """What files do not say themselves."""

    fs: Annotated[float | None, option("HZ")] = None
    """Samples per second of files that do not say (NumPy, CSV, MATLAB)."""
    leads: Annotated[str | None, option("I,II,...")] = None
    """Names of the channels in the files, in their order."""
    units: Annotated[Units | None, option("UNIT")] = None
    """mV (default), uV, V, adc or arbitrary."""
    on_missing: Annotated[OnMissing | None, option("WHAT")] = None
    """A lead of the model is missing in a recording: error (default) or drop (mask it)."""
    weights: Annotated[str | None, option("W1,W2,...")] = None
    """Of several stores: each sample draws a store by weight, then a record of it."""


@dataclass(frozen=True)
class Options:
    """Pretrain an ECG-JEPA on your recordings; labels are not needed.

    Writes into RUN: the model (RUN/model), curves.png, metrics.csv, config.yaml, model_card.json
    and checkpoints. Stopped by Ctrl-C or SIGTERM it saves first; `biojepa resume RUN` goes on.
    """

    data: Annotated[Positional[tuple[str, ...]], option("DATA...")] = ()
    """A store of `biojepa prepare` (or several), files of any format, or an .npy/.npz
    array."""
    out: Annotated[str | None, option("RUN", short="-o")] = None
    """Folder for the run."""
    preset: Annotated[str | None, option("NAME")] = None
    """small (default: hundreds to thousands of recordings, minutes on a CPU), tiny (to try things
    out), paper-xs, paper-s or paper-b (hundreds of thousands, GPUs)."""
    config: Annotated[str | None, option("FILE.yaml")] = None
    """Settings; options of the command line win over it."""
    init: Annotated[str | None, option("MODEL")] = None
    """Go on from this model instead of random weights."""
    resume: Annotated[Literal["no", "auto"], option("no|auto")] = "no"
    """auto: go on if RUN holds a run of the same settings, else start (for job queues)."""
    override: Annotated[bool, option()] = False
    """With --resume auto: go on although settings changed."""
    print_config: Annotated[bool, option()] = False
    """Print all settings as YAML and stop."""
    files: Annotated[Ours, arg(name="")] = Ours()
    training: Annotated[Training, arg(name="")] = Training()


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    rest, dotted = split_options(argv, list(TREE))
    options = parse(Options, "pretrain ecg", rest, more=MORE)
    recipe, data, leads, init = resolve(options, dotted)
    if options.print_config:
        print(f"preset: {recipe.name}")
        print(settings_text({"train": recipe.train, "model": recipe.model, "data": data}), end="")
        return OK
    paths = options.data or data.stores or ()
    if not paths:
        raise UsageError("expected DATA: a store, files, a folder or an array; see --help")
    if options.out is None:
        raise UsageError("expected -o RUN, a folder for the run; see --help")
    from biojepa.cli.ecg_runs import Run, train_run

    source = Source(tuple(absolute(p) for p in paths), data, init)
    return train_run(
        Run(
            Path(absolute(options.out)),
            source,
            recipe,
            leads,
            resume=options.resume == "auto",
            override=options.override,
        )
    )


def resolve(
    options: Options, dotted: dict[str, str]
) -> tuple[Recipe, DataOptions, tuple[str, ...] | None, str | None]:
    """All settings: preset, then YAML, then the command line.

    Returns
    -------
    recipe : Recipe
    data : DataOptions
    leads : tuple of str or None
        Of the model, if asked for.
    init : str or None
        Model to go on from; a path is made absolute.

    Raises
    ------
    ConfigError
        If a key is unknown or a value cannot be used.
    """
    given = given_settings(
        TREE,
        preset=options.preset,
        init=options.init,
        config=options.config,
        groups={"data": options.files, "train": options.training},
        dotted=dotted,
    )
    recipe = get_recipe(given.preset)
    train, model = given.over("train", recipe.train), given.over("model", recipe.model)
    data = given.over("data", DataOptions())
    preprocess = recipe.preprocess
    if preprocess is not None:
        band = preprocess.bandpass_hz
        if band is not None and band[1] is not None and band[1] >= model.rate_hz / 2:
            band = (band[0], None)  # resampling to this rate cuts lower anyway
        preprocess = replace(preprocess, rate_hz=model.rate_hz, bandpass_hz=band)
    leads = model.leads if "model.leads" in given.names() else None
    named = replace(recipe, model=model, train=train, preprocess=preprocess)
    return named, data, leads, given.init
