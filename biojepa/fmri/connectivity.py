"""Correlation of regions, averaged over runs. Letters: R regions, T frames, n runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import DataError

LEAST_FRAMES = 5
ROUNDING = 1e-9  # a region that varies by less than so much of itself is flat
CLOSE_TO_ONE = 1 - 1e-7  # a correlation of exactly 1 has no Fisher z


def is_connectivity(X: NDArray) -> bool:
    """Whether an array is a symmetric (R, R) matrix (NaN where NaN)."""
    if X.ndim != 2 or X.shape[0] != X.shape[1] or X.dtype.kind not in "fiu":
        return False
    return bool(np.allclose(X, X.T, atol=1e-6, equal_nan=True))


def run_connectivity(values: NDArray) -> NDArray[np.float64]:
    """Pearson correlation of the regions of one run, (R, R); NaN for flat regions.

    Parameters
    ----------
    values : ndarray, shape (T, R)
        A region without any finite value is flat; other frames with such a value are left out.
    """
    x = np.asarray(values, dtype=np.float64)
    x = np.where(np.isfinite(x).any(axis=0), x, 0.0)
    x = x[np.isfinite(x).all(axis=1)]
    if len(x) < LEAST_FRAMES:
        return np.full((x.shape[1], x.shape[1]), np.nan)
    largest = np.abs(x).max(axis=0)
    x = x - x.mean(axis=0)
    norm = np.linalg.norm(x, axis=0)
    flat = norm <= ROUNDING * len(x) ** 0.5 * largest
    unit = x / np.where(flat, 1.0, norm)
    r = np.clip(unit.T @ unit, -1.0, 1.0)
    np.fill_diagonal(r, 1.0)
    r[flat], r[:, flat] = np.nan, np.nan
    return r


def average_connectivity(
    X: Any, *, region_names: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Average correlation of the regions over runs, by Fisher's z.

    Parameters
    ----------
    X : array (T, R), array (n, T, R), or iterable of arrays (T, R)
    region_names : sequence of str, optional
        For the messages.

    Returns
    -------
    ndarray, shape (R, R)
        With ones on the diagonal.

    Raises
    ------
    DataError
        If there is no run, regions differ between runs, or a region is flat in all of them.
    """
    runs: Iterable[Any] = [X] if isinstance(X, np.ndarray) and X.ndim == 2 else X
    total: NDArray | None = None
    count: NDArray | None = None
    for i, run in enumerate(runs):
        values = np.asarray(run)
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise DataError(
                f"expected runs of real numbers of shape (time, regions), got shape {values.shape} "
                f"of {values.dtype} as run {i}"
            )
        r = run_connectivity(values)
        if total is None or count is None:
            total, count = np.zeros_like(r), np.zeros_like(r)
        if r.shape != total.shape:
            raise DataError(
                f"expected {len(total)} regions in every run, got {len(r)} in run {i}: runs of one "
                "atlas go together; is one of them transposed?"
            )
        there = np.isfinite(r)
        total += np.arctanh(np.clip(np.where(there, r, 0.0), -CLOSE_TO_ONE, CLOSE_TO_ONE))
        count += there
    if total is None or count is None:
        raise DataError("expected at least 1 run, got 0")
    lost = count.diagonal() == 0
    if lost.any():
        places = np.flatnonzero(lost).tolist()
        names = [str(i) if region_names is None else str(region_names[i]) for i in places[:8]]
        raise DataError(
            f"expected every region to vary in some run of at least {LEAST_FRAMES} frames, got "
            f"{len(places)} flat or missing everywhere ({', '.join(names)}): leave them out"
        )
    average = np.tanh(total / np.maximum(count, 1))
    np.fill_diagonal(average, 1.0)
    return average
