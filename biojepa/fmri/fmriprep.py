"""Confounds that fMRIPrep keeps beside an image, and the frames that are worth keeping.

nilearn's `load_confounds` chooses the columns; here it is said which file is missing, and which
frames scrubbing leaves.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.errors import ConfigError, DataError, FormatError
from biojepa.extras import require
from biojepa.fmri.bids import entities

Strategy = Literal["motion", "high_pass", "wm_csf", "global_signal", "compcor", "scrub"]
DEFAULT: tuple[Strategy, ...] = ("motion", "high_pass", "wm_csf", "scrub")
LEAST_FRAMES = 10  # ours: fewer are no run
MAX_BYTES = 256 << 20
_IMAGE = re.compile(r"_desc-preproc_bold\.nii(\.gz)?$|_bold\.dtseries\.nii$")
_TABLE = "desc-confounds_timeseries.tsv"
_TABLES = (_TABLE, "desc-confounds_regressors.tsv")  # the second before fMRIPrep 20.2


def fmriprep_confounds(
    path: str | PathLike,
    *,
    strategy: Sequence[Strategy] = DEFAULT,
    motion: Literal["basic", "power2", "derivatives", "full"] = "full",
    scrub: int = 5,
    fd_threshold: float = 0.5,
) -> tuple[Any, NDArray[np.int64] | None]:
    """Confounds and sample mask of an fMRIPrep image.

    Parameters
    ----------
    path : path
        `*_desc-preproc_bold.nii.gz`, with `*_desc-confounds_timeseries.tsv` and its `.json` beside.
    strategy : sequence of {"motion", "high_pass", "wm_csf", "global_signal", "compcor", "scrub"}
        What is regressed out, and with "scrub" which frames are left out. "compcor" needs
        "high_pass" and the `.json`.
    motion : {"basic", "power2", "derivatives", "full"}
        6, 12, 12 or 24 motion parameters.
    scrub : int
        Pieces shorter than so many frames between moved frames are left out too; 0 keeps them.
    fd_threshold : float
        Movement from frame to frame above which a frame is left out, millimetre.

    Returns
    -------
    confounds : DataFrame, shape (T, n), or None
    sample_mask : ndarray of int or None
        Frames that are kept; None for all. For `read_volume`.

    Raises
    ------
    ConfigError
        If the strategy is unknown.
    DataError
        If it is no fMRIPrep image, a file beside it or a column is missing, or scrubbing leaves
        fewer than ten frames.
    FormatError
        If a file is damaged.
    """
    unknown = [part for part in strategy if part not in get_args(Strategy)]
    if unknown or not strategy or ("compcor" in strategy and "high_pass" not in strategy):
        raise ConfigError(
            f"expected a strategy of {', '.join(get_args(Strategy))}, compcor with high_pass, got "
            f"{', '.join(map(str, strategy)) or 'none'}"
        )
    if scrub < 0 or not fd_threshold > 0:
        raise ConfigError(f"expected scrub >= 0 and fd_threshold > 0, got {scrub}, {fd_threshold}")
    where = shown(path)
    table = _find_table(Path(path), where)
    n_frames = _check_table(table)
    if "compcor" in strategy:
        _check_json(table.with_suffix(".json"))
    interfaces = require("nilearn.interfaces.fmriprep", "fmri", why="read confounds")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that no frame is left is said below
            confounds, sample_mask = interfaces.load_confounds(
                str(path),
                strategy=tuple(strategy),
                motion=motion,
                scrub=scrub,
                fd_threshold=fd_threshold,
            )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{shown(table)}: does not give the strategy {', '.join(strategy)}: {error}"
        ) from error
    if sample_mask is not None and len(sample_mask) < LEAST_FRAMES:
        raise DataError(
            f"{where}: scrubbing leaves {len(sample_mask)} of {n_frames} frames: raise "
            f"fd_threshold (now {fd_threshold} mm), or leave the run out"
        )
    if confounds is not None and not confounds.shape[1]:
        confounds = None
    return confounds, None if sample_mask is None else np.asarray(sample_mask, dtype=np.int64)


def _find_table(path: Path, where: str) -> Path:
    """The confounds of an image."""
    if not _IMAGE.search(path.name) or not entities(path):
        raise DataError(
            f"{where}: expected an image as fMRIPrep names them "
            "(sub-..._desc-preproc_bold.nii.gz), whose confounds are known by its name"
        )
    own = entities(path).items()
    found = [
        file
        for name in _TABLES
        for file in sorted(path.parent.glob(f"sub-*_{name}"))
        if {k: v for k, v in entities(file).items() if k != "desc"}.items() <= own
    ]
    if not found:
        head = re.sub(
            r"(_space-[^_]+)?(_res-[^_]+)?(_den-[^_]+)?(_desc-preproc)?_bold.*", "", path.name
        )
        raise DataError(
            f"{where}: expected its confounds {head}_{_TABLE} beside it, found none: copy it from "
            "fMRIPrep's folder, or leave confounds out"
        )
    return found[0]


def _check_table(table: Path) -> int:
    """Refuse a table that is none; the number of frames."""
    where, size = shown(table), file_size(table)
    if size > MAX_BYTES:
        raise FormatError(f"{where}: {size} bytes are too many for confounds")
    try:
        lines = read_bytes(table, size).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: expected text, got other bytes ({error.reason})") from None
    widths = {len(line.split("\t")) for line in lines}
    if len(lines) < 2 or len(widths) != 1:
        raise FormatError(
            f"{where}: expected a row of names and as many cells in every row, separated by tabs: "
            "it is empty or damaged"
        )
    return len(lines) - 1


def _check_json(path: Path) -> None:
    """Refuse a missing or damaged description of the components."""
    if not path.is_file():
        raise DataError(
            f"{shown(path)}: no such file, which says what the components of compcor are: copy it "
            "from fMRIPrep's folder, or leave compcor out of the strategy"
        )
    try:
        found = json.loads(read_bytes(path, min(file_size(path), MAX_BYTES)))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{shown(path)}: expected JSON, it is damaged ({error})") from None
    if not isinstance(found, dict):
        raise FormatError(f"{shown(path)}: expected a JSON object, got {type(found).__name__}")
