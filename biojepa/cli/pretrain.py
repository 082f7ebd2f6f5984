"""`biojepa pretrain ecg`: settings from preset, YAML and options, then one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from biojepa.cli.config_files import (
    COMMAND_LINE,
    check_keys,
    read_config,
    settings_text,
    split_options,
    with_settings,
)
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import absolute, option, parse
from biojepa.cli.sources import DataOptions, OnMissing, Source, Units
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.recipes import Recipe, get_recipe
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError

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
class Training:
    """How to train, in place of the preset's settings."""

    steps: Annotated[int | None, option("N")] = None
    """Optimiser steps; the warm-up is scaled along."""
    batch_size: Annotated[int | None, option("N")] = None
    """Recordings a step, over all processes."""
    lr: Annotated[float | None, option("RATE")] = None
    """Peak learning rate."""
    seed: Annotated[int | None, option("N")] = None
    """Of weights, order, crops and masks."""
    device: Annotated[str | None, option("NAME")] = None
    """auto (default), cpu, cuda or mps."""
    devices: Annotated[int | None, option("N")] = None
    """Processes on this machine (torchrun and SLURM also work)."""
    num_nodes: Annotated[int | None, option("N")] = None
    """Machines."""
    strategy: Annotated[str | None, option("NAME")] = None
    """auto, ddp, or fsdp for models larger than a device."""
    precision: Annotated[str | None, option("NAME")] = None
    """32-true, bf16-mixed or 64-true."""
    workers: Annotated[int | None, option("N")] = None
    """Loader processes; 0 suits stores and arrays."""


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
    flat: dict[str, Any] = {}
    if options.config is not None:
        flat = read_config(options.config, sections=list(TREE), others=("preset", "init"))
    preset = options.preset or _name(flat, "preset", options.config) or "small"
    init = options.init or _name(flat, "init", options.config)
    flat = {key: value for key, value in flat.items() if key not in ("preset", "init")}
    line: dict[str, Any] = dict(dotted)
    for section, group in (("data", options.files), ("train", options.training)):
        for f in fields(group):
            value = getattr(group, f.name)
            if value is not None:
                line[f"{section}.{f.name}"] = value
    recipe = get_recipe(preset)
    changed = {key for given in (flat, line) for key in given}
    train, model, data = recipe.train, recipe.model, DataOptions()
    for given, where in ((flat, str(options.config)), (line, COMMAND_LINE)):
        check_keys(given, TREE, where=where)
        given = _scaled_warmup(given, changed, recipe)
        train = with_settings("train", train, given, where=where)
        model = with_settings("model", model, given, where=where)
        data = with_settings("data", data, given, where=where)
    preprocess = recipe.preprocess
    if preprocess is not None:
        band = preprocess.bandpass_hz
        if band is not None and band[1] is not None and band[1] >= model.rate_hz / 2:
            band = (band[0], None)  # resampling to this rate cuts lower anyway
        preprocess = replace(preprocess, rate_hz=model.rate_hz, bandpass_hz=band)
    leads = model.leads if "model.leads" in changed else None
    if init is not None and Path(init).exists():
        init = absolute(init)
    named = replace(recipe, model=model, train=train, preprocess=preprocess)
    return named, data, leads, init


def _name(flat: dict[str, Any], key: str, file: str | None) -> str | None:
    value = flat.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{file}: expected a name for {key}, got {value!r}")
    return value


def _scaled_warmup(given: dict[str, Any], changed: set[str], recipe: Recipe) -> dict[str, Any]:
    """The warm-up keeps its share of the steps unless it was set."""
    steps = given.get("train.steps")
    if steps is None or "train.warmup_steps" in changed or not str(steps).isdigit():
        return given
    share = recipe.train.warmup_steps / recipe.train.steps
    return given | {"train.warmup_steps": round(share * int(steps))}
