"""Scores of few subjects: every one is drawn, and the bound of chance through all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biojepa.errors import DataError
from biojepa.plotting.curves import COLOURS

_GREY = "#555555"


def plot_subjects(
    rows: Mapping[str, Mapping[str, float]],
    *,
    bound: float,
    chance: float,
    label: str,
    ordinary: Sequence[str] = (),
) -> Figure:
    """One line a row: a dot for each subject, a bar at the mean.

    Parameters
    ----------
    rows : mapping of row to mapping of subject to score
        From top to bottom.
    bound : float
        What guessing stays below with 95 %, dashed.
    chance : float
        Mean of guessing, dotted.
    label : str
        Of the axis.
    ordinary : sequence of str
        Rows drawn in grey: what the others are held against.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no row, or the rows are of other subjects.
    """
    subjects = _common(rows)
    figure = Figure(figsize=(8.4, 0.36 * len(rows) + 1.2), layout="constrained")
    ax = figure.subplots()
    for place, (name, scores) in enumerate(rows.items()):
        colour = _GREY if name in ordinary else COLOURS[0]
        values = [scores[subject] for subject in subjects]
        shift = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [0.0]
        ax.plot(values, place + np.asarray(shift), "o", color=colour, markersize=4, alpha=0.75)
        mean = float(np.mean(values))
        ax.plot([mean, mean], [place - 0.32, place + 0.32], color=colour, linewidth=2.4)
    ax.axvline(bound, color=_GREY, linestyle="--", linewidth=1, zorder=0, gid="bound")
    ax.axvline(chance, color=_GREY, linestyle=":", linewidth=1, zorder=0, gid="chance")
    ax.set_yticks(range(len(rows)), list(rows), fontsize=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(f"{label}; dots: subjects, bar: mean; dashed: 95 % bound of chance", fontsize=9)
    return _clean(figure, ax)


def plot_pairs(
    pairs: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]],
    *,
    names: tuple[str, str],
    bound: float,
    label: str,
) -> Figure:
    """Two rows side by side in each panel, a line for each subject.

    Parameters
    ----------
    pairs : mapping of panel to (scores by subject, scores by subject)
    names : (str, str)
        Of the left and right side.
    bound : float
        What guessing stays below with 95 %.
    label : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no panel, or its sides are of other subjects.
    """
    if not pairs:
        raise DataError("expected at least one pair of rows, got none")
    width = 1.75 * len(pairs) + 1.0
    figure = Figure(figsize=(width, 3.4), layout="constrained")
    axes = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for ax, (title, (left, right)) in zip(axes, pairs.items(), strict=True):
        for number, subject in enumerate(_common({"left": left, "right": right})):
            both = [left[subject], right[subject]]
            colour = COLOURS[number % len(COLOURS)]
            ax.plot([0, 1], both, "o-", color=colour, markersize=4, linewidth=1.1, gid=subject)
        means = [float(np.mean(list(side.values()))) for side in (left, right)]
        ax.plot([0, 1], means, color="black", linewidth=2.4, gid="mean")
        ax.axhline(bound, color=_GREY, linestyle="--", linewidth=1, zorder=0, gid="bound")
        ax.set_xticks([0, 1], names, fontsize=8)
        ax.set_xlim(-0.35, 1.35)
        ax.set_title(title, fontsize=8)
        _clean(figure, ax)
    axes[0].set_ylabel(label, fontsize=9)
    return figure


def plot_grid(
    curves: Mapping[str, Mapping[str, Mapping[int, float]]],
    controls: Mapping[str, float],
    *,
    bound: float,
    label: str,
) -> Figure:
    """Score over the window of pretraining, a line for each mask, a panel for each head.

    Parameters
    ----------
    curves : mapping of head to mapping of mask to mapping of tokens to score
    controls : mapping of head to float
        Of random weights, drawn through.
    bound : float
        What guessing stays below with 95 % in one subject.
    label : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no head.
    """
    if not curves:
        raise DataError("expected at least one head, got none")
    figure = Figure(figsize=(4.2 * len(curves) + 0.8, 3.6), layout="constrained")
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for ax, (head, masks) in zip(axes, curves.items(), strict=True):
        for number, (mask, scores) in enumerate(masks.items()):
            places = np.arange(len(scores)) + 0.04 * (number - 1)
            style = {"color": COLOURS[number % len(COLOURS)], "marker": "os^D"[number % 4]}
            ax.plot(places, list(scores.values()), label=f"mask {mask}", gid=mask, **style)
        ax.axhline(controls[head], color="black", linewidth=1.2, gid="random", label="random")
        ax.axhline(
            bound, color=_GREY, linestyle="--", linewidth=1, gid="bound", label="chance, 95 %"
        )
        ticks = [str(tokens) for tokens in next(iter(masks.values()))]
        ax.set_xticks(range(len(ticks)), ticks)
        ax.set_xlabel("window of pretraining, tokens of a second", fontsize=9)
        ax.set_title(head, fontsize=9)
        _clean(figure, ax)
    axes[0].set_ylabel(label, fontsize=9)
    axes[-1].legend(fontsize=7, frameon=False)
    return figure


def _common(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The subjects, which all rows share."""
    if not rows:
        raise DataError("expected at least one row, got none")
    first = next(iter(rows.values()))
    if not first or any(set(scores) != set(first) for scores in rows.values()):
        raise DataError("expected scores of the same subjects in every row")
    return list(first)


def _clean(figure: Figure, ax: Axes) -> Figure:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#e6e6e6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8)
    return figure
