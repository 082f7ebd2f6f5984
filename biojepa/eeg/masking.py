"""Signal-JEPA's masks: blocks of electrodes that lie together on the head.

A token is one channel during one step of time; its index is `channel * n_steps + step`. A block is
the channels whose straight distance from a centre channel is strictly below a radius; the centre
is one of the recording's own channels. Which tokens are seen and predicted has three readings:

- `"paper"`: one block a record, all its tokens are predicted from all tokens outside it;
- `"config"`: the published settings. Eight contexts a record, each of eight channels outside a
  block of its own, and for each two target sets of eight channels, taken from the block first and
  completed at random. The class that did this is not public: a variant, not a certainty;
- `SpaceTimeBlocks`: the authors' later form (arXiv:2609.33487). Several blocks in space and time
  until a share of all tokens is masked.

The published "mask size 40, 60 or 80 %" is a radius of 0.4, 0.6 or 0.8 head radii, which hides 6,
11 or 20 % of 62 channels. One head radius is pinned in `biojepa.data.montage`.

Letters: n records, C channels, S steps of time.

References
----------
Guetschel, Moreau & Tangermann 2024, S-JEPA: towards seamless cross-dataset transfer through
dynamic spatial attention, arXiv:2403.11772, and its published settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from biojepa.data.montage import HEAD_RADII_PER_METRE, standard_xyz
from biojepa.eeg.local_conv import CONV, Conv, n_tokens_of
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.errors import ConfigError

READINGS = ("paper", "config")
N_CONTEXTS, N_TARGETS, N_CHANNELS = 8, 2, 8  # of the published settings
SCALP_M2 = 4 * math.pi * 0.1**2 * 3 / 4  # of arXiv:2609.33487: three quarters of a 10 cm sphere


def spatial_blocks(ch_names: Sequence[str], radius: float) -> dict[str, list[str]]:
    """The block around each channel of a montage.

    Parameters
    ----------
    ch_names : sequence of str
        10-05 names, in any case.
    radius : float
        Head radii.

    Returns
    -------
    dict of str to list of str
        For each channel as centre, the channels of its block (itself included), in the order and
        spelling of `ch_names`.

    Raises
    ------
    LeadError
        If a name is not in the 10-05 system, or two are the same electrode.
    ConfigError
        If `radius` is not above 0.
    """
    _check_radius("radius", radius)
    names = list(ch_names)
    near = distances(standard_xyz(names)) * HEAD_RADII_PER_METRE < radius
    return {
        centre: [name for name, there in zip(names, row, strict=True) if there]
        for centre, row in zip(names, near, strict=True)
    }


def distances(positions: ArrayLike) -> NDArray[np.float64]:
    """Straight distances (C, C) between positions (C, 3), in their unit."""
    xyz = np.asarray(positions, dtype=np.float64)
    return np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)


class _Blocks:
    """What both samplers share: the layout of a batch."""

    def __init__(self, positions: ArrayLike, n_steps: int, conv: Conv) -> None:
        self.positions = np.asarray(positions, dtype=np.float64)
        if self.positions.ndim != 2 or self.positions.shape[1] != 3 or not len(self.positions):
            raise ConfigError(f"expected positions (C, 3), got shape {self.positions.shape}")
        if n_steps < 1 or n_steps * len(self.positions) < 2:
            raise ConfigError(
                f"expected at least two tokens (one to see, one to predict), got {n_steps} steps "
                f"of {len(self.positions)} channels: use longer windows or more channels"
            )
        self.n_steps, self.conv = n_steps, tuple(conv)

    def for_signals(self, x: Signals) -> Self:
        """The same sampler for the channels and the length of a batch."""
        steps = n_tokens_of(x.values.shape[-1], self.conv)
        own = self.positions if x.positions is None else x.positions.double().cpu().numpy()
        other = copy(self)
        _Blocks.__init__(other, own, steps, self.conv)
        return other


class SpatialBlocks(_Blocks):
    """Mask the channels near a random channel, at all times.

    Parameters
    ----------
    positions : array, shape (C, 3)
        Metres; those of a batch are used instead where it brings its own.
    n_steps : int
        Tokens of one channel.
    radius : float
        Head radii.
    min_unmasked : int
        The so many channels furthest from the centre are never masked; at most half of all.
    reading : {"paper", "config"}
        See the head of this file.
    conv : sequence of (int, int, int)
        Of the local encoder: steps of batches of another length.

    Raises
    ------
    ConfigError
        If a setting is out of range, or there is nothing to see or nothing to predict.

    Notes
    -----
    A single channel has no neighbours: half of its time, in one piece, is masked instead.
    """

    def __init__(
        self,
        positions: ArrayLike,
        n_steps: int,
        *,
        radius: float = 0.6,
        min_unmasked: int = 8,
        reading: str = "paper",
        conv: Conv = CONV,
    ) -> None:
        super().__init__(positions, n_steps, conv)
        _check_radius("radius", radius)
        if reading not in READINGS:
            raise ConfigError(f"expected reading in {READINGS}, got {reading!r}")
        if min_unmasked < 0:
            raise ConfigError(f"expected min_unmasked >= 0, got {min_unmasked}")
        self.radius, self.min_unmasked, self.reading = radius, min_unmasked, reading

    def blocks(self) -> NDArray[np.bool_]:
        """The block (C, C) around each channel, without those that are never masked."""
        between = distances(self.positions) * HEAD_RADII_PER_METRE
        n_channels = len(between)
        n_kept = min(self.min_unmasked, n_channels // 2)
        rank = between.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        near = (between < self.radius) & (rank < n_channels - n_kept)
        near[np.diag_indices(n_channels)] = True
        # a radius beyond the whole head would leave nothing to see
        if n_channels > 1:
            near &= rank < n_channels - 1
        return near

    def __call__(
        self, n_samples: int, rng: np.random.Generator, *, rows: np.ndarray | None = None
    ) -> list[MaskPlan]:
        """Draw the masks of one global batch.

        Parameters
        ----------
        n_samples : int
            Records of the *global* batch.
        rng : numpy Generator
        rows : ndarray of int, optional
            Return only the masks of these positions of the global batch. The draws do not depend
            on it.

        Returns
        -------
        list of MaskPlan
            One with one target set, or (`"config"`) eight with two.
        """
        chosen = np.arange(n_samples) if rows is None else np.arange(n_samples)[rows]
        n_channels = len(self.positions)
        if n_channels == 1:
            return [_plan(self._half_of_time(rng.random(n_samples)[chosen]))]
        if self.reading == "paper":
            centre = (rng.random(n_samples)[chosen] * n_channels).astype(int)
            return [_plan(np.repeat(self.blocks()[centre], self.n_steps, axis=1))]
        draws = rng.random((n_samples, N_CONTEXTS, 1 + (1 + N_TARGETS) * n_channels))[chosen]
        return [self._fixed_sets(draws[:, i]) for i in range(N_CONTEXTS)]

    def _half_of_time(self, u: NDArray[np.float64]) -> NDArray[np.bool_]:
        length = self.n_steps // 2
        start = (u * (self.n_steps - length + 1)).astype(int)[:, None]
        time = np.arange(self.n_steps)
        return (time >= start) & (time < start + length)

    def _fixed_sets(self, u: NDArray[np.float64]) -> MaskPlan:
        """A context and its target sets of fixed size from uniforms (n, 1 + 3 C)."""
        n_channels = len(self.positions)
        n_context = min(N_CHANNELS, n_channels // 2)
        n_target = min(N_CHANNELS, n_channels - n_context)
        block = self.blocks()[(u[:, 0] * n_channels).astype(int)]
        order = u[:, 1:].reshape(len(u), 1 + N_TARGETS, n_channels)
        context = (order[:, 0] + block).argsort(axis=1)[:, :n_context]
        seen = np.zeros_like(block)
        np.put_along_axis(seen, context, True, axis=1)
        targets = [
            (order[:, 1 + i] + ~block + 2 * seen).argsort(axis=1)[:, :n_target]
            for i in range(N_TARGETS)
        ]
        return MaskPlan(self._tokens(context), tuple(self._tokens(t) for t in targets))

    def _tokens(self, channels: NDArray[np.int_]) -> torch.Tensor:
        """Tokens of channels (n, K), sorted by channel."""
        first = np.sort(channels, axis=1)[..., None] * self.n_steps
        return torch.from_numpy((first + np.arange(self.n_steps)).reshape(len(channels), -1))


class SpaceTimeBlocks(_Blocks):
    """Mask several blocks in space and time.

    Parameters
    ----------
    positions : array, shape (C, 3)
        Metres.
    n_steps : int
        Tokens of one channel.
    radius_m : float
        Of a block, metres; 0 for one channel, infinity for all.
    patches : int
        Steps that a block lasts.
    mask_ratio : float
        Share of tokens to mask, on average over a head that is evenly covered.
    conv : sequence of (int, int, int)

    Raises
    ------
    ConfigError
        If a setting is out of range.

    Notes
    -----
    Blocks are drawn with replacement and lie wholly inside the window, so that its ends are masked
    less often. If a draw would hide everything, the channel furthest from the first centre stays.
    """

    def __init__(
        self,
        positions: ArrayLike,
        n_steps: int,
        *,
        radius_m: float = 0.09,
        patches: int = 2,
        mask_ratio: float = 0.55,
        conv: Conv = CONV,
    ) -> None:
        super().__init__(positions, n_steps, conv)
        if not radius_m >= 0 or patches < 1 or not 0 < mask_ratio < 1:
            raise ConfigError(
                "expected radius_m >= 0 m, patches >= 1 and 0 < mask_ratio < 1, got "
                f"{radius_m}, {patches} and {mask_ratio}"
            )
        self.radius_m, self.patches, self.mask_ratio = radius_m, patches, mask_ratio

    def n_blocks(self) -> int:
        """Blocks a record: ceil(log(1 - ratio) / log(1 - share of one block))."""
        length = min(self.patches, self.n_steps)
        share = math.pi * self.radius_m**2 / SCALP_M2 if self.radius_m else 1 / len(self.positions)
        share = min(share, 1.0) * length / self.n_steps
        return 1 if share >= 1 else math.ceil(math.log(1 - self.mask_ratio) / math.log(1 - share))

    def __call__(
        self, n_samples: int, rng: np.random.Generator, *, rows: np.ndarray | None = None
    ) -> list[MaskPlan]:
        """Draw the masks of one global batch; see `SpatialBlocks`."""
        chosen = np.arange(n_samples) if rows is None else np.arange(n_samples)[rows]
        n_channels, length = len(self.positions), min(self.patches, self.n_steps)
        u = rng.random((n_samples, self.n_blocks(), 2))[chosen]
        centre = (u[..., 0] * n_channels).astype(int)
        start = (u[..., 1] * (self.n_steps - length + 1)).astype(int)[..., None]
        between = distances(self.positions)
        near = (between < self.radius_m) | np.eye(n_channels, dtype=bool)
        time = np.arange(self.n_steps)
        lasting = (time >= start) & (time < start + length)
        masked = np.einsum("nkc,nks->ncs", near[centre], lasting)
        for row in np.flatnonzero(masked.all(axis=(1, 2))):
            if n_channels > 1:
                masked[row, between[centre[row, 0]].argmax()] = False
            else:
                masked[row, 0, : max(1, self.n_steps // 2)] = False
        return [_plan(masked.reshape(len(masked), -1))]


def _plan(masked: NDArray[np.bool_]) -> MaskPlan:
    """See what is not masked, predict what is; shorter rows are padded."""
    context, seen = _ragged(~masked)
    target, asked = _ragged(masked)
    asked_all = None if asked is None else (asked,)
    return MaskPlan(context, (target,), context_valid=seen, target_valid=asked_all)


def _ragged(chosen: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Positions of the True entries of each row (n, K), and which are not padding."""
    counts = chosen.sum(axis=1)
    order = np.argsort(~chosen, axis=1, kind="stable")[:, : counts.max()]
    valid = np.arange(counts.max()) < counts[:, None]
    index = torch.from_numpy(np.where(valid, order, 0))
    return index, None if valid.all() else torch.from_numpy(valid)


def _check_radius(name: str, radius: float) -> None:
    if not (isinstance(radius, int | float) and radius > 0):
        raise ConfigError(f"expected {name} > 0, got {radius!r}")
