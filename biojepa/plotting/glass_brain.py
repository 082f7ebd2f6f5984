"""Regions as markers in a glass brain, drawn with nilearn (the extra `fmri`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from biojepa.errors import DataError
from biojepa.extras import require
from biojepa.plotting.brain import draw_gradient_space

N_SHOWN = 3
SHARE = 0.36  # of the width, for the space that the gradients span


def plot_glass_gradients(
    gradients: ArrayLike, coordinates: ArrayLike, *, title: str | None = None
) -> Figure:
    """Draw the first three gradients: as axes of a space, and in a glass brain each.

    Parameters
    ----------
    gradients : array, shape (R, G)
        At least three.
    coordinates : array, shape (R, 3)
        Centres of the regions in MNI space, millimetre; NaN leaves a region out of the brains.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there are fewer than three gradients, or as many places as regions are not given.
    MissingDependencyError
        If nilearn is not installed; `brain.plot_gradients` does without.
    """
    table = np.asarray(gradients, dtype=np.float64)
    places = np.asarray(coordinates, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < N_SHOWN or not np.isfinite(table).all():
        raise DataError(f"expected finite gradients (regions, at least 3), got shape {table.shape}")
    known = np.isfinite(places).all(axis=-1) if places.ndim == 2 else np.zeros(0, dtype=bool)
    if places.shape != (len(table), 3) or not known.any():
        raise DataError(f"expected coordinates of shape ({len(table)}, 3), got {places.shape}")
    plotting = require("nilearn.plotting", "fmri", why="draw a glass brain")
    figure = Figure(figsize=(9.0, 4.8))
    space: Any = figure.add_axes((0.02, 0.08, SHARE, 0.78), projection="3d")
    draw_gradient_space(space, table)
    height = 0.92 / N_SHOWN
    for k in range(N_SHOWN):
        limit = np.abs(table[:, k]).max() or 1.0
        below = 0.92 - height * (k + 1)
        plotting.plot_markers(
            table[known, k],
            places[known],
            node_size=14,
            node_cmap="coolwarm",
            node_vmin=-limit,
            node_vmax=limit,
            display_mode="lzr",
            figure=figure,
            axes=(SHARE + 0.12, below, 0.86 - SHARE, height),
            annotate=k == 0,
            colorbar=False,
        )
        middle = below + height / 2
        figure.text(SHARE + 0.1, middle, f"gradient {k + 1}", rotation=90, va="center", fontsize=9)
    if title:
        figure.suptitle(title)
    return figure
