"""What the `config.yaml` of a run says, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from biojepa.cli.config_files import check_keys
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError


def stored_source(out: Path, stored: dict[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The `source` of a `config.yaml`.

    Parameters
    ----------
    out : Path
        Run directory.
    stored : dict
        What its `config.yaml` holds.
    kinds : mapping
        Of which type each entry has to be.

    Raises
    ------
    ConfigError
        If it has other entries, as runs have that no command started.
    """
    where, source = str(out / "config.yaml"), stored.get("source")
    if not isinstance(source, dict) or source.keys() != kinds.keys():
        raise ConfigError(
            f"{where}: expected a `source` with {', '.join(kinds)}, got {source!r}: only runs of "
            "`biojepa pretrain` can be resumed by command"
        )
    for name, kind in kinds.items():
        if not isinstance(source[name], kind):
            raise ConfigError(f"{where}: the {name} of the source cannot be {source[name]!r}")
    return source


def section_of(stored: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """The settings below a key of a run's `config.yaml`.

    Raises
    ------
    ConfigError
        If there are none.
    """
    section = stored.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"{where}: expected settings below {name!r}, got {section!r}")
    return section


def training_of(stored: dict[str, Any], where: str) -> TrainConfig:
    """The training settings as stored; those that a newer biojepa has keep their defaults.

    Raises
    ------
    ConfigError
        If there are none, or a value is of another type or out of range.
    """
    section = section_of(stored, "train", where)
    known = {f.name for f in fields(TrainConfig)}
    check_keys({f"train.{key}": 0 for key in section}, {"train": TrainConfig}, where=where)
    return replace(TrainConfig(), **{k: v for k, v in section.items() if k in known})
