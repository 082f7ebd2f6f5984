"""Heads seen from above: masked blocks of electrodes, and spatial filters.

Electrodes are flattened by their angle from the vertex (azimuthal equidistant, as usual for EEG):
the centre is straight above the origin of the positions, the outline about the level of the ears.
Nose up, left is left.

Letters: C channels, n heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RBFInterpolator

from biojepa.errors import DataError
from biojepa.plotting.embedding import COLOURS

CONTEXT, MASKED, INK = COLOURS[0], COLOURS[1], "#333333"
SHARE = LinearSegmentedColormap.from_list("masked", [CONTEXT, "#ddd8cc", MASKED])
OUTLINE = 1.1  # right angles from the vertex: 99 degrees, below the ring of Fpz, T7 and Oz
GRID, COLUMNS, RIM = 120, 4, 32
NAMED = 32  # names of more channels than this would lie on each other


def flatten_positions(positions: ArrayLike) -> NDArray[np.float64]:
    """Places on the drawn head.

    Parameters
    ----------
    positions : array, shape (C, 3)
        x to the right, y to the nose, z up; any unit.

    Returns
    -------
    ndarray, shape (C, 2)
        The distance from (0, 0) is the angle from the vertex, in right angles.

    Raises
    ------
    DataError
        If they are not finite positions off the origin.
    """
    xyz = np.asarray(positions, dtype=np.float64)
    if xyz.ndim != 2 or xyz.shape[1:] != (3,) or not len(xyz) or not np.isfinite(xyz).all():
        raise DataError(f"expected finite positions (channels, 3), got shape {xyz.shape}")
    norm = np.linalg.norm(xyz, axis=1)
    if not norm.all():
        raise DataError("expected positions off the origin: leave channels without a place out")
    angle = np.arccos(np.clip(xyz[:, 2] / norm, -1, 1)) / (np.pi / 2)
    length = np.hypot(xyz[:, 0], xyz[:, 1])
    scale = np.divide(angle, length, out=np.zeros_like(angle), where=length > 0)
    return xyz[:, :2] * scale[:, None]


def plot_blocks(
    positions: ArrayLike,
    masked: ArrayLike,
    *,
    centres: Sequence[int] | None = None,
    radius: float | None = None,
    names: Sequence[str] | None = None,
    titles: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw which electrodes are masked and which are context, a head for each mask.

    Parameters
    ----------
    positions : array, shape (C, 3)
        x to the right, y to the nose, z up.
    masked : array of bool or float, shape (n, C)
        Share of each channel's time that is masked.
    centres : sequence of int, optional
        Of each head, the channel that the block was drawn around.
    radius : float, optional
        Of a block, in the unit of `positions`; drawn around the centre as the line at this straight
        distance on a sphere through it.
    names : sequence of str, optional
        Written beside the electrodes of small caps, else beside the centres only.
    titles : sequence of str, optional
        Of the heads; the share of masked electrodes by default.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If numbers of channels or heads disagree.
    """
    xyz = np.asarray(positions, dtype=np.float64)
    places = flatten_positions(xyz)
    share = np.asarray(masked, dtype=np.float64)
    if share.ndim != 2 or share.shape[1] != len(places) or not len(share):
        raise DataError(f"expected masked (heads, {len(places)} channels), got {share.shape}")
    for what, given, wanted in (
        ("centres", centres, len(share)),
        ("titles", titles, len(share)),
        ("names", names, len(places)),
    ):
        if given is not None and len(given) != wanted:
            raise DataError(f"expected {wanted} {what}, got {len(given)}")
    figure, axes = _heads(len(share), places, title, legend=True)
    for k, (ax, own) in enumerate(zip(axes, share, strict=True)):
        ax.scatter(
            places[:, 0],
            places[:, 1],
            c=own,
            cmap=SHARE,
            norm=Normalize(0, 1),
            s=60 if len(places) <= NAMED else 34,
            edgecolors="white",
            linewidths=0.6,
            zorder=3,
        )
        if centres is not None:
            centre = int(centres[k])
            ax.plot(*places[centre], "*", color=INK, markersize=9, zorder=6, markeredgewidth=0)
            if radius is not None:
                ring = _ring(xyz[centre], radius)
                (line,) = ax.plot(*ring.T, color=INK, lw=1, ls=(0, (4, 3)), zorder=5)
                line.set_clip_path(Circle((0, 0), _edge(places) + 0.05, transform=ax.transData))
        for c, name in enumerate(names or ()):
            if len(places) <= NAMED or (centres is not None and c == centres[k]):
                _name(ax, places[c], name)
        ax.set_title(titles[k] if titles else f"{100 * own.mean():.0f} % masked", fontsize=9)
    keys = [_key("o", CONTEXT, "context"), _key("o", MASKED, "masked")]
    if ((share > 0) & (share < 1)).any():
        keys.insert(1, _key("o", SHARE(0.5), "masked for a part of the time"))
    keys += [_key("*", INK, "centre")] if centres is not None else []
    if radius is not None and centres is not None:
        keys.append(Line2D([], [], color=INK, lw=1, ls=(0, (4, 3)), label="radius of the block"))
    figure.legend(handles=keys, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


def plot_filters(
    filters: ArrayLike,
    positions: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw spatial filters as maps over the head.

    Parameters
    ----------
    filters : array, shape (n, C)
        Weights of the channels. Each map is interpolated by a thin plate through the electrodes,
        which ends around the head as its nearest electrode, and is scaled to its own largest
        weight. A filter shows what is looked at, not where a source is.
    positions : array, shape (C, 3)
        x to the right, y to the nose, z up; at least four channels.
    titles : sequence of str, optional
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If numbers of channels or maps disagree, or weights are not finite.
    """
    places = flatten_positions(positions)
    weights = np.asarray(filters, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(places) or len(places) < 4 or not len(weights):
        raise DataError(
            f"expected filters (n, channels) on at least 4 places, got {weights.shape} on "
            f"{len(places)}"
        )
    if not np.isfinite(weights).all():
        raise DataError("expected finite weights, got NaN or infinity")
    if titles is not None and len(titles) != len(weights):
        raise DataError(f"expected {len(weights)} titles, got {len(titles)}")
    figure, axes = _heads(len(weights), places, title, legend=False)
    edge = _edge(places)
    line = np.linspace(-edge, edge, GRID)
    x, y = np.meshgrid(line, line)
    # a thin plate bends without end beyond its knots: around the head it ends as its rim
    turn = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
    rim = (edge + 0.2) * np.column_stack([np.cos(turn), np.sin(turn)])
    nearest = np.linalg.norm(rim[:, None] - places, axis=-1).argmin(axis=1)
    knots = np.concatenate([places, rim])
    for k, (ax, own) in enumerate(zip(axes, weights, strict=True)):
        scaled = own / (np.abs(own).max() or 1.0)
        known = np.r_[scaled, scaled[nearest]]
        plate = RBFInterpolator(knots, known, kernel="thin_plate_spline", smoothing=1e-3)
        values = plate(np.column_stack([x.ravel(), y.ravel()])).reshape(x.shape)
        image = ax.imshow(
            values,
            extent=(-edge, edge, -edge, edge),
            origin="lower",
            cmap="RdBu_r",
            norm=Normalize(-1, 1),
            interpolation="bilinear",
        )
        image.set_clip_path(Circle((0, 0), edge, transform=ax.transData))
        ax.scatter(places[:, 0], places[:, 1], s=5, color=INK, linewidths=0, zorder=3)
        ax.set_title(titles[k] if titles else f"filter {k + 1}", fontsize=9)
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), "RdBu_r"), ax=axes, shrink=0.7, aspect=25, ticks=[-1, 0, 1]
    )
    bar.set_label("weight, of the map's largest", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _heads(
    n: int, places: NDArray[np.float64], title: str | None, *, legend: bool
) -> tuple[Figure, list[Axes]]:
    """A figure of n empty heads."""
    rows = -(-n // COLUMNS)
    columns = -(-n // rows)
    size = (2.5 * columns + (0 if legend else 0.8), 2.7 * rows + (0.4 if legend else 0.1))
    figure = Figure(figsize=(max(size[0], 3.6), size[1]), layout="constrained")
    drawn = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    edge = max(_edge(places), OUTLINE)
    for ax in drawn[:n]:
        ax.add_patch(Circle((0, 0), OUTLINE, fill=False, color=INK, lw=1.2, zorder=2))
        ax.plot(
            [-0.12, 0, 0.12], [OUTLINE - 0.01, OUTLINE + 0.13, OUTLINE - 0.01], color=INK, lw=1.2
        )
        for side in (-1, 1):
            ear = np.array([[0, 0.17], [0.06, 0.13], [0.07, -0.1], [0, -0.17]])
            ax.plot(side * (OUTLINE + ear[:, 0]), ear[:, 1], color=INK, lw=1.2)
        ax.set(xlim=(-edge - 0.15, edge + 0.15), ylim=(-edge - 0.1, edge + 0.2), aspect="equal")
        ax.axis("off")
    for ax in drawn[n:]:
        ax.axis("off")
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure, drawn[:n]


def _edge(places: NDArray[np.float64]) -> float:
    """How far out the map goes: to the outline, or the lowest electrode."""
    return max(OUTLINE, float(np.linalg.norm(places, axis=1).max()) + 0.05)


def _ring(centre: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Line at a straight distance from a place, on the sphere about the origin through it."""
    size = float(np.linalg.norm(centre))
    angle = 2 * np.arcsin(min(radius / (2 * size), 1.0))
    up = centre / size
    other = np.eye(3)[np.abs(up).argmin()]
    first = np.cross(up, other)
    first /= np.linalg.norm(first)
    second = np.cross(up, first)
    turn = np.linspace(0, 2 * np.pi, 120)[:, None]
    around = np.cos(turn) * first + np.sin(turn) * second
    return flatten_positions(np.cos(angle) * up + np.sin(angle) * around)


def _name(ax: Axes, place: NDArray[np.float64], name: str) -> None:
    ax.annotate(
        name,
        (place[0], place[1]),
        xytext=(0, 5),
        textcoords="offset points",
        fontsize=7,
        color=INK,
        ha="center",
        va="bottom",
        zorder=7,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )


def _key(marker: str, colour: Any, label: str) -> Line2D:
    return Line2D([], [], marker=marker, color=colour, ls="", markersize=7, label=label)
