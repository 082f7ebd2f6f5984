"""Pictures of an fMRI run: its masks, its gradients, and what the model makes of the regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from biojepa.data.records import Records
from biojepa.errors import DataError
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.images import region_centres
from biojepa.fmri.masking import REGIONS, mask_map
from biojepa.plotting.brain import plot_gradients, plot_mask_map, plot_region_embedding
from biojepa.plotting.glass_brain import plot_glass_gradients

LOOKED_AT = 8  # runs, for the mean token of each region
N_SHOWN = 3  # gradients


def draw_pictures(out: Path, estimator: BrainJEPA, records: Records) -> list[tuple[str, str]]:
    """Draw `masks.png`, `gradients.png` and `regions.png` in a run directory.

    Parameters
    ----------
    out : Path
    estimator : BrainJEPA
        Fitted.
    records : Records
        What it was pretrained on.

    Returns
    -------
    list of (str, str)
        Name and path of what was drawn: fewer than three regions or gradients have no picture.
    """
    atlas = estimator.atlases_[0]
    figures: dict[str, Figure] = {"masks": mask_figure(estimator.model_config_, atlas.regions)}
    if len(atlas) >= N_SHOWN and atlas.gradients.shape[1] >= N_SHOWN:
        figures["gradients"] = plot_gradients(atlas.gradients, title="Gradients of the regions")
        rows = region_means(estimator, records)
        if rows is not None:
            figures["regions"] = plot_region_embedding(rows, atlas.gradients)
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=120)
    return [(name, str(out / f"{name}.png")) for name in figures]


def draw_gradients(path: Path, gradients: NDArray, *, atlas: str | None) -> None:
    """Draw the first three gradients, in glass brains if there is a label image.

    Raises
    ------
    DataError
        If there are fewer than three gradients, or the atlas has another number of regions.
    FormatError
        If the label image is damaged.
    """
    if atlas is None:
        figure = plot_gradients(gradients)
    else:
        centres = region_centres(atlas)
        if len(centres) != len(gradients):
            raise DataError(
                f"expected an atlas of {len(gradients)} regions, got {len(centres)} in {atlas}: "
                "name the label image that the series are of"
            )
        figure = plot_glass_gradients(gradients, centres)
    figure.savefig(path, dpi=120)


def mask_figure(config: BrainModelConfig, regions: tuple[str, ...]) -> Figure:
    """One draw of the masks of a model."""
    (plan,) = config.sampler()(1, np.random.default_rng(0))
    grid = mask_map(plan, n_regions=config.n_regions, n_times=config.n_patches)
    return plot_mask_map(grid, REGIONS, regions=regions or None, title="Masks of one run")


def region_means(estimator: BrainJEPA, records: Records) -> NDArray[np.float64] | None:
    """The mean token of each region of the first atlas over some runs, (R, D); None if no run."""
    n_regions = len(estimator.atlases_[0])
    runs = []
    for index in range(len(records)):
        run = records.read(index)
        if len(run.values) == n_regions:
            runs.append(run)
        if len(runs) == LOOKED_AT:
            break
    if not runs:
        return None
    tokens = [parts.mean(axis=(0, 2)) for parts in estimator.encode(runs)]
    return np.mean(tokens, axis=0, dtype=np.float64)
