"""The published mask procedure of Brain-JEPA, from a description of it; see `masking`.

Sizes of cross-ROI targets and of the observation are drawn once a batch, those at hidden columns
once a sample and side; counts are rounded down. The literals 3 (columns at either end) and 10 (time
patches) of the published code are shares here, equal to it at 10 time patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from biojepa.fmri.masking import SpatioTemporalSampler

Tables = list[NDArray[np.int64]]


def paper_tables(
    sampler: SpatioTemporalSampler, n_samples: int, rng: np.random.Generator
) -> tuple[Tables, Tables]:
    """Context and target indices of each sample, before the batch is cut.

    Targets are listed as published: cross-ROI, right columns, left columns; some twice.
    """
    R, n, side = sampler.n_regions, sampler.n_times, sampler.side
    n_alpha = _count(sampler.cross_roi, rng, R)
    alpha_width = max(1, _count(sampler.cross_roi_time, rng, n))
    n_observed = max(1, _count(sampler.observe, rng, R))
    window = max(1, _count(sampler.observe, rng, n))
    alpha_width = min(alpha_width, window)
    n_alpha = min(max(n_alpha, 1), R - 1)
    contexts, targets = [], []
    for _ in range(n_samples):
        start = rng.integers(0, max(1, n - window))  # upper bound exclusive, as published
        observed = rng.permutation(R)[:n_observed]
        first = start + rng.integers(0, max(1, window - alpha_width))
        alpha = rng.permutation(R)[:n_alpha]
        visible = np.setdiff1d(observed, alpha)
        hidden = np.setdiff1d(np.arange(R), visible)
        asked = [_tokens(np.sort(alpha), np.arange(first, first + alpha_width), n)]
        seen = np.zeros((R, n), dtype=bool)
        seen[visible, start : start + window] = True
        for ends in (np.arange(n - side, n), np.arange(side)):
            width = min(_count(sampler.cross_time_width, rng, n), side)
            fraction = rng.uniform(*sampler.cross_time)
            columns = np.sort(rng.permutation(ends)[:width])
            beta = rng.permutation(visible)[: int(fraction * len(visible))]
            gamma = rng.permutation(hidden)[: int(fraction * len(hidden))]
            asked.append(_tokens(np.sort(np.concatenate([beta, gamma])), columns, n))
            seen[:, columns] = False
        contexts.append(np.flatnonzero(seen))
        targets.append(np.concatenate(asked))
    return contexts, targets


def _count(limits: tuple[float, float], rng: np.random.Generator, n: int) -> int:
    return int(n * (limits[0] + rng.random() * (limits[1] - limits[0])))


def _tokens(regions: NDArray, columns: NDArray, n: int) -> NDArray[np.int64]:
    return (regions[:, None] * n + columns).ravel()
