"""Runs of an fMRI command line: a store, files, or folders, opened the same way each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from biojepa.cli.errors import UsageError
from biojepa.cli.parse import names, option
from biojepa.data.records import Records
from biojepa.fmri.records import open_runs

Axes = Literal["auto", "time-region", "region-time"]


@dataclass(frozen=True)
class RunOptions:
    """What files do not say themselves."""

    tr: Annotated[float | None, option("SECONDS")] = None
    """Repetition time of files that do not say it (tables)."""
    regions: Annotated[str | None, option("A,B,...")] = None
    """Names of the regions, for tables without a header row."""
    orientation: Annotated[Axes, option("AXES")] = "auto"
    """Of tables: time-region (default, and refused where it cannot be) or region-time."""


def open_source(paths: tuple[str, ...], options: RunOptions, *, default_tr: float) -> Records:
    """Open a store, or files and folders.

    Raises
    ------
    UsageError
        If nothing is named.
    DataError, FormatError
        As the readers.
    """
    if not paths:
        raise UsageError("expected DATA: a store, files or folders of region series; see --help")
    where: Any = paths[0] if len(paths) == 1 else list(paths)
    return open_runs(
        where,
        tr_s=options.tr or default_tr,
        regions=names(options.regions, option="--regions"),
        orientation=options.orientation,
    )
