"""Predicted against true numbers, such as age."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from biojepa.errors import DataError
from biojepa.plotting.curves import COLOURS

_GREY = "#555555"


def plot_predicted(
    true: ArrayLike,
    predicted: Mapping[str, ArrayLike],
    *,
    notes: Mapping[str, str] | None = None,
    what: str = "age",
    unit: str = "years",
) -> Figure:
    """One panel a model: each dot a person; who is predicted exactly lies on the diagonal.

    Parameters
    ----------
    true : array-like, shape (n,)
    predicted : mapping of model to array-like, shape (n,)
    notes : mapping of model to str, optional
        Written into its panel.
    what, unit : str
        Of the number.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no model, or lengths differ.
    """
    y = np.asarray(true, dtype=float)
    values = {name: np.asarray(v, dtype=float) for name, v in predicted.items()}
    if not values or any(v.shape != y.shape for v in values.values()):
        raise DataError("expected predictions of one model or more, one for each true number")
    n_columns = min(3, len(values))
    n_rows = -(-len(values) // n_columns)
    figure = Figure(figsize=(3.1 * n_columns, 3.1 * n_rows + 0.2), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    ends = float(np.nanmin(y)), float(np.nanmax(y))
    for ax, (name, found) in zip(axes, values.items(), strict=False):
        ax.plot(ends, ends, "--", color=_GREY, linewidth=1, gid="diagonal")
        ax.plot(y, found, "o", color=COLOURS[0], alpha=0.65, markersize=4, gid=f"people-{name}")
        ax.set_title(name, fontsize=9)
        if notes and name in notes:
            ax.text(0.03, 0.97, notes[name], transform=ax.transAxes, va="top", fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    for ax in axes[len(values) :]:
        ax.remove()
    figure.supxlabel(f"true {what} ({unit})", fontsize=9)
    figure.supylabel(f"predicted {what} ({unit})", fontsize=9)
    return figure
