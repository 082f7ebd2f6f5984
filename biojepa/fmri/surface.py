"""Region series from vertices: CIFTI (parcels, or dense with a parcellation) and GIFTI.

A parcel that an atlas names and no vertex has is kept as a missing region.

Needs the extra `fmri` (nibabel). Letters: R regions, T frames, V vertices or grey ordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.data._paths import shown
from biojepa.errors import DataError, FormatError
from biojepa.extras import require
from biojepa.fmri._foreign import refused_on_damage
from biojepa.fmri.gifti import read_gifti, read_label_table
from biojepa.fmri.images import DEFAULT_MAX_BYTES, check_nifti

SERIES = (".dtseries.nii", ".func.gii")  # of vertices, which need a parcellation
PARCELS = ".ptseries.nii"


def read_parcels(
    path: Path,
    *,
    labels: ArrayLike | None = None,
    names: Mapping[int, str] | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> tuple[NDArray, list[str] | None, float | None]:
    """Parcel series of a CIFTI or GIFTI file as `files.read_table` gives tables.

    Parameters
    ----------
    path : Path
        `.ptseries.nii`; or `.dtseries.nii` or `.func.gii` with `labels`.
    labels : array of int, shape (V,), optional
        Parcel of each vertex or grey ordinate, 0 for none; see `read_vertex_labels`.
    names : mapping of int to str, optional
        Name of each parcel; its order is the order of the regions. By default all parcels in rising
        order, named `label-<value>`.
    max_bytes : int

    Returns
    -------
    table : ndarray, shape (T, R)
        NaN for a parcel that no vertex has.
    names : list of str
    tr_s : float or None

    Raises
    ------
    FormatError
        If the file is damaged, hostile, or a volume, which needs an atlas.
    DataError
        If `labels` are needed and missing, or of another length.
    """
    where, name = shown(path), path.name.lower()
    if name.endswith(".gii"):
        data, tr = read_gifti(path, max_bytes=max_bytes), None
    elif name.endswith((PARCELS, *SERIES)):
        data, own_names, tr = _read_cifti(path, max_bytes)
        if name.endswith(PARCELS):
            return data, own_names, tr
    else:
        raise FormatError(
            f"{where}: a volume needs an atlas: use biojepa.fmri.images.read_volume(path, labels) "
            "or `biojepa prepare fmri --atlas`"
        )
    if labels is None:
        raise DataError(
            f"{where}: a series of {data.shape[-1]} vertices needs labels=, the parcel of each "
            "(read_parcels(path, labels=...), `biojepa prepare fmri --parcels`)"
        )
    parcels = np.asarray(labels)
    if parcels.shape != data.shape[1:]:
        raise DataError(
            f"{where}: expected the parcel of each of its {data.shape[1]} vertices, got "
            f"{parcels.shape}: take the parcellation of this surface"
        )
    if names is None:
        names = {int(v): f"label-{int(v)}" for v in np.unique(parcels) if v > 0}
    table = np.full((len(data), len(names)), np.nan, dtype=np.float32)
    for column, value in zip(table.T, names, strict=True):
        inside = parcels == value
        if inside.any():
            column[:] = data[:, inside].mean(axis=1)
    if np.isnan(table).all():
        raise DataError(f"{where}: no parcel has a vertex: is it the parcellation of this surface?")
    return table, list(names.values()), tr


def read_vertex_labels(
    path: str | PathLike, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """A parcellation: the parcel of each vertex, and their names.

    Parameters
    ----------
    path : path
        `.dlabel.nii` or `.label.gii`.
    max_bytes : int

    Returns
    -------
    labels : ndarray of int, shape (V,)
    names : dict of int to str
        By rising value, without 0; also of parcels that no vertex has.

    Raises
    ------
    FormatError
        If it is damaged, hostile, or of another kind.
    """
    file, where = Path(path), shown(path)
    name = file.name.lower()
    if name.endswith(".label.gii"):
        data = read_gifti(file, max_bytes=max_bytes)
        names = read_label_table(file, max_bytes=max_bytes)
    elif name.endswith(".dlabel.nii"):
        data, names = _read_dlabel(file, max_bytes)
    else:
        raise FormatError(f"{where}: expected a .dlabel.nii or .label.gii of parcels")
    if len(data) != 1 or not np.isfinite(data).all() or (data != np.round(data)).any():
        raise FormatError(f"{where}: expected one map of whole numbers, got {len(data)} maps")
    labels = data[0].astype(np.int64)
    values = sorted({*names, *labels[labels > 0].tolist()} - {0})
    named = {value: names.get(value) or f"label-{value}" for value in values}
    if len(set(named.values())) != len(named):
        raise FormatError(f"{where}: expected a name of its own for each parcel")
    return labels, named


def read_hemispheres(
    left: Path,
    parcellations: tuple[str | PathLike, str | PathLike],
    *,
    names: Mapping[int, str] | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> tuple[NDArray, list[str]]:
    """Parcel series of both hemispheres of a run, which are GIFTI files of their own.

    Parameters
    ----------
    left : Path
        `..._hemi-L_....func.gii`; `hemi-R` is read beside it.
    parcellations : (path, path)
        Of the left and of the right hemisphere; see `read_vertex_labels`.
    names : mapping of int to str, optional
        As of `read_parcels`, for both.
    max_bytes : int

    Returns
    -------
    table : ndarray, shape (T, R)
        Left, then right.
    names : list of str
        With `L-` and `R-` before them if both hemispheres name a parcel alike.

    Raises
    ------
    FormatError, DataError
        As `read_parcels`; or there is no other hemisphere, or it has another number of frames.
    """
    right = left.with_name(left.name.replace("hemi-L", "hemi-R"))
    if "hemi-L" not in left.name or not right.is_file():
        raise DataError(
            f"{shown(left)}: expected a file of hemi-L with that of hemi-R beside it, as two "
            "parcellations are given: give one for files of one hemisphere"
        )
    tables, regions = [], []
    for path, parcellation in zip((left, right), parcellations, strict=True):
        labels, own = read_vertex_labels(parcellation, max_bytes=max_bytes)
        table, found, _ = read_parcels(
            path, labels=labels, names=own if names is None else names, max_bytes=max_bytes
        )
        tables.append(table)
        regions.append(found or [])
    if len(tables[0]) != len(tables[1]):
        raise DataError(
            f"{shown(left)}: expected as many frames in both hemispheres, got {len(tables[0])} and "
            f"{len(tables[1])}"
        )
    if set(regions[0]) & set(regions[1]):
        regions = [[f"{side}-{n}" for n in own] for side, own in zip("LR", regions, strict=True)]
    return np.concatenate(tables, axis=1), [*regions[0], *regions[1]]


def _read_cifti(path: Path, max_bytes: int) -> tuple[NDArray, list[str] | None, float | None]:
    """Series (T, columns), names of parcels, and the repetition time in seconds."""
    image, data = _open_cifti(path, max_bytes)
    with refused_on_damage(shown(path), "a CIFTI series"):
        series, columns = (image.header.get_axis(i) for i in range(2))
    tr = float(series.step) if hasattr(series, "step") else None
    seconds = getattr(series, "unit", "SECOND") == "SECOND"
    names = [str(n) for n in columns.name] if hasattr(columns, "voxels") else None
    return data, names, tr if seconds else None


def _read_dlabel(path: Path, max_bytes: int) -> tuple[NDArray[np.float32], dict[int, str]]:
    image, data = _open_cifti(path, max_bytes)
    with refused_on_damage(shown(path), "CIFTI labels"):
        axis = image.header.get_axis(0)
    tables = getattr(axis, "label", None)
    if tables is None or len(tables) != 1:
        raise FormatError(f"{shown(path)}: expected one map of CIFTI labels")
    return data, {int(value): str(name) for value, (name, _) in tables[0].items()}


def _open_cifti(path: Path, max_bytes: int) -> tuple[Any, NDArray[np.float32]]:
    """An image of CIFTI, and its numbers (rows, columns)."""
    where = shown(path)
    check_nifti(path, max_bytes=max_bytes)
    nibabel = require("nibabel", "fmri", why="read CIFTI files")
    with refused_on_damage(where, "a CIFTI file"):
        image = nibabel.load(path)
        data = np.asarray(image.get_fdata(dtype=np.float32))
    if not isinstance(image, nibabel.Cifti2Image) or data.ndim != 2:
        raise FormatError(f"{where}: expected a CIFTI file of two axes, got {type(image).__name__}")
    return image, data
