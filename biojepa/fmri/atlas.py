"""Atlases of a model: names of the regions and their gradients, and how runs are matched to them.

A run belongs to an atlas by the names of its regions, in any order; without names, by their number.
Regions of the atlas that a named run lacks are masked, with a warning.

Letters: R regions, G gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.data.recording import Recording
from biojepa.data.records import Records
from biojepa.errors import DataError, MissingLeadWarning
from biojepa.fmri.gradient_file import read_gradients
from biojepa.fmri.gradients import BrainGradients

SPARSITIES = (0.9, 0.7, 0.5, 0.0)  # ours: less sparse where the graph falls apart
LEAST_SHARE = 0.5  # of an atlas's regions that a run must have to be of this atlas


@dataclass(frozen=True, eq=False)
class Atlas:
    """The regions of one parcellation.

    Parameters
    ----------
    regions : tuple of str
        Names, in order; empty if they have none.
    gradients : ndarray of float32, shape (R, G)
    """

    regions: tuple[str, ...]
    gradients: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.gradients)


def layout_of(run: Recording) -> tuple[str, ...] | int:
    """What tells the atlas of a run: sorted names, or a number of regions."""
    return tuple(sorted(run.channels)) if run.channels else len(run.values)


def match(run: Recording, atlases: Sequence[Atlas]) -> int | None:
    """Which atlas a run is of; None if of none.

    Raises
    ------
    DataError
        If a region is named twice.
    """
    if len(set(run.channels)) != len(run.channels):
        raise DataError("expected every region of a run to be named once, got a name twice")
    for i, atlas in enumerate(atlases):
        if not run.channels or not atlas.regions:
            if len(run.values) == len(atlas):
                return i
        elif run.channels == atlas.regions:
            return i
    names = set(run.channels)
    for i, atlas in enumerate(atlases):
        own = set(atlas.regions)
        if names and names <= own and len(names) >= LEAST_SHARE * len(own):
            return i
    return None


def arrange(run: Recording, atlas: Atlas) -> NDArray:
    """The values of a run in the atlas's order, (R, T); NaN for regions that it lacks."""
    if not run.channels or not atlas.regions or run.channels == atlas.regions:
        return run.values
    place = {name: i for i, name in enumerate(run.channels)}
    missing = [name for name in atlas.regions if name not in place]
    if missing:
        warnings.warn(
            f"masked {len(missing)} of {len(atlas)} regions that a run does not have "
            f"({', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}): compare only like "
            "with like",
            MissingLeadWarning,
            stacklevel=2,
        )
    values = np.full((len(atlas), run.n_times), np.nan, dtype=run.values.dtype)
    for row, name in zip(values, atlas.regions, strict=True):
        if name in place:
            row[:] = run.values[place[name]]
    return values


def fit_atlas(
    runs: Iterable[NDArray], regions: tuple[str, ...], n_regions: int, n_gradients: int
) -> Atlas:
    """An atlas whose gradients are those of the average connectivity of some runs.

    Parameters
    ----------
    runs : iterable of ndarray, shape (T, R)
    regions : tuple of str
    n_regions, n_gradients : int
        Atlases of one or two regions have no gradients: zeros.

    Raises
    ------
    DataError
        If a region is flat in all runs.
    """
    if n_regions < 3:
        return Atlas(regions, np.zeros((n_regions, n_gradients), dtype=np.float32))
    names = regions or None
    own = min(n_gradients, n_regions - 1)
    fitted = BrainGradients(n_components=own, sparsity=0.0)
    fitted.fit(runs, region_names=names)
    for sparsity in SPARSITIES:
        try:
            sparse = BrainGradients(n_components=own, sparsity=sparsity)
            fitted = sparse.fit(fitted.connectivity_, region_names=names)
        except DataError:  # the sparse graph has two pieces: keep more of each row
            continue
        break
    table = np.zeros((n_regions, n_gradients), dtype=np.float32)
    table[:, :own] = fitted.gradients_
    return Atlas(regions, table)


def table_of(
    given: ArrayLike | str | PathLike | BrainGradients | None, records: Records
) -> NDArray[np.float32] | None:
    """The gradients (R, G) that a user gave: a table, its path, or an estimator, fitted or not.

    Raises
    ------
    FormatError, DataError
        If it is no finite table, or the estimator cannot be fitted on the runs.
    """
    if given is None:
        return None
    if isinstance(given, str | PathLike):
        return read_gradients(given)
    if isinstance(given, BrainGradients):
        if not hasattr(given, "gradients_"):
            runs = [records.read(i).values.T for i in range(len(records))]
            given = BrainGradients(**given.get_params()).fit(runs)
        given = given.gradients_
    table = np.asarray(given, dtype=np.float32)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise DataError(
            f"expected finite gradients of shape (regions, gradients), got shape {table.shape}"
        )
    return table
