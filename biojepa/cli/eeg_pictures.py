"""`masks.png` of an EEG run: which electrodes its masks hide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from biojepa.data.montage import HEAD_RADII_PER_METRE
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.masking import SpatialBlocks, distances
from biojepa.plotting.topomap import flatten_positions, plot_blocks

HEADS = 4
INNER = 0.8  # right angles from the vertex


def draw_masks(out: Path, config: EEGModelConfig) -> bool:
    """Draw `masks.png` in a run directory; whether there were electrodes with a place to draw."""
    figure = mask_figure(config)
    if figure is not None:
        figure.savefig(out / "masks.png", dpi=120)
    return figure is not None


def mask_figure(config: EEGModelConfig) -> Figure | None:
    """Blocks around electrodes that are far apart, or masks of space and time as they are drawn.

    Parameters
    ----------
    config : EEGModelConfig

    Returns
    -------
    Figure or None
        None for fewer than two electrodes with a place.
    """
    places = np.asarray(config.positions)
    known = np.any(places != 0, axis=1)
    if known.sum() < 2:
        return None
    names = [name for name, there in zip(config.channels, known.tolist(), strict=True) if there]
    sampler = config.sampler()
    if isinstance(sampler, SpatialBlocks):
        centres = _far_apart(places[known], HEADS)
        return plot_blocks(
            places[known],
            sampler.blocks()[np.ix_(known, known)][centres],
            centres=centres,
            radius=config.radius / HEAD_RADII_PER_METRE,
            names=names,
            title=f"Blocks of {config.radius:g} head radii around some electrodes",
        )
    (plan,) = sampler(HEADS, np.random.default_rng(0))
    masked = np.zeros((HEADS, len(places) * config.n_steps))
    valid = plan.valid_targets(0)
    there = np.ones(plan.targets[0].shape, dtype=bool) if valid is None else valid.numpy()
    rows, columns = there.nonzero()
    masked[rows, plan.targets[0].numpy()[rows, columns]] = 1.0
    share = masked.reshape(HEADS, len(places), config.n_steps).mean(axis=2)
    return plot_blocks(places[known], share[:, known], names=names, title="Masks of some windows")


def _far_apart(places: NDArray[np.float64], n: int) -> list[int]:
    """Electrodes far from each other, beginning with the highest; of the rim if there is no other.

    A block around an electrode of the rim lies half off the head.
    """
    between, n = distances(places), min(n, len(places))
    inner = np.linalg.norm(flatten_positions(places), axis=1) <= INNER
    if inner.sum() < n:
        inner[:] = True
    chosen = [int(places[:, 2].argmax())]
    while len(chosen) < n:
        chosen.append(int(np.where(inner, between[chosen].min(axis=0), -1.0).argmax()))
    return chosen
