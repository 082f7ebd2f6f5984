"""The recordings of a command line: a store, files, or one array, opened the same way each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from biojepa.cli.config_files import with_settings
from biojepa.data.files import read_ecg
from biojepa.data.mixed_records import MixedRecords, part_names
from biojepa.data.records import ArrayRecords, FileRecords, Records, StoreRecords
from biojepa.data.store import SignalStore
from biojepa.errors import ConfigError

OnMissing = Literal["error", "drop"]
Units = Literal["mV", "uV", "V", "adc", "arbitrary"]


@dataclass(frozen=True)
class DataOptions:
    """What files and arrays do not say themselves.

    Parameters
    ----------
    fs : float or None
        Samples per second (hertz), for files that do not say: NumPy, MATLAB, CSV without time.
    leads : tuple of str or None
        Names of the channels, in their order, for files that do not name them.
    units : {"mV", "uV", "V", "adc", "arbitrary"}
        Of numbers in files that do not say; `arbitrary` switches the check of voltages off.
    on_missing : {"error", "drop"}
        When a recording lacks a lead of the model: stop, or mask the lead.
    stores : tuple of str or None
        Stores to train on, if none are named on the command line.
    weights : tuple of float or None
        With several stores: each sample draws a store by its weight, then a record of it with
        replacement. By default the published weights for a paper preset on its databases, else
        every record in turn.
    """

    fs: float | None = None
    leads: tuple[str, ...] | None = None
    units: Units = "mV"
    on_missing: OnMissing = "error"
    stores: tuple[str, ...] | None = None
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Source:
    """Where recordings come from; kept in a run's `config.yaml`.

    Parameters
    ----------
    paths : tuple of str
        Absolute.
    data : DataOptions
    init : str or None
        Model that pretraining went on from.
    """

    paths: tuple[str, ...]
    data: DataOptions
    init: str | None = None

    def to_config(self) -> dict[str, Any]:
        """As plain values for YAML."""
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.data).items()}
        del options["stores"]  # they are the paths
        return {"paths": list(self.paths), "init": self.init, **options}

    @classmethod
    def from_config(cls, config: Any, *, where: str) -> Source:
        """From the values of `to_config`.

        Raises
        ------
        ConfigError
            If they are not of this form.
        """
        options = [f.name for f in fields(DataOptions) if f.name != "stores"]  # the paths
        wanted = {"paths", "init", *options}
        # runs of one set of records had no weights once
        if not isinstance(config, dict) or config.keys() | {"weights"} != wanted:
            raise ConfigError(
                f"{where}: expected a `source` with paths, init, {', '.join(options)}, got "
                f"{config!r}: only runs of `biojepa pretrain` can be resumed by command"
            )
        paths, init = config["paths"], config["init"]
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise ConfigError(f"{where}: expected the paths of the source, got {paths!r}")
        if not isinstance(init, str | None):
            raise ConfigError(f"{where}: expected a model to start from as init, got {init!r}")
        given = {f"data.{name}": config.get(name) for name in options}
        return cls(tuple(paths), with_settings("data", DataOptions(), given, where=where), init)


class NamedArrays(ArrayRecords):
    """Records of one array file, with the names that the file gives them."""

    def __init__(
        self,
        values: np.ndarray,
        *,
        fs: float,
        channels: Sequence[str] | None,
        units: str,
        ids: list[str],
    ) -> None:
        super().__init__(values, fs=fs, channels=channels, units=units)
        self.ids = ids

    def identity(self, index: int) -> str:
        """Name of the record."""
        return self.ids[index]


def is_store(path: str | Path) -> bool:
    """Whether a path is a folder that `biojepa prepare` wrote."""
    return (Path(path) / "manifest.json").is_file()


def open_source(source: Source) -> Records:
    """Open recordings to pretrain on.

    An array file of records of one shape is taken into memory; files are read when needed; several
    stores become one set of records.

    Raises
    ------
    DataError, FormatError, LeadError
        As the readers.
    """
    options = source.data
    if len(source.paths) == 1:
        path = Path(source.paths[0])
        if is_store(path):
            return StoreRecords(SignalStore(path))
        if path.suffix.lower() in (".npy", ".npz") and path.is_file():
            found = _array_file(path, options)
            if found is not None:
                return found
    n_stores = sum(is_store(path) for path in source.paths)
    if n_stores and n_stores == len(source.paths):
        parts = [StoreRecords(SignalStore(path)) for path in source.paths]
        return MixedRecords(parts, part_names(parts))
    if n_stores:
        raise ConfigError(
            f"expected stores or files, got {n_stores} stores among {len(source.paths)} paths: "
            "turn the files into a store with `biojepa prepare`"
        )
    return FileRecords(
        list(source.paths),
        fs=options.fs,
        channels=options.leads,
        units=options.units,
        verify=True,
    )


def _array_file(path: Path, options: DataOptions) -> NamedArrays | None:
    """Records of an array file if all have one shape, else None."""
    unit = None if options.units == "mV" else options.units
    found = read_ecg(path, leads=options.leads, rate_hz=options.fs, unit=unit)
    if len({(r.values.shape, r.rate_hz, r.unit) for r in found}) != 1:
        return None
    first = found[0]
    return NamedArrays(
        np.stack([r.values for r in found]),
        fs=first.rate_hz,
        channels=first.channels or None,
        units=first.unit,
        ids=[r.record_id or f"{path.stem}#{i}" for i, r in enumerate(found)],
    )
