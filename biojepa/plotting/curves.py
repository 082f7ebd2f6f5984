"""Training curves of a run, drawn from its `metrics.csv`.

The picture answers two questions: does it learn (loss, probe, skill over a position-only guess),
and does it still use its dimensions (RankMe with the zone below a tenth of the width shaded:
collapse). Columns that a run did not log are not drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from biojepa.errors import DataError, FormatError

COLLAPSE_SHARE = 0.1  # ours: RankMe below a tenth of the width counts as collapse
# Okabe & Ito's colour-blind safe colours, black and yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
FAMILIES = ("loss", "probe", "momentum")  # `loss` and every `loss_*`, and so on


class _Panel(NamedTuple):
    title: str
    columns: tuple[str, ...]
    second: tuple[str, ...] = ()  # on the right-hand axis


_PANELS = (
    _Panel("loss", ("loss",)),
    _Panel("effective rank (RankMe)", ("rankme",)),
    _Panel("online probe", ("probe",)),
    _Panel("skill over position-only guess", ("skill",)),
    _Panel("standard deviation per dimension", ("std",)),
    _Panel("LiDAR", ("lidar",)),
    _Panel("spectrum slope (alpha-ReQ)", ("alpha_req",)),
    _Panel("SIGReg statistic", ("sigreg",)),
    _Panel("learning rate | momentum", ("lr",), ("momentum",)),
    _Panel("weight decay", ("weight_decay",)),
    _Panel("gradient norm", ("grad_norm",)),
    _Panel("samples per second", ("samples_per_s",)),
)


def plot_curves(
    metrics: pd.DataFrame | str | Path, *, title: str | None = None, dim: int | None = None
) -> Figure:
    """Draw the curves of a training run.

    Parameters
    ----------
    metrics : DataFrame or path of metrics.csv
        A column `step`, and any of `loss`, `rankme`, `probe`, `skill`, `std`, `lidar`,
        `alpha_req`, `sigreg`, `lr`, `momentum`, `weight_decay`, `grad_norm`, `samples_per_s`.
        `loss_*`, `probe_*` and `momentum_*` (one for each momentum copy) join the panels of
        `loss`, `probe` and `momentum`. Blanks are passed over; a single row is a dot.
    title : str, optional
    dim : int, optional
        Width of the embedding, for the collapse zone; a column `dim` serves too.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no `step`, no row, or nothing to draw.
    FormatError
        If the file is not a table.
    """
    table = _numbers(metrics)
    panels = _present(table)
    if not panels:
        raise DataError(
            f"expected a column such as loss or rankme with numbers, got {list(table.columns)}: "
            "check that the run logged a step"
        )
    n_columns = min(len(panels), 3 if len(panels) != 4 else 2)
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 2.7 * n_rows + 0.4))
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True).ravel()
    if dim is None and "dim" in table and table["dim"].notna().any():
        dim = int(table["dim"].dropna().iloc[-1])
    for ax, panel in zip(grid, panels, strict=False):
        _draw(ax, table, panel)
        if panel.columns == ("rankme",) and dim:
            _collapse_zone(ax, table["rankme"], dim)
    for ax in grid[len(panels) :]:
        ax.remove()
    for ax in grid[: len(panels)][-n_columns:]:  # the lowest panel of each column
        ax.set_xlabel("step")
        ax.tick_params(labelbottom=True)
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def _numbers(metrics: pd.DataFrame | str | Path) -> pd.DataFrame:
    if isinstance(metrics, pd.DataFrame):
        table = metrics
    else:
        try:
            table = pd.read_csv(metrics)
        except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
            raise FormatError(
                f"expected a table of metrics, got {metrics}: {error}: name the run's metrics.csv"
            ) from error
    if "step" not in table.columns or not len(table):
        raise DataError(
            f"expected a column step and at least one row, got columns {list(table.columns)} and "
            f"{len(table)} rows: name the metrics.csv of a run that has logged a step"
        )
    numeric = {name: pd.to_numeric(table[name], errors="coerce") for name in table.columns}
    clean = pd.DataFrame(numeric).replace([np.inf, -np.inf], np.nan)
    return clean[clean["step"].notna()]


def _present(table: pd.DataFrame) -> list[_Panel]:
    logged = [name for name in table.columns if table[name].notna().any()]

    def there(stems: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            name
            for stem in stems
            for name in logged
            if name == stem or (stem in FAMILIES and name.startswith(f"{stem}_"))
        )

    found = []
    for panel in _PANELS:
        columns, second = there(panel.columns), there(panel.second)
        if columns or second:
            name = panel.title
            if panel.second and not (columns and second):
                name = name.split(" | ")[0 if columns else 1]
            found.append(_Panel(name, columns or second, second if columns else ()))
    return found


def _draw(ax: Axes, table: pd.DataFrame, panel: _Panel) -> None:
    ax.set_title(panel.title, fontsize=9, loc="left")
    for name, colour in zip(panel.columns, _cycle(len(panel.columns)), strict=True):
        _line(ax, table, name, colour)
    if panel.title in ("loss", "gradient norm") and _spans_decades(table, panel.columns):
        ax.set_yscale("log")
    if len(panel.columns) > 1:
        ax.legend(fontsize=7, frameon=False)
    if panel.second:
        ax.tick_params(axis="y", colors=COLOURS[0])
        right = ax.twinx()
        dashes = ("--", ":", "-.")  # copies often share one schedule: both must show
        for i, name in enumerate(panel.second):
            colour = COLOURS[1 + i % (len(COLOURS) - 1)]
            _line(right, table, name, colour, style=dashes[i % len(dashes)])
        if len(panel.second) > 1:
            # a warm-up and a cosine leave this place free; "best" does not see the left-hand axis
            right.legend(fontsize=7, loc="lower center", edgecolor="none", framealpha=0.8)
        right.tick_params(axis="y", colors=COLOURS[1], labelsize=8)
        right.spines["top"].set_visible(False)
        right.ticklabel_format(axis="y", useOffset=False)
    ax.spines[["top"] if panel.second else ["top", "right"]].set_visible(False)
    ax.grid(color="#e6e6e6", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8, which="both")
    steps = table["step"]
    if steps.nunique() == 1:
        ax.set(xlim=(steps.iloc[0] - 1, steps.iloc[0] + 1), xticks=[steps.iloc[0]])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _spans_decades(table: pd.DataFrame, columns: tuple[str, ...]) -> bool:
    values = table[list(columns)].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low > 0 and high > 30 * low


def _line(ax: Axes, table: pd.DataFrame, name: str, colour: str, *, style: str = "-") -> None:
    rows = table[["step", name]].dropna()
    few = len(rows) <= 25  # logged now and then: show where
    ax.plot(
        rows["step"],
        rows[name],
        color=colour,
        linestyle=style,
        linewidth=1.3,
        marker="o" if few else "",
        markersize=3,
        label=name,
        gid=name,
    )


def _collapse_zone(ax: Axes, rankme: pd.Series, dim: int) -> None:
    edge = COLLAPSE_SHARE * dim
    ax.axhspan(0, edge, color="#D55E00", alpha=0.18, linewidth=0, zorder=0, gid="collapse-zone")
    ax.set_ylim(0, max(1.12 * rankme.max(), 1.6 * edge))
    ax.text(
        0.015,
        0.04 * edge,
        f"collapse: below {edge:g} of {dim}",
        transform=ax.get_yaxis_transform(),
        fontsize=7,
        color="#9c4400",
        ha="left",
        va="bottom",
    )


def _cycle(n: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]
