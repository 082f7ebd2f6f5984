"""Pictures of a benchmark: intervals, label efficiency, reliability, robustness.

Numbers in, figures out; no model is known here. Colours are Okabe & Ito's, lines also differ by
marker, and the heat map runs from blue to orange through white, so nothing hangs on red and green.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from biojepa.errors import DataError
from biojepa.plotting.curves import COLOURS

MIN_ANSWERS = 10  # ours: the share of positives among fewer says nothing
Bins = tuple[ArrayLike, ArrayLike, ArrayLike]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
# white in the middle, which is no change
_LOSS = LinearSegmentedColormap.from_list(
    "loss", [(0.0, "#B34E00"), (0.3, "#F5D7B5"), (0.5, "#FFFFFF"), (1.0, "#56B4E9")]
)
_GREY = "#555555"


def plot_intervals(
    names: Sequence[str],
    points: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    *,
    seeds: Sequence[Sequence[float]] = (),
    reference: str | None = None,
    ordinary: Sequence[str] = (),
    label: str = "macro AUC",
) -> Figure:
    """One line a row of the table: point, interval, and every seed.

    Parameters
    ----------
    names : sequence of str
        From top to bottom.
    points : sequence of float
    intervals : sequence of (low, high)
    seeds : sequence of sequences of float
        Value of each seed, drawn small above the interval.
    reference : str, optional
        Row whose point is drawn as a dashed line through all.
    ordinary : sequence of str
        Rows drawn in grey: what the others are held against.
    label : str
        Of the axis.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the lengths differ.
    """
    if not len(names) == len(points) == len(intervals) or not names:
        raise DataError(f"expected a point and an interval a row, got {len(names)} rows")
    figure = Figure(figsize=(8.4, 0.42 * len(names) + 1.0), layout="constrained")
    ax = figure.subplots()
    for place, name in enumerate(names):
        low, high = intervals[place]
        colour = _GREY if name in ordinary else COLOURS[0]
        ax.plot([low, high], [place, place], color=colour, linewidth=2, gid=f"interval-{name}")
        ax.plot(points[place], place, "o", color=colour, markersize=6)
        if len(seeds) == len(names):
            values = seeds[place]
            ax.plot(values, [place - 0.26] * len(values), "|", color=colour, markersize=6)
    if reference is not None and reference in names:
        at = points[list(names).index(reference)]
        ax.axvline(at, color=_GREY, linestyle="--", linewidth=1, zorder=0, gid="reference")
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.4, -0.7)
    ax.set_xlabel(f"{label}\nmean over seeds, 95 % interval over patients; ticks: every seed")
    return _clean(figure, ax)


def plot_label_efficiency(
    curves: Mapping[str, Sequence[tuple[float, Sequence[float]]]], *, n_records: int
) -> Figure:
    """AUC over the share of labels: mean and range of the middle 90 % of the draws.

    Parameters
    ----------
    curves : mapping of row to sequence of (fraction, values of the draws)
        A fraction without draws is left out.
    n_records : int
        Labelled records at fraction 1, for the axis.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is nothing to draw.
    """
    if not any(len(values) for curve in curves.values() for _, values in curve):
        raise DataError("expected at least one fraction with draws, got none")
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    ax = figure.subplots()
    shares: set[float] = set()
    for number, (name, curve) in enumerate(curves.items()):
        drawn = [(f, np.asarray(values)) for f, values in curve if len(values)]
        x = [f * 1.012 ** (number - len(curves) / 2) for f, _ in drawn]  # side by side
        mean = [values.mean() for _, values in drawn]
        low, high = (np.array([np.quantile(v, q) for _, v in drawn]) for q in (0.05, 0.95))
        ax.errorbar(
            x,
            mean,
            yerr=[np.maximum(mean - low, 0), np.maximum(high - mean, 0)],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            linewidth=1.4,
            elinewidth=0.8,
            capsize=2,
            label=name,
            gid=f"curve-{name}",
        )
        shares |= {f for f, _ in drawn}
    ax.set_xscale("log")
    ticks = sorted(shares)
    ax.set_xticks(ticks, [f"{100 * f:g} %\n{round(f * n_records):,}" for f in ticks])
    ax.minorticks_off()
    ax.set_xlabel("labels of the training part (share of patients; records)")
    ax.set_ylabel("macro AUC")
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    return _clean(figure, ax)


def plot_reliability(panels: Mapping[str, Mapping[str, Bins]]) -> Figure:
    """Share of positives over the probability that was said; honest answers lie on the diagonal.

    Parameters
    ----------
    panels : mapping of title to mapping of name to (probability, frequency, number of answers)
        Panels side by side, such as before and after scaling; each of the three is (n_bins,), NaN
        in empty bins. Shares of fewer than `MIN_ANSWERS` answers are not drawn.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no panel.
    """
    if not panels:
        raise DataError("expected at least one panel of reliability curves, got none")
    figure = Figure(figsize=(0.8 + 4.6 * len(panels), 5.8), layout="constrained")
    axes = figure.subplots(
        2, len(panels), height_ratios=(4, 1), sharex=True, sharey="row", squeeze=False
    )
    for (ax, below), (title, curves) in zip(axes.T, panels.items(), strict=True):
        ax.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
        for number, (name, (said, found, count)) in enumerate(curves.items()):
            style = {
                "color": COLOURS[number % len(COLOURS)],
                "marker": MARKERS[number % len(MARKERS)],
                "markersize": 4,
                "linewidth": 1.3,
            }
            n_answers = np.asarray(count)
            there = np.isfinite(said)
            enough = there & (n_answers >= MIN_ANSWERS)
            ax.plot(np.asarray(said)[enough], np.asarray(found)[enough], label=name, **style)
            below.plot(np.asarray(said)[there], n_answers[there], **style)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.set_title(title, fontsize=9)
        below.set(xlabel="probability", yscale="log")
        _clean(figure, below)
        _clean(figure, ax)
    axes[0, 0].set_ylabel("share of positives")
    axes[0, 0].legend(fontsize=8, frameon=False, loc="upper left")
    axes[1, 0].set_ylabel("answers")
    return figure


def plot_robustness(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Heat map of the change of AUC: rows are models, columns are disturbances.

    Parameters
    ----------
    table : mapping of model to mapping of family to mapping of level to AUC
        The family "none" has the undisturbed AUC under "".

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no model, or the models were not disturbed alike.
    """
    models = list(table)
    if not models:
        raise DataError("expected at least one model, got none")
    families = {name: list(levels) for name, levels in table[models[0]].items() if name != "none"}
    alike = [{f: list(v) for f, v in table[m].items() if f != "none"} == families for m in models]
    if not all(alike):
        raise DataError("expected the same disturbances of every model")
    columns = [(f, level) for f, levels in families.items() for level in levels]
    change = np.array([[table[m][f][v] - table[m]["none"][""] for f, v in columns] for m in models])
    figure = Figure(
        figsize=(2.6 + 0.44 * len(columns), 1.6 + 0.42 * len(models)), layout="constrained"
    )
    ax = figure.subplots()
    norm = TwoSlopeNorm(0.0, min(-0.1, float(change.min())), 0.05)
    image = ax.imshow(change, cmap=_LOSS, norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(change):
        dark = value < 0.75 * norm.vmin if norm.vmin is not None else False
        text = _hundredths(value)
        colour = "white" if dark else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    labels = [f"{m} ({table[m]['none']['']:.3f})" for m in models]
    ax.set_yticks(range(len(models)), labels, fontsize=8)
    ax.set_xticks(range(len(columns)), [v for _, v in columns], rotation=60, fontsize=7, ha="right")
    start = 0
    for name, levels in families.items():
        middle = start + (len(levels) - 1) / 2
        ax.text(middle, -0.62, name, ha="center", va="bottom", fontsize=8)
        start += len(levels)
        if start < len(columns):
            ax.axvline(start - 0.5, color="black", linewidth=1)
    bar = figure.colorbar(image, ax=ax, fraction=0.03, pad=0.01)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _hundredths(value)))
    bar.set_label("change of macro AUC, hundredths", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _hundredths(value: float) -> str:
    return f"{100 * value:+.0f}" if round(100 * value) else "0"


def _clean(figure: Figure, ax: Axes) -> Figure:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#e6e6e6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8)
    return figure
