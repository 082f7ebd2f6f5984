"""The run directory: one process at a time, settings written once, metrics that survive kills.

run/  config.yaml  metrics.csv  model_card.json  checkpoints/  lock
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import IO, Any

import yaml

from biojepa.engine.files import write_text
from biojepa.errors import ConfigError, RunError

MAX_SETTINGS_BYTES = 64 * 2**20  # a run may list the paths of very many files
DEEPEST = 50


class RunLock:
    """Hold a run directory for this process; the lock of a dead process is free.

    A POSIX record lock: the system releases it with the process, and children do not inherit it.

    Parameters
    ----------
    run : Path
        Made if absent.

    Raises
    ------
    RunError
        If another live process holds it, or the directory cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._file: IO[str] | None = None

    def __enter__(self) -> RunLock:
        path = self.run / "lock"
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+")
        except OSError as error:
            raise RunError(f"cannot use {self.run} as a run directory: {error}") from error
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read(200).strip() or "another process"
            self._file.close()
            raise RunError(
                f"{self.run} is in use by {holder}: wait for it, stop it, or give another directory"
            ) from error
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def write_settings(run: Path, settings: dict[str, Any]) -> None:
    """Write `config.yaml`: everything that makes the run what it is."""
    text = yaml.dump(settings, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)
    write_text(run / "config.yaml", text)


def as_stored(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they come back from `config.yaml` (tuples as lists)."""
    return yaml.safe_load(yaml.safe_dump(settings))


def read_settings(run: Path) -> dict[str, Any]:
    """Read `config.yaml`.

    Raises
    ------
    RunError
        If there is none.
    ConfigError
        If it is not a YAML mapping of plain values.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise RunError(f"{run} is not a run directory: it has no config.yaml")
    if path.stat().st_size > MAX_SETTINGS_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_SETTINGS_BYTES:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        _check_plain(text, path)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is not a mapping of settings")
    return value


class _PlainDumper(yaml.SafeDumper):
    """Writes a value out each time it occurs, so that reading can refuse aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _check_plain(text: str, path: Path) -> None:
    """Refuse aliases, which can stand for more than memory holds, and very deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            where = f", line {event.start_mark.line + 1}" if event.start_mark else ""
            raise ConfigError(
                f"{path}{where}: expected plain settings, got an alias or more than {DEEPEST} "
                "levels; biojepa writes neither"
            )


def write_card(run: Path, card: dict[str, Any]) -> None:
    """Write `model_card.json`: data, recipe and versions behind the weights."""
    write_text(run / "model_card.json", json.dumps(card, indent=1))


class MetricsLog:
    """`metrics.csv`, a row per logged step; new columns may appear on the way.

    Parameters
    ----------
    path : Path
    resume_step : int
        Rows of later steps are cut: a run that goes on writes them again.
    """

    def __init__(self, path: Path, *, resume_step: int = 0) -> None:
        self.path = path
        self.columns: list[str] = []
        rows: list[dict[str, str]] = []
        if resume_step and path.is_file():
            with path.open(newline="", encoding="utf-8") as handle:
                reader = csv.DictReader(handle)
                self.columns = list(reader.fieldnames or [])
                # a row that a kill cut off lacks columns
                whole = [r for r in reader if None not in r.values() and r["step"].isdigit()]
                rows = [r for r in whole if int(r["step"]) <= resume_step]
        self._rewrite(rows)

    def write(self, row: dict[str, float]) -> None:
        """Append a row; it is on its way to the disk when this returns."""
        new = [name for name in row if name not in self.columns]
        if new:
            with self.path.open(newline="", encoding="utf-8") as handle:
                rows = list(csv.DictReader(handle))
            self.columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.DictWriter(handle, self.columns, lineterminator="\n").writerow(row)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        lines = [",".join(self.columns)] if self.columns else []
        lines += [",".join(row.get(c) or "" for c in self.columns) for row in rows]
        write_text(self.path, "".join(line + "\n" for line in lines))
