"""Region series from NIfTI images with a label atlas; vertices are in `surface`.

The header is compared with the file before anything is unpacked: a small file that declares a huge
image is refused at once. Labels that vanish in a mask, or when an atlas is resampled to a coarse
grid, are put back as missing regions by their value: the column number is never trusted.

Needs the extra `fmri` (nilearn, nibabel). Letters: R regions, T frames.
"""

from __future__ import annotations

import gzip
import math
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError, PlausibilityWarning
from biojepa.extras import require
from biojepa.fmri._foreign import refused_on_damage
from biojepa.fmri.preprocess import HUGE, check_tr

DEFAULT_MAX_BYTES = 4 << 30
MAX_RATIO, RATIO_FREE_BYTES = 200, 64 << 20  # ours: BOLD compresses 1.5 to 4 times, masked ones 20
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_NOWHERE = np.full(3, np.nan)


def read_volume(
    path: str | PathLike,
    labels: str | PathLike,
    *,
    names: Mapping[int, str] | None = None,
    tr_s: float | None = None,
    mask: str | PathLike | None = None,
    confounds: Any = None,
    sample_mask: ArrayLike | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Recording:
    """Mean series of each region of a label atlas in a 4-D NIfTI.

    Parameters
    ----------
    path, labels : path
        The image, and a 3-D image of whole numbers, 0 outside.
    names : mapping of int to str, optional
        Name of each label value; its order is the order of the regions. By default all values of
        the atlas in rising order, named `label-<value>`.
    tr_s : float, optional
        In place of the header's repetition time, seconds.
    mask : path, optional
    confounds, sample_mask : optional
        As nilearn's `load_confounds` gives them; see `fmriprep.fmriprep_confounds`.
    max_bytes : int
        Largest image, unpacked.

    Returns
    -------
    Recording
        Values (R, T) of raw signal, NaN for regions that are missing or flat (with a warning). If
        frames were left out, `labels` holds those that were kept, `frames`, of `n_frames`.

    Raises
    ------
    FormatError
        If a file is damaged, hostile, larger than `max_bytes`, or not of this kind.
    DataError
        If the repetition time is missing or impossible, the atlas does not meet the image, or
        confounds or sample mask are of another number of frames.
    MissingDependencyError
        If nilearn is not installed.
    """
    maskers = require("nilearn.maskers", "fmri", why="extract region series from images")
    where = shown(path)
    shape, header_tr = check_nifti(path, max_bytes=max_bytes)
    if len(shape) != 4 or shape[3] < 2:
        raise FormatError(
            f"{where}: expected a 4-D image (a series of volumes), got shape {shape}: a mean or "
            "anatomical image has no time"
        )
    if len(check_nifti(labels, max_bytes=max_bytes)[0]) != 3:
        raise FormatError(f"{shown(labels)}: expected a 3-D label image of an atlas")
    if mask is not None and len(check_nifti(mask, max_bytes=max_bytes)[0]) != 3:
        raise FormatError(f"{shown(mask)}: expected a 3-D mask")
    tr = _repetition_time(tr_s, header_tr, where)
    kept = _kept_frames(confounds, sample_mask, shape[3], where)
    masker = maskers.NiftiLabelsMasker(
        labels_img=str(labels), mask_img=None if mask is None else str(mask), reports=False
    )
    with warnings.catch_warnings(), refused_on_damage(where, "an image that meets the atlas"):
        warnings.simplefilter("ignore")  # lost labels are named below
        series = masker.fit_transform(str(path), confounds=confounds, sample_mask=kept)
        wanted = _label_values(labels) if names is None else list(names)
    found = {int(value): i for i, value in masker.region_ids_.items() if value != "background"}
    values = np.full((len(wanted), len(series)), np.nan)
    for row, value in zip(values, wanted, strict=True):
        if value in found:
            row[:] = series[:, found[value]]
    regions = tuple(names[v] if names is not None else f"label-{v}" for v in wanted)
    run = _checked(values, regions, tr, Path(path))
    if kept is None:
        return run
    return replace(run, labels={"frames": kept.tolist(), "n_frames": shape[3]})


def region_centres(
    labels: str | PathLike, *, values: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Centres of the regions of a label atlas, for pictures.

    Parameters
    ----------
    labels : path
        3-D image of whole numbers, 0 outside.
    values : sequence of int, optional
        Which labels, in which order; all in rising order by default.

    Returns
    -------
    ndarray, shape (R, 3)
        In the space of the atlas (x to the right, y to the front, z up), millimetre; NaN for a
        label that it does not have.

    Raises
    ------
    FormatError
        If it is damaged, or no 3-D image.
    """
    where = shown(labels)
    if len(check_nifti(labels)[0]) != 3:
        raise FormatError(f"{where}: expected a 3-D label image of an atlas")
    nibabel = require("nibabel", "fmri", why="read an atlas")
    with refused_on_damage(where, "a label image"):
        image = nibabel.load(labels)
        grid = np.asarray(image.get_fdata(dtype=np.float32))
    wanted = np.unique(grid[grid > 0]).tolist() if values is None else list(values)
    middles = [
        np.argwhere(grid == v).mean(axis=0) if (grid == v).any() else _NOWHERE for v in wanted
    ]
    return np.stack(middles) @ image.affine[:3, :3].T + image.affine[:3, 3]


def check_nifti(
    path: str | PathLike, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[tuple[int, ...], float | None]:
    """Shape and repetition time (seconds) that a NIfTI declares, once they are believable.

    Raises
    ------
    FormatError
        If it is no NIfTI, is cut, or declares more than the file can hold or `max_bytes`.
    """
    where, size = shown(path), file_size(path)
    start, packed = _first_bytes(Path(path), size)
    if len(start) < 348:
        raise FormatError(f"{where}: expected a NIfTI image, the file is cut in its header")
    order = "<" if struct.unpack("<i", start[:4])[0] in (348, 540) else ">"
    kind = struct.unpack(order + "i", start[:4])[0]
    if kind == 348 and start[344:348] in (b"n+1\0", b"ni1\0"):
        dims = struct.unpack(order + "8h", start[40:56])
        datatype = struct.unpack(order + "h", start[70:72])[0]
        step = struct.unpack(order + "f", start[92:96])[0]
        units, offset = start[123], struct.unpack(order + "f", start[108:112])[0]
    elif kind == 540 and start[4:8] == b"n+2\0" and len(start) >= 540:
        datatype = struct.unpack(order + "h", start[12:14])[0]
        dims = struct.unpack(order + "8q", start[16:80])
        step = struct.unpack(order + "d", start[136:144])[0]
        units = struct.unpack(order + "i", start[500:504])[0]
        offset = struct.unpack(order + "q", start[168:176])[0]
    else:
        raise FormatError(f"{where}: expected a NIfTI image, its first bytes are others")
    n_dims = dims[0]
    shape = tuple(int(n) for n in dims[1 : n_dims + 1]) if 1 <= n_dims <= 7 else ()
    if not shape or min(shape) < 1:
        raise FormatError(f"{where}: expected 1 to 7 axes of at least 1, got dim {list(dims)}")
    if datatype not in _BITS:
        raise FormatError(f"{where}: expected a numeric image, got NIfTI datatype {datatype}")
    n_values = math.prod(shape)
    n_bytes = n_values * _BITS[datatype] // 8
    if 4 * n_values > max_bytes:
        raise FormatError(
            f"{where}: an image of shape {shape} takes {4 * n_values} bytes as float32, more than "
            f"max_bytes={max_bytes}: raise max_bytes if it is meant to be this large"
        )
    if packed and n_bytes > max(RATIO_FREE_BYTES, MAX_RATIO * size):
        raise FormatError(
            f"{where}: would grow from {size} to {n_bytes} bytes; that is no BOLD image, it is not "
            "unpacked"
        )
    if not packed and not 0 <= offset + n_bytes <= size:
        raise FormatError(
            f"{where}: declares {n_bytes} bytes of data for shape {shape}, the file has {size}: it "
            "is cut or damaged"
        )
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    factor = {8: 1.0, 16: 1e-3, 24: 1e-6}.get(units & 0x38, 1.0)
    return shape, float(step) * factor if math.isfinite(step) else None


def _first_bytes(path: Path, size: int) -> tuple[bytes, bool]:
    start = read_bytes(path, min(size, 540))
    if not start.startswith(b"\x1f\x8b"):
        return start, False
    try:
        with gzip.open(path) as stream:
            return stream.read(540), True
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{shown(path)}: its compression is damaged ({error})") from None


def _kept_frames(
    confounds: Any, sample_mask: ArrayLike | None, n_frames: int, where: str
) -> NDArray[np.int64] | None:
    """The frames to keep, once they and the confounds are of this image."""
    if confounds is not None and len(confounds) != n_frames:
        raise DataError(
            f"{where}: expected confounds of its {n_frames} frames, got {len(confounds)}: are they "
            "of another run?"
        )
    if sample_mask is None:
        return None
    kept = np.asarray(sample_mask)
    if kept.dtype == bool and kept.shape == (n_frames,):
        kept = np.flatnonzero(kept)
    rising = kept.ndim == 1 and kept.dtype.kind in "iu" and bool((np.diff(kept) > 0).all())
    if not rising or len(kept) < 2 or kept[0] < 0 or kept[-1] >= n_frames:
        raise DataError(
            f"{where}: expected a sample mask of 2 or more of its {n_frames} frames in order, got "
            f"{kept.dtype} of shape {kept.shape}"
        )
    return kept.astype(np.int64)


def _repetition_time(given: float | None, header: float | None, where: str) -> float:
    tr = header if given is None else given
    if not tr:
        raise DataError(f"{where}: the header has no repetition time: pass tr_s= (seconds)")
    try:
        check_tr(tr)
    except DataError as error:
        raise DataError(f"{where}: {error} (tr_s= of the reader)") from None
    return tr


def _checked(
    values: NDArray[np.float64], regions: tuple[str, ...], tr: float, path: Path
) -> Recording:
    """The recording, with flat and missing regions as NaN and said so."""
    where = shown(path)
    if np.isinf(values).any() or np.nanmax(np.abs(values), initial=0.0) > HUGE:
        raise FormatError(
            f"{where}: holds infinite or huge values: is scl_slope of its header damaged?"
        )
    lost = ~(np.fmax.reduce(values, axis=1) > np.fmin.reduce(values, axis=1))
    values[lost] = np.nan
    if lost.all():
        raise DataError(
            f"{where}: no region has a signal: are image and atlas in the same space, and is the "
            "image not empty?"
        )
    notes: tuple[str, ...] = ()
    if lost.any():
        names = [regions[i] for i in np.flatnonzero(lost)[:6]]
        notes = (f"{lost.sum()} of {len(lost)} regions missing or flat: {', '.join(names)}",)
        warnings.warn(f"{where}: {notes[0]}: kept as missing", PlausibilityWarning, stacklevel=3)
    name = path.name.split(".")[0]
    values = values.astype(np.float32)
    return Recording(
        values, regions, 1.0 / tr, unit="arbitrary", record_id=name, source=str(path), notes=notes
    )


def _label_values(labels: str | PathLike) -> list[int]:
    nibabel = require("nibabel", "fmri", why="read an atlas")
    table = np.unique(np.asarray(nibabel.load(labels).get_fdata(dtype=np.float32)))
    return [int(v) for v in table if v > 0]
