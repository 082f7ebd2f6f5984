"""Tables of gradients on disk: regions x gradients, comma-separated, no header."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import FormatError, RunError

MAX_BYTES = 64 << 20  # ours: 10,000 regions x 100 gradients are 25 MB


def read_gradients(path: str | PathLike) -> NDArray[np.float32]:
    """Read a table of gradients.

    Parameters
    ----------
    path : path
        Of numbers separated by commas, one region a line, no header.

    Returns
    -------
    ndarray of float32, shape (n_regions, n_gradients)

    Raises
    ------
    FormatError
        If it is absent, too large, or no such table.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"expected a table of gradients, found no file at {path}")
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(
            f"expected a table of gradients below {MAX_BYTES >> 20} MB, {path} has "
            f"{path.stat().st_size >> 20} MB"
        )
    try:
        table = np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.float64)
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(
            f"{path}: expected numbers separated by commas, one region a line, no header: {error}"
        ) from error
    if not table.size or not np.isfinite(table).all():
        raise FormatError(f"{path}: expected finite numbers in every place")
    return table.astype(np.float32)


def write_gradients(gradients: NDArray, path: str | PathLike) -> None:
    """Write a table of gradients that appears at once or not at all.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(temporary, np.asarray(gradients), delimiter=",", fmt="%.9g")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error}") from error
