"""ECG paper: 25 mm/s, 10 mm/mV, true to scale, with context and target patches shaded.

The axes are in millimetres of paper and the figure is sized in millimetres, so a print at 100 %
can be measured with a ruler. Grid: 1 mm light (0.04 s, 0.1 mV), 5 mm bold (0.2 s, 0.5 mV).
Colours of the patches: Okabe & Ito's colour-blind safe blue and orange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from biojepa.errors import ConfigError, DataError

MM_PER_S = 25.0
MM_PER_MV = 10.0
COLOURS = {"context": "#0072B2", "target": "#E69F00"}
Layout = Literal["3x4+rhythm", "12x1"]

_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
_LEFT_MM, _RIGHT_MM, _HEAD_MM, _FOOT_MM = 15.0, 5.0, 15.0, 10.0
_LIMIT_MM = 30.0  # a trace may rise or fall 3 mV from its zero line, then it is cut and flagged
_LEAST_MM = 12.0  # room above and below a zero line even when the trace is flat
_INK, _BOLD, _LIGHT, _PAPER = "#1a1a1a", "#e79a9a", "#f6d5d5", "#fffafa"


@dataclass(frozen=True)
class PatchShading:
    """Which stretches of time a model saw and which it had to predict.

    Parameters
    ----------
    patch_s : float
        Length of a patch in seconds; patch i covers `[i, i + 1) * patch_s` of all leads.
    context, target : sequence of int
        Patches seen and patches to predict; no patch may be both.
    """

    patch_s: float
    context: Sequence[int]
    target: Sequence[int]


@dataclass(frozen=True)
class _Strip:
    """One lead over one stretch of time, at one place of the paper (millimetres)."""

    lead: int
    name: str
    from_s: float
    to_s: float
    x_mm: float
    row: int


def plot_ecg(
    values_mv: ArrayLike,
    leads: Sequence[str],
    rate_hz: float,
    *,
    patches: PatchShading | None = None,
    title: str | None = None,
    layout: Layout = "3x4+rhythm",
    duration_s: float = 10.0,
    ax: Axes | None = None,
) -> Figure:
    """Draw a recording as a cardiologist's printout.

    Parameters
    ----------
    values_mv : array, shape (n_leads, n_times)
        Millivolt; NaN leaves a gap. Voltages beyond 3 mV from zero are cut and flagged.
    leads : sequence of str
        Names of the rows, in any order and any case.
    rate_hz : float
        Samples per second.
    patches : PatchShading, optional
        Patches to shade.
    title : str, optional
    layout : {"3x4+rhythm", "12x1"}
        Four columns of three leads, one after the other in time, above a whole strip of lead II;
        or one row per lead. Anything but the twelve standard leads has one row per lead.
    duration_s : float
        Time to draw, from the start.
    ax : Axes, optional
        Draw here, in millimetres of paper; the scale is true only on the default figure.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If shapes and names disagree, nothing is finite, or patches overlap or lie outside.
    ConfigError
        If the rate, the duration or the layout is impossible.
    """
    values = np.asarray(values_mv, dtype=np.float64)
    _check(values, leads, rate_hz, layout, duration_s)
    strips = _place(leads, layout, duration_s)
    n_rows = max(s.row for s in strips) + 1
    zero_mm, edge_mm = _rows(values, rate_hz, strips, n_rows)
    height_mm = float(edge_mm[0]) + _HEAD_MM
    width_mm = _LEFT_MM + duration_s * MM_PER_S + _RIGHT_MM
    if ax is None:
        figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4), facecolor="white")
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0, width_mm), ylim=(0, height_mm), xticks=[], yticks=[], facecolor=_PAPER)
    ax.set_aspect("equal")
    for side in ax.spines.values():
        side.set_visible(False)
    _grid(ax, width_mm, height_mm)
    if patches is not None:
        seconds = min(duration_s, values.shape[1] / rate_hz)
        _shade(ax, patches, seconds, values.shape[1] / rate_hz, edge_mm)
    for row in range(n_rows):
        _calibration(ax, zero_mm[row])
    cut = [s.name for s in strips if _trace(ax, values[s.lead], rate_hz, s, zero_mm[s.row])]
    _words(ax, title, cut, width_mm, height_mm)
    return _root(ax)


def _check(
    values: np.ndarray, leads: Sequence[str], rate_hz: float, layout: str, duration_s: float
) -> None:
    if values.ndim != 2 or len(values) != len(leads) or values.size == 0:
        raise DataError(
            f"expected one row per lead, ({len(leads)}, n_times) for {list(leads)}, got "
            f"{values.shape}: transpose the array or name its rows"
        )
    if not np.isfinite(values).any():
        raise DataError("expected a signal, got no finite value: check the reader")
    if not (rate_hz > 0 and duration_s > 0):
        raise ConfigError(f"expected positive rate and duration, got {rate_hz} and {duration_s}")
    if layout not in ("3x4+rhythm", "12x1"):
        raise ConfigError(f"expected layout '3x4+rhythm' or '12x1', got {layout!r}")


def _place(leads: Sequence[str], layout: str, duration_s: float) -> list[_Strip]:
    at = {name.casefold(): i for i, name in enumerate(leads)}
    standard = [name for column in _COLUMNS for name in column]
    written = {name.casefold(): name for name in standard}
    if layout == "12x1" or set(written) != set(at) or len(leads) != 12:
        names = [written.get(name.casefold(), name) for name in leads]
        return [_Strip(i, n, 0.0, duration_s, _LEFT_MM, i) for i, n in enumerate(names)]
    quarter = duration_s / 4
    strips = [
        _Strip(
            at[name.casefold()],
            name,
            k * quarter,
            (k + 1) * quarter,
            _LEFT_MM + k * quarter * MM_PER_S,
            row,
        )
        for k, column in enumerate(_COLUMNS)
        for row, name in enumerate(column)
    ]
    return [*strips, _Strip(at["ii"], "II", 0.0, duration_s, _LEFT_MM, 3)]


def _rows(
    values: np.ndarray, rate_hz: float, strips: list[_Strip], n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Heights above the paper's lower edge: of zero lines (n_rows,), of row edges (n_rows + 1,)."""
    least = _LEAST_MM if n_rows <= 4 else 8.0
    up, down = np.full(n_rows, least), np.full(n_rows, least)
    for strip in strips:
        shown = _part(values[strip.lead], rate_hz, strip)[1] * MM_PER_MV
        shown = shown[np.isfinite(shown)]
        if shown.size:  # two millimetres of air
            up[strip.row] = max(up[strip.row], min(shown.max(), _LIMIT_MM) + 2)
            down[strip.row] = max(down[strip.row], min(-shown.min(), _LIMIT_MM) + 2)
    up, down = np.ceil(up), np.ceil(down)  # zero lines on lines of the grid
    height = np.ceil((_FOOT_MM + _HEAD_MM + (up + down).sum()) / 5) * 5
    edges = height - _HEAD_MM - np.concatenate([[0.0], np.cumsum(up + down)])
    return edges[:-1] - up, edges


def _part(trace: np.ndarray, rate_hz: float, strip: _Strip) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and values of the samples that a strip shows."""
    first = int(np.ceil(strip.from_s * rate_hz - 1e-9))
    last = min(int(np.ceil(strip.to_s * rate_hz - 1e-9)), len(trace))
    at = np.arange(first, max(first, last))
    return at / rate_hz, trace[at]


def _grid(ax: Axes, width_mm: float, height_mm: float) -> None:
    for step, colour, line in ((1.0, _LIGHT, 0.35), (5.0, _BOLD, 0.6)):
        for axis, length, other in (("x", width_mm, height_mm), ("y", height_mm, width_mm)):
            places = np.arange(0.0, length + 1e-6, step)
            ends = [[(p, 0.0), (p, other)] for p in places]
            if axis == "y":
                ends = [[(a, b) for b, a in pair] for pair in ends]
            name = "bold" if step == 5.0 else "light"
            ax.add_collection(
                LineCollection(
                    ends, colors=colour, linewidths=line, zorder=0, gid=f"grid-{name}-{axis}"
                ),
                autolim=False,
            )


def _shade(
    ax: Axes,
    patches: PatchShading,
    shown_s: float,
    total_s: float,
    edge_mm: np.ndarray,
) -> None:
    sets = {"context": sorted(set(patches.context)), "target": sorted(set(patches.target))}
    n_patches = int(np.ceil(total_s / patches.patch_s - 1e-9)) if patches.patch_s > 0 else 0
    used = sets["context"] + sets["target"]
    if len(set(used)) < len(used) or (used and not 0 <= min(used) <= max(used) < n_patches):
        raise DataError(
            f"expected context and target patches without overlap within 0..{n_patches - 1} "
            f"({total_s:g} s in patches of {patches.patch_s:g} s), got {len(set(used))} different "
            f"of {len(used)} from {min(used)} to {max(used)}: check patch_s and the mask"
        )
    handles = []
    for name, index in sets.items():
        starts = np.array([i * patches.patch_s for i in index if i * patches.patch_s < shown_s])
        stops = np.minimum(starts + patches.patch_s, shown_s)
        for row in range(len(edge_mm) - 1):
            top, bottom = edge_mm[row] - 0.3, edge_mm[row + 1] + 0.3
            corners = [
                [(a, bottom), (b, bottom), (b, top), (a, top)]
                for a, b in zip(
                    _LEFT_MM + starts * MM_PER_S, _LEFT_MM + stops * MM_PER_S, strict=True
                )
            ]
            ax.add_collection(
                PolyCollection(
                    corners,
                    facecolors=COLOURS[name],
                    edgecolors="none",
                    alpha=0.30 if name == "context" else 0.22,
                    antialiaseds=False,
                    zorder=1,
                    gid=f"{name}-row{row}",
                ),
                autolim=False,
            )
        label = f"{name}: {len(index)} patches, {len(index) * patches.patch_s:.2f} s"
        handles.append(Patch(color=COLOURS[name], alpha=0.5, label=label))
    ax.legend(
        handles=handles,
        loc="upper right",
        ncols=2,
        fontsize=8,
        frameon=True,
        facecolor=_PAPER,
        edgecolor="none",
        borderaxespad=0.8,
    )


def _calibration(ax: Axes, zero_mm: float) -> None:
    """A pulse of 1 mV and 0.2 s before each row."""
    x = np.array([4.0, 5.5, 5.5, 10.5, 10.5, 12.0])
    y = zero_mm + np.array([0, 0, 1, 1, 0, 0]) * MM_PER_MV
    ax.plot(x, y, color=_INK, linewidth=0.8, zorder=3, gid="calibration")


def _trace(ax: Axes, trace: np.ndarray, rate_hz: float, strip: _Strip, zero_mm: float) -> bool:
    """Draw a strip; True if a part was cut."""
    time_s, shown = _part(trace, rate_hz, strip)
    x = strip.x_mm + (time_s - strip.from_s) * MM_PER_S
    y = shown * MM_PER_MV
    ax.plot(
        x,
        zero_mm + np.clip(y, -_LIMIT_MM, _LIMIT_MM),
        color=_INK,
        linewidth=0.75,
        solid_joinstyle="round",
        zorder=3,
        gid=f"trace-{strip.name}-row{strip.row}",
    )
    if strip.from_s > 0:  # where the lead changes
        ax.plot([strip.x_mm] * 2, [zero_mm - 3, zero_mm + 3], color=_INK, linewidth=0.8, zorder=3)
    ax.text(
        strip.x_mm + 1.0,
        zero_mm + 6.5,
        strip.name,
        fontsize=9,
        fontweight="bold",
        color=_INK,
        va="bottom",
        zorder=2,  # a tall beat is drawn over the name, never hidden by it
        bbox={"facecolor": _PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
    )
    for sign, marker in ((1, "^"), (-1, "v")):
        over = np.flatnonzero(sign * y > _LIMIT_MM)
        if over.size:
            first = over[np.r_[True, np.diff(over) > 1]]
            ax.plot(
                x[first],
                np.full(len(first), zero_mm + sign * _LIMIT_MM),
                linestyle="none",
                marker=marker,
                markersize=5,
                color="#D55E00",
                zorder=5,
                gid="clipped",
            )
    return bool((np.abs(y[np.isfinite(y)]) > _LIMIT_MM).any())


def _words(ax: Axes, title: str | None, cut: list[str], width_mm: float, height_mm: float) -> None:
    if title:
        ax.text(
            5,
            height_mm - 5,
            title,
            fontsize=11,
            fontweight="bold",
            color=_INK,
            va="center",
            zorder=6,
        )
    ax.text(5, 4, "25 mm/s   10 mm/mV", fontsize=8, color=_INK, va="center", zorder=6)
    if cut:
        names = ", ".join(dict.fromkeys(cut))
        limit = _LIMIT_MM / MM_PER_MV
        ax.text(
            width_mm - 5,
            4,
            f"cut at \N{PLUS-MINUS SIGN}{limit:g} mV: {names}",
            fontsize=8,
            color="#D55E00",
            ha="right",
            va="center",
            zorder=6,
            gid="clipped-note",
        )


def _root(ax: Axes) -> Figure:
    figure = ax.figure
    return figure if isinstance(figure, Figure) else figure.figure
