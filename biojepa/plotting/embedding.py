"""A map of features: principal components or UMAP, coloured by label and by group.

The panel by group (site, device, patient) beside the one by label shows at a glance whether the
features hold the disease or the machine. Colours: Okabe & Ito; markers change as well, so that
no class is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from biojepa.errors import ConfigError, DataError, MissingDependencyError

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8a7a00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#9a9a9a"
_REST = ("several", "none", "unknown")  # not a class: grey, as is "other"
_MOST = 10  # categories with a legend entry each; the rarest beyond are "other"


def plot_embedding(
    features: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    method: Literal["pca", "umap"] = "pca",
    by: tuple[str, str] = ("label", "group"),
    random_state: int = 0,
    title: str | None = None,
) -> Figure:
    """Draw features in two dimensions.

    Parameters
    ----------
    features : array, shape (n, dim)
        At least three rows, all finite.
    labels : array, shape (n,) or (n, n_classes), optional
        Names, numbers, or 0/1 columns: a row with more than one 1 is "several". NaN is "unknown".
        More than ten different fractional numbers get a colour bar.
    groups : array, shape (n,), optional
        Site, device or patient; drawn in a panel of its own.
    classes : sequence of str, optional
        Names of the label columns, or of the labels 0, 1, 2, ...
    method : {"pca", "umap"}
        Principal components (the same on every machine) or UMAP.
    by : (str, str)
        What labels and groups are, as the panels name them: ("class", "subject").
    random_state : int
        Seed of UMAP.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If lengths disagree, or features are too few or not finite.
    ConfigError
        If `method` is unknown.
    MissingDependencyError
        If UMAP is asked for and umap-learn is not installed.
    """
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or len(values) < 3 or values.shape[1] < 1 or not np.isfinite(values).all():
        raise DataError(
            f"expected finite features (n, dim) with n of at least 3, got {values.shape}: "
            "pass the output of transform, without rows of NaN"
        )
    for name, given in (("labels", labels), ("groups", groups)):
        if given is not None and len(np.asarray(given)) != len(values):
            raise DataError(
                f"expected {len(values)} {name}, one per row of the features, got "
                f"{len(np.asarray(given))}: pass the {name} of the same records"
            )
    if method == "pca":
        at, axes = _principal(values)
    elif method == "umap":
        at, axes = _umap(values, random_state)
    else:
        raise ConfigError(f"expected method 'pca' or 'umap', got {method!r}")

    panels: list[tuple[str, np.ndarray | None]] = []
    if labels is not None or groups is None:
        panels.append((by[0], None if labels is None else _categories(labels, classes)))
    if groups is not None:
        panels.append((by[1], _categories(groups, None)))
    figure = Figure(figsize=(5.6 * len(panels), 4.6), layout="constrained")
    drawn = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    order = np.random.default_rng(0).permutation(len(values))  # no class lies on top of another
    for ax, (name, category) in zip(drawn, panels, strict=True):
        _panel(ax, at[order], None if category is None else category[order], classes)
        ax.set(xlabel=axes[0], ylabel=axes[1] if ax is drawn[0] else "")
        if len(panels) > 1:
            ax.set_title(f"by {name}", fontsize=10, loc="left")
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def _principal(values: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """First two components; the largest loading of each is positive."""
    centred = values - values.mean(axis=0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    axes = axes * np.where(largest < 0, -1.0, 1.0)[:, None]
    share = size**2 / max(float((size**2).sum()), np.finfo(float).tiny)
    at = np.zeros((len(values), 2))
    at[:, : len(axes)] = centred @ axes.T
    share = np.r_[share, 0.0]
    first, second = (f"component {k + 1} ({100 * share[k]:.0f} % of variance)" for k in (0, 1))
    return at, (first, second)


def _umap(values: np.ndarray, random_state: int) -> tuple[np.ndarray, tuple[str, str]]:
    try:
        umap = import_module("umap")
    except ImportError as error:
        raise MissingDependencyError(
            "expected umap-learn for method='umap', found none: pip install biojepa[bench], or "
            "use method='pca'"
        ) from error
    neighbours = min(15, len(values) - 1)
    model = umap.UMAP(n_neighbors=neighbours, random_state=random_state, n_jobs=1)
    return np.asarray(model.fit_transform(values)), ("UMAP 1", "UMAP 2")


def _categories(labels: ArrayLike, classes: Sequence[str] | None) -> np.ndarray:
    """One name per row, or one number per row for continuous labels."""
    given = np.asarray(labels)
    if given.ndim == 2:
        names = [str(c) for c in (classes if classes is not None else range(given.shape[1]))]
        if len(names) != given.shape[1]:
            raise DataError(f"expected {given.shape[1]} names in classes, got {len(names)}")
        present = np.nan_to_num(given.astype(float)) > 0
        first = np.array(names, dtype=object)[present.argmax(axis=1)]
        first[present.sum(axis=1) > 1] = "several"
        first[~present.any(axis=1)] = "none"
        return first
    if given.ndim != 1:
        raise DataError(f"expected labels (n,) or (n, n_classes), got {given.shape}")
    if given.dtype.kind == "f":
        finite = given[np.isfinite(given)]
        if (finite != np.rint(finite)).any() and len(np.unique(finite)) > _MOST:
            return given.astype(float)
        whole = (finite == np.rint(finite)).all()
        shown = [("unknown" if np.isnan(v) else str(int(v)) if whole else f"{v:g}") for v in given]
    else:
        shown = ["unknown" if v is None or v != v else str(v) for v in given.tolist()]
    if classes is not None:
        renamed = {str(k): str(name) for k, name in enumerate(classes)}
        shown = [renamed.get(v, v) for v in shown]
    return np.array(shown, dtype=object)


def _panel(
    ax: Axes, at: np.ndarray, category: np.ndarray | None, classes: Sequence[str] | None
) -> None:
    size = float(np.clip(12000 / len(at), 8, 36))
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    if category is None:
        ax.scatter(at[:, 0], at[:, 1], s=size, color=COLOURS[0], alpha=0.6, linewidths=0)
        return
    if category.dtype.kind == "f":
        known = np.isfinite(category)
        ax.scatter(at[~known, 0], at[~known, 1], s=size, color=GREY, alpha=0.5, linewidths=0)
        x, y = at[known].T
        dots = ax.scatter(x, y, s=size, c=category[known], cmap="cividis", linewidths=0)
        ax.figure.colorbar(dots, ax=ax, shrink=0.8)
        return
    names, counts = np.unique(category.astype(str), return_counts=True)
    named = [str(n) for n in names[np.argsort(-counts, kind="stable")] if n not in _REST]
    shown = sorted(named[:_MOST], key=lambda name: _rank(name, classes))
    if named[_MOST:]:
        other = f"other ({len(named) - _MOST} more)"
        category = np.where(np.isin(category.astype(str), named[_MOST:]), other, category)
    grey = [n for n in np.unique(category.astype(str)) if n not in shown]
    for k, name in enumerate([*shown, *grey]):
        here = category == name
        rest = k >= len(shown)
        ax.scatter(
            at[here, 0],
            at[here, 1],
            s=size / 2 if rest else size,
            color=GREY if rest else COLOURS[k % len(COLOURS)],
            marker="o" if rest else MARKERS[(k + k // len(COLOURS)) % len(MARKERS)],
            alpha=0.6 if rest else 0.8,
            linewidths=0,
            zorder=1 if rest else 2,
            label=f"{name}: {here.sum()}",
        )
    ax.legend(
        fontsize=8,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        handletextpad=0.2,
        markerscale=max(1.0, (24 / size) ** 0.5),
    )


def _rank(name: str, classes: Sequence[str] | None) -> tuple[int, float, str]:
    """Order of the legend: as in `classes`, else by number, else by name."""
    if classes is not None and name in classes:
        return list(classes).index(name), 0.0, name
    try:
        return len(classes or ()), float(name), name
    except ValueError:
        return len(classes or ()), np.inf, name
