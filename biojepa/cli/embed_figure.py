"""The map of a table of features: by class and by subject, if a table of labels says them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.cli.console import say
from biojepa.cli.errors import UsageError
from biojepa.data.label_table import read_label_table
from biojepa.errors import DataError
from biojepa.plotting.embedding import plot_embedding

UNKNOWN = "unknown"


def draw_map(features: Path, figure: Path, labels: str | None) -> None:
    """Draw the rows of a file of features on their two principal axes.

    Parameters
    ----------
    features : Path
        What `biojepa embed` wrote.
    figure : Path
        PNG, PDF or SVG.
    labels : str or None
        Table of record_id, patient_id and labels; a row of a window (NAME#0) is of its record.

    Raises
    ------
    UsageError
        If the figure cannot be of this kind.
    DataError
        If no row has a label, or there are fewer than three rows.
    """
    if figure.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(f"expected --figure FILE.png, .pdf or .svg, got {str(figure)!r}")
    ids, values = _read(features)
    known: dict[str, Any] = {}
    if labels is not None:
        known = _known(ids, labels)
    drawn = plot_embedding(values, by=("class", "subject"), title=features.stem, **known)
    drawn.savefig(figure, dpi=120)
    say(f"{figure}: {len(ids):,} rows on their two principal axes")


def _known(ids: list[str], path: str) -> dict[str, Any]:
    """Labels and subjects of the rows, as `plot_embedding` takes them."""
    table = read_label_table(path)
    place = {name: i for i, name in enumerate(table.record_ids)}
    rows = [place.get(name, place.get(name.rpartition("#")[0], -1)) for name in ids]
    if max(rows) < 0:
        raise DataError(
            f"expected labels of the embedded recordings, {path} has none of {', '.join(ids[:3])}"
        )
    told = [(i, table.y[i]) if i >= 0 else None for i in rows]
    return {
        "labels": [UNKNOWN if one is None else _name(one[1], table.classes) for one in told],
        "groups": [UNKNOWN if one is None else table.patient_ids[one[0]] for one in told],
        "classes": table.classes,
    }


def _name(y: NDArray[np.float64], classes: tuple[str, ...]) -> str:
    """The class of a recording; "several", "none", or "unknown" where nothing is known."""
    if np.isnan(y).all():
        return UNKNOWN
    positive = np.flatnonzero(np.nan_to_num(y) > 0)
    if len(positive) != 1:
        return "several" if len(positive) else "none"
    return classes[positive[0]]


def _read(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["record_id"].tolist(), arrays["features"]
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        columns = [i for i, name in enumerate(next(reader)) if name.startswith("f")]
        rows = [(row[0], [float(row[i]) for i in columns]) for row in reader]
    names = [name[1:] if name[:2] in ("'=", "'+", "'-", "'@") else name for name, _ in rows]
    return names, np.array([values for _, values in rows], dtype=np.float32)
