"""Spatiotemporal masks: which (region, time patch) tokens are seen and which are predicted.

An observation is a random set of regions times a window of time. Three kinds of targets are cut
out of the grid around it:

- cross-ROI (alpha): regions that are hidden at all times, at times that may be seen;
- cross-time (beta): regions that are seen, at columns near either end that are hidden everywhere;
- double-cross (gamma): hidden regions at hidden columns.

The context is the observation without the hidden regions and without the hidden columns. All
targets are predicted together.

`recipe="paper"` follows the published sampler, with its defects: windows never reach the last time
patch; the prefix of every index list is kept when a batch is cut to its smallest sample, so that
regions with high numbers (the right hemisphere) are hardly ever context and the left columns hardly
ever target; tokens may be targets twice. `recipe="default"` corrects all of it: sizes are shared by
the batch, windows are uniform over all places, a batch is cut by leaving out random tokens, targets
are distinct, and any number of regions and time patches works, down to two tokens. Its double-cross
targets are strictly unseen: neither their region nor their time is anywhere in the context.

Token index = region x n_time + time patch. Letters: B samples, R regions, n time patches.

References
----------
Dong et al. 2024, arXiv:2409.19407, Sec. 3.2 and Table 6.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from biojepa.engine.signals import MaskPlan, Signals
from biojepa.errors import ConfigError
from biojepa.fmri._paper_masks import paper_tables

RECIPES = ("default", "paper")
SIDE = 0.3  # share of the time patches at either end where columns are hidden; 3 of 10 published
Range = tuple[float, float]
REGIONS = ("unseen", "context", "cross-ROI", "cross-time", "double-cross")


@dataclass(frozen=True)
class SpatioTemporalSampler:
    """Sample contexts and targets on the grid of regions and time patches.

    Parameters
    ----------
    n_regions, n_times : int
        Regions and *time patches* of a run.
    patch : int
        Frames per time patch, for `for_signals`.
    observe : (float, float)
        Share of the regions, and share of the time, that are observed; drawn separately.
    cross_roi, cross_roi_time : (float, float)
        Share of all regions that are hidden as cross-ROI targets, and share of the time at which
        they are asked for.
    cross_time : (float, float)
        Share of the seen regions (cross-time) and of the hidden ones (double-cross) that are asked
        for at hidden columns.
    cross_time_width : (float, float)
        Hidden columns at either end, as a share of the time; at most 30 % of it.
    recipe : {"default", "paper"}
        See the head of this file.

    Raises
    ------
    ConfigError
        If there are fewer than 2 tokens, or a range is no pair 0 <= low <= high <= 1.
    """

    n_regions: int = 450
    n_times: int = 10
    patch: int = 16
    observe: Range = (0.84, 1.0)  # Table 6
    cross_roi: Range = (0.45, 0.60)
    cross_roi_time: Range = (0.2, 0.6)
    cross_time: Range = (0.15, 0.30)
    cross_time_width: Range = (0.0, 0.4)
    recipe: str = "default"

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ConfigError(f"expected recipe in {RECIPES}, got {self.recipe!r}")
        if self.n_regions < 1 or self.n_times < 1 or self.n_regions * self.n_times < 2:
            raise ConfigError(
                "expected at least 2 tokens (one to see, one to predict), got "
                f"{self.n_regions} regions x {self.n_times} time patches: use longer runs or "
                "shorter patches"
            )
        for name in ("observe", "cross_roi", "cross_roi_time", "cross_time", "cross_time_width"):
            given = getattr(self, name)
            if len(given) != 2 or not 0 <= given[0] <= given[1] <= 1:
                raise ConfigError(f"expected 0 <= low <= high <= 1 in {name}, got {given}")

    @property
    def side(self) -> int:
        """Columns at either end that may be hidden; one time patch in the middle is always left."""
        if self.n_times == 2:
            return 1
        return min(max(1, round(SIDE * self.n_times)), (self.n_times - 1) // 2)

    def for_signals(self, x: Signals) -> SpatioTemporalSampler:
        """The same sampler for the regions and frames of a batch."""
        return _resized(self, x.values.shape[1], x.values.shape[2] // self.patch)

    def __call__(
        self, n_samples: int, rng: np.random.Generator, *, rows: np.ndarray | None = None
    ) -> list[MaskPlan]:
        """Draw the masks of one global batch.

        Parameters
        ----------
        n_samples : int
            Runs of the *global* batch.
        rng : numpy Generator
        rows : ndarray of int, optional
            Return only the masks of these positions of the global batch (one rank's share).
            The draws do not depend on it.

        Returns
        -------
        list of one MaskPlan
            Context (B, K) and one target set (B, M), int64; sorted in the default recipe. Groups
            are the three kinds of targets, in the order of the head of this file.
        """
        chosen = np.arange(n_samples) if rows is None else np.arange(n_samples)[rows]
        if self.recipe == "paper":
            seen, asked = paper_tables(self, n_samples, rng)
            context = np.stack([s[: min(map(len, seen))] for s in seen])
            target = np.stack([a[: min(map(len, asked))] for a in asked])
        else:
            keys = rng.random((2, n_samples, self.n_regions * self.n_times))
            grids = self._grids(n_samples, rng)
            context, target = (_cut(grid, k) for grid, k in zip(grids, keys, strict=True))
        context, target = context[chosen], target[chosen]
        groups = _kinds(context, target, self.n_regions, self.n_times)
        drawn = (torch.from_numpy(target),)
        return [MaskPlan(torch.from_numpy(context), drawn, groups=(torch.from_numpy(groups),))]

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict of the constructor's arguments."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}

    def _grids(
        self, n_samples: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Seen and asked tokens of each sample, two arrays (B, R, n): the corrected procedure."""
        R, n = self.n_regions, self.n_times
        u = rng.random(8)
        left, right = self._widths(u[0], u[1])
        n_seen, n_alpha, n_shared = self._region_counts(u[2], u[3])
        window = max(_share(self.observe, u[4], n), min(n, left + right + 1))
        alpha_width = min(_share(self.cross_roi_time, u[5], n), window)
        fraction = _between(self.cross_time, u[6])
        n_beta = max(1, round(fraction * (n_seen - n_shared)))
        n_gamma = round(fraction * (R - n_seen + n_shared))
        order = rng.random((n_samples, R)).argsort(axis=1)
        places = rng.random((n_samples, 2))
        columns = rng.random((n_samples, 2, max(self.side, 1))).argsort(axis=2)
        picks = rng.random((n_samples, 2, R))

        seen, asked = (np.zeros((n_samples, R, n), dtype=bool) for _ in range(2))
        for b in range(n_samples):
            # regions in random order: seen, then hidden and observed, then hidden and not observed
            visible = order[b, : n_seen - n_shared]
            hidden = order[b, n_seen - n_shared :]
            start = int(places[b, 0] * (n - window + 1))
            first = start + int(places[b, 1] * (window - alpha_width + 1))
            ends = [columns[b, 0, :left], n - 1 - columns[b, 1, :right]]
            asked[b, hidden[:n_alpha, None], np.arange(first, first + alpha_width)] = True
            seen[b, visible, start : start + window] = True
            for side, cols in enumerate(ends):
                beta = visible[picks[b, side, : len(visible)].argsort()[:n_beta]]
                gamma = hidden[picks[b, side, len(visible) :].argsort()[:n_gamma]]
                asked[b, np.concatenate([beta, gamma])[:, None], cols] = True
                seen[b][:, cols] = False
        return seen, asked

    def _widths(self, u: float, v: float) -> tuple[int, int]:
        """Hidden columns at the left and at the right; one or more if nothing else is asked for."""
        n, side = self.n_times, self.side
        left, right = (min(int(n * _between(self.cross_time_width, w)), side) for w in (u, v))
        if self.n_regions == 1 and left + right == 0 and side:
            left, right = (1, 0) if u < 0.5 else (0, 1)
        if left + right >= n:  # two patches, or one
            left, right = (min(n - 1, 1), 0) if u < v else (0, min(n - 1, 1))
        return left, right

    def _region_counts(self, u: float, v: float) -> tuple[int, int, int]:
        """Observed regions, cross-ROI regions, and how many are both; one region stays seen."""
        R = self.n_regions
        n_seen = _share(self.observe, u, R)
        n_alpha = min(_share(self.cross_roi, v, R), R - 1)
        n_shared = min(round(n_alpha * n_seen / R), n_seen - 1)
        n_shared = max(n_shared, n_alpha - (R - n_seen))
        n_shared = min(n_shared, n_seen - 1)
        return n_seen, min(n_alpha, n_shared + R - n_seen), n_shared


def mask_map(plan: MaskPlan, *, n_regions: int, n_times: int, sample: int = 0) -> NDArray[np.int8]:
    """What each (region, time patch) is under a plan.

    Parameters
    ----------
    plan : MaskPlan
    n_regions, n_times : int
    sample : int
        Row of the plan.

    Returns
    -------
    ndarray of int8, shape (n_regions, n_times)
        Places in `REGIONS`. A target is named by the context: cross-ROI where its time is seen
        (in other regions), cross-time where its region is, double-cross where neither is.
    """
    grid = np.zeros(n_regions * n_times, dtype=np.int8)
    context = plan.context[sample].numpy()
    target = np.concatenate([t[sample].numpy() for t in plan.targets])
    grid[context] = REGIONS.index("context")
    kinds = _kinds(context[None], target[None], n_regions, n_times)[0]
    grid[target] = kinds + REGIONS.index("cross-ROI")
    return grid.reshape(n_regions, n_times)


def _kinds(
    context: NDArray[np.int64], target: NDArray[np.int64], n_regions: int, n_times: int
) -> NDArray[np.int64]:
    """Kind (B, M) of each target (B, M): 0 cross-ROI, 1 cross-time, 2 double-cross."""
    regions, times = (np.zeros((len(context), n), dtype=bool) for n in (n_regions, n_times))
    np.put_along_axis(regions, context // n_times, True, axis=1)
    np.put_along_axis(times, context % n_times, True, axis=1)
    region_seen = np.take_along_axis(regions, target // n_times, axis=1)
    time_seen = np.take_along_axis(times, target % n_times, axis=1)
    return np.where(region_seen, 1, np.where(time_seen, 0, 2))


def _between(limits: Range, u: float) -> float:
    return limits[0] + u * (limits[1] - limits[0])


def _share(limits: Range, u: float, n: int) -> int:
    """A whole number, at least 1, of `n`; each of those in the range as likely as the others."""
    low, high = (round(limit * n) for limit in limits)
    return max(1, low + int(u * (high - low + 1)))


def _cut(grid: NDArray[np.bool_], keys: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the marked tokens, sorted, as many in every sample: random ones are left out."""
    flat = grid.reshape(len(grid), -1)
    n_kept = int(flat.sum(axis=1).min())
    first = np.where(flat, keys, 2.0).argsort(axis=1)[:, :n_kept]
    return np.sort(first, axis=1)


@functools.lru_cache(maxsize=64)
def _resized(sampler: SpatioTemporalSampler, n_regions: int, n_times: int) -> SpatioTemporalSampler:
    settings = vars(sampler) | {"n_regions": n_regions, "n_times": n_times}
    return SpatioTemporalSampler(**settings)
