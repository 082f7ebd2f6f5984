"""Saliency on ECG paper: which stretches of which leads speak for a class, and which against it.

Orange speaks for, blue against; the deeper, the more. Drawn behind the traces of `plot_ecg`, on the
same millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from biojepa.errors import DataError
from biojepa.plotting.ecg_paper import COLOURS, MM_PER_S, plot_ecg

_TOP = 0.85  # opacity of the strongest patch
_PAD_MM = 2.0  # a flat trace still shows its patches
_TRACE = "trace-"


def plot_saliency(
    values_mv: ArrayLike,
    leads: Sequence[str],
    rate_hz: float,
    saliency: ArrayLike,
    *,
    patch_s: float,
    title: str | None = None,
    duration_s: float = 10.0,
) -> Figure:
    """A printout with the saliency of every patch behind the trace of its lead.

    Parameters
    ----------
    values_mv : array, shape (n_leads, n_times)
        Millivolt.
    leads : sequence of str
    rate_hz : float
    saliency : array, shape (n_leads, n_patches) or (1, n_patches)
        Of `biojepa.evaluation.occlusion_saliency`; one row serves all leads.
    patch_s : float
        Seconds of a patch.
    title : str, optional
    duration_s : float

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If the shapes do not fit.
    """
    values = np.asarray(saliency, dtype=np.float64)
    if values.ndim != 2 or len(values) not in (1, len(leads)) or not patch_s > 0:
        raise DataError(
            f"expected saliency ({len(leads)} or 1, patches) and patch_s above 0, got "
            f"{values.shape} and {patch_s}"
        )
    figure = plot_ecg(values_mv, leads, rate_hz, title=title, duration_s=duration_s)
    ax = figure.axes[0]
    rows = {name.casefold(): i for i, name in enumerate(leads)}
    # all strips share one axis of time, which begins at the left end of the leftmost trace
    traces = [line for line in ax.get_lines() if str(line.get_gid()).startswith(_TRACE)]
    zero_mm = min(float(np.min(line.get_xdata())) for line in traces)
    strongest = np.abs(values).max() or 1.0
    for line in traces:
        name = str(line.get_gid()).removeprefix(_TRACE).rpartition("-row")[0]
        of_lead = values[rows[name.casefold()] if len(values) > 1 else 0]
        x, y = (np.asarray(line.get_data()[k], dtype=np.float64) for k in (0, 1))
        if not np.isfinite(y).any():
            continue
        bottom, top = np.nanmin(y) - _PAD_MM, np.nanmax(y) + _PAD_MM
        starts = zero_mm + np.arange(len(of_lead)) * patch_s * MM_PER_S
        left, right = x.min(), x.max() + MM_PER_S / rate_hz
        corners, colours = [], []
        for start, value in zip(starts, of_lead, strict=True):
            a, b = max(start, left), min(start + patch_s * MM_PER_S, right)
            if b > a:
                corners.append([(a, bottom), (b, bottom), (b, top), (a, top)])
                colour = COLOURS["target" if value > 0 else "context"]
                colours.append((*to_rgb(colour), _TOP * abs(value) / strongest))
        ax.add_collection(
            PolyCollection(
                corners,
                facecolors=colours,
                edgecolors="none",
                antialiaseds=False,
                zorder=1,
                gid=f"saliency-{name}",
            ),
            autolim=False,
        )
    return figure
