"""Figures of brains: gradients in space, regions as a model sees them, masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from biojepa.errors import DataError

# unseen, context, then the kinds of targets
MASK_COLOURS = ("#eeeeee", "#0072B2", "#E69F00", "#009E73", "#D55E00")


def plot_gradients(
    gradients: ArrayLike, *, coordinates: ArrayLike | None = None, title: str | None = None
) -> Figure:
    """Draw the first three gradients: as axes of a space, and on the brain if there are places.

    Parameters
    ----------
    gradients : array, shape (R, G)
        At least three gradients.
    coordinates : array, shape (R, 3), optional
        Centres of the regions, millimetre; each gradient is then also drawn on two views. With
        nilearn, `glass_brain.plot_glass_gradients` draws them in a glass brain.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there are fewer than three gradients, or as many places as regions are not given.
    """
    table = np.asarray(gradients, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 3 or not np.isfinite(table).all():
        raise DataError(f"expected finite gradients (regions, at least 3), got shape {table.shape}")
    places = None if coordinates is None else np.asarray(coordinates, dtype=np.float64)
    if places is not None and places.shape != (len(table), 3):
        raise DataError(f"expected coordinates of shape ({len(table)}, 3), got {places.shape}")
    figure = Figure(figsize=(5.2 if places is None else 9.0, 4.6), layout="constrained")
    grid = figure.add_gridspec(3, 1 if places is None else 3)
    space: Any = figure.add_subplot(grid[:, 0], projection="3d")
    draw_gradient_space(space, table)
    if places is not None:
        for k in range(3):
            limit = np.abs(table[:, k]).max() or 1.0
            for column, (x, y, name) in enumerate(((1, 2, "from the right"), (0, 1, "from above"))):
                ax = figure.add_subplot(grid[k, 1 + column])
                ax.scatter(
                    places[:, x],
                    places[:, y],
                    c=table[:, k],
                    cmap="coolwarm",
                    s=12,
                    vmin=-limit,
                    vmax=limit,
                )
                ax.set_aspect("equal")
                ax.set_axis_off()
                ax.set_title(f"gradient {k + 1}, {name}", fontsize=8)
    if title:
        figure.suptitle(title)
    return figure


def draw_gradient_space(axes: Any, gradients: NDArray[np.float64]) -> None:
    """Draw regions in the space of their first three gradients, (R, G), on 3-D axes."""
    three = gradients[:, :3]
    axes.scatter(*three.T, c=_rgb(three), s=18, depthshade=False)
    axes.set_xlabel("gradient 1", labelpad=8)
    axes.set_ylabel("gradient 2", labelpad=8)
    axes.set_zlabel("gradient 3")
    axes.tick_params(labelsize=7)
    axes.locator_params(nbins=4)


def plot_mask_map(
    grid: ArrayLike,
    names: Sequence[str],
    *,
    regions: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw what each region and time patch is: context, one of the kinds of targets, or unseen.

    Parameters
    ----------
    grid : array of int, shape (R, n)
        Places in `names`.
    names : sequence of str
        At most five: unseen, context, and the kinds of targets.
    regions : sequence of str, optional
        Written at the rows, as many as there is room for.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the grid holds other numbers, or names and rows differ in number.
    """
    table = np.asarray(grid)
    if table.ndim != 2 or table.dtype.kind not in "iu" or len(names) > len(MASK_COLOURS):
        raise DataError(f"expected whole numbers (regions, time patches), got {table.dtype}")
    if table.min() < 0 or table.max() >= len(names):
        raise DataError(f"expected numbers of 0 to {len(names) - 1}, got {table.max()}")
    if regions is not None and len(regions) != len(table):
        raise DataError(f"expected {len(table)} names of regions, got {len(regions)}")
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    ax = figure.add_subplot()
    colours = MASK_COLOURS[: len(names)]
    ax.imshow(
        table,
        aspect="auto",
        interpolation="nearest",
        cmap=ListedColormap(list(colours)),
        vmin=0,
        vmax=len(names) - 1,
    )
    ax.set_xlabel("time patch")
    ax.set_ylabel("region")
    ax.set_xticks(range(table.shape[1]))
    if regions is not None:
        rows = np.unique(np.linspace(0, len(table) - 1, min(24, len(table))).astype(int))
        ax.set_yticks(rows, [regions[i] for i in rows], fontsize=7)
    share = np.bincount(table.ravel(), minlength=len(names)) / table.size
    handles = [
        Patch(facecolor=colour, edgecolor="#555555", label=f"{name} ({part:.0%})")
        for colour, name, part in zip(colours, names, share, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    if title:
        ax.set_title(title)
    return figure


def plot_region_embedding(
    embeddings: ArrayLike, gradients: ArrayLike, *, title: str | None = None
) -> Figure:
    """Draw regions by what a model makes of them, coloured by their first three gradients.

    Neighbours of like colour: the model keeps the order that connectivity has.

    Parameters
    ----------
    embeddings : array, shape (R, D)
        One row a region, such as the mean of its tokens; shown on their two principal axes.
    gradients : array, shape (R, G)
        At least three.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there are fewer than three regions, columns or gradients, or they are not finite.
    """
    rows, table = (np.asarray(x, dtype=np.float64) for x in (embeddings, gradients))
    good = rows.ndim == table.ndim == 2 and len(rows) == len(table)
    if not good or min(*rows.shape, table.shape[1]) < 3 or not np.isfinite(rows).all():
        raise DataError(
            "expected finite embeddings (regions, width) and at least 3 gradients of the same "
            f"regions, got shapes {rows.shape} and {table.shape}"
        )
    centred = rows - rows.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    share = s**2 / max(float((s**2).sum()), 1e-30)
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    ax = figure.add_subplot()
    ax.scatter(u[:, 0] * s[0], u[:, 1] * s[1], c=_rgb(table[:, :3]), s=22, linewidths=0)
    ax.set_xlabel(f"principal axis 1 ({share[0]:.0%})")
    ax.set_ylabel(f"principal axis 2 ({share[1]:.0%})")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title or "colour: gradients 1, 2, 3 as red, green, blue", fontsize=9)
    return figure


def _rgb(three: np.ndarray) -> np.ndarray:
    """Three gradients as red, green and blue, each over its own range."""
    low, high = three.min(axis=0), three.max(axis=0)
    return (three - low) / np.where(high > low, high - low, 1.0)
