"""What the three `biojepa pretrain` commands share: training options, and settings in layers.

A preset's settings come first, those of a YAML file (`--config`) over them, those of the command
line (`--steps 800`, `--train.steps 800`) last. The warm-up keeps its share of the steps unless it
was set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

from biojepa.cli.config_files import COMMAND_LINE, Tree, check_keys, read_config, with_settings
from biojepa.cli.parse import absolute, option
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError

T = TypeVar("T")


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
class Given:
    """What was set, and where.

    Parameters
    ----------
    preset : str
    init : str or None
        Model to go on from; a path is absolute.
    layers : tuple of (where, settings)
        `section.name` to value; the later ones win.
    """

    preset: str
    init: str | None
    layers: tuple[tuple[str, Mapping[str, Any]], ...]

    def names(self) -> set[str]:
        """All that was set, as `section.name`."""
        return {key for _, settings in self.layers for key in settings}

    def over(self, section: str, base: T) -> T:
        """A dataclass instance with the settings of its section in place of its own.

        Raises
        ------
        ConfigError
            If a value is of another type or out of range.
        """
        for where, settings in self.layers:
            settings = dict(settings)
            steps = settings.get("train.steps")
            known = steps is not None and str(steps).isdigit()
            if isinstance(base, TrainConfig) and known and "train.warmup_steps" not in self.names():
                share = base.warmup_steps / base.steps
                settings["train.warmup_steps"] = round(share * int(str(steps)))
            base = with_settings(section, base, settings, where=where)
        return base


def given_settings(
    tree: Tree,
    *,
    preset: str | None,
    init: str | None,
    config: str | None,
    groups: Mapping[str, Any],
    dotted: Mapping[str, str],
) -> Given:
    """Gather the settings of a file and of the command line.

    Parameters
    ----------
    tree : mapping of section to dataclass
        What may be set.
    preset, init, config : str or None
        Options of the command line.
    groups : mapping of section to dataclass instance
        Further options; None is not set.
    dotted : mapping
        Of `split_options`.

    Raises
    ------
    ConfigError
        If the file cannot be read or a key is unknown.
    """
    in_file: dict[str, Any] = {}
    if config is not None:
        in_file = read_config(config, sections=list(tree), others=("preset", "init"))
    names = {key: in_file.pop(key, None) for key in ("preset", "init")}
    for key, value in names.items():
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{config}: expected a name for {key}, got {value!r}")
    on_line: dict[str, Any] = dict(dotted)
    for section, group in groups.items():
        for f in fields(group):
            if (value := getattr(group, f.name)) is not None:
                on_line[f"{section}.{f.name}"] = value
    layers = ((str(config), in_file), (COMMAND_LINE, on_line))
    for where, settings in layers:
        check_keys(settings, tree, where=where)
    init = init or names["init"]
    if init is not None and Path(init).exists():
        init = absolute(init)
    return Given(preset or names["preset"] or "small", init, layers)
