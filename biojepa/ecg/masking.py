"""ECG-JEPA's block sampler: which tokens of a record are seen and which are predicted.

Long blocks are masked until only 15-25 % of the tokens are left; what is left is the context,
everything else the one target set. The number kept is shared by the batch, so that it stacks.

`recipe="paper"` is the published procedure with its edge bias: a token at either end is kept with
probability 0.78, one in the middle with 0.09, so the ends of a record are hardly ever predicted.
`recipe="default"` runs the same procedure on a circle and turns it by a uniform offset, so that
every token is kept equally often. The price: a masked block that crosses the seam is cut into a
piece at the start and a piece at the end, and each of these two may be shorter than `min_block`
(together they are not). All other masked runs keep the minimum length in both recipes.

References
----------
Weimann & Conrad 2024, Self-supervised pre-training with joint-embedding predictive architecture
boosts ECG classification performance, arXiv:2410.13867.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from biojepa.engine.signals import MaskPlan
from biojepa.errors import ConfigError

RECIPES = ("default", "paper")


class BlockSampler:
    """Sample contiguous target blocks and keep the rest as context.

    Parameters
    ----------
    n_tokens : int
        Tokens of a record (200 = 10 s of 50 ms patches).
    keep : (float, float)
        The share of tokens kept as context is drawn uniformly between these, once per batch.
    min_block : int
        Shortest masked block, tokens.
    recipe : {"default", "paper"}
        Unbiased over positions, or as published; see the head of this file.

    Raises
    ------
    ConfigError
        If these numbers can leave no context token, or no room for one masked block.

    Notes
    -----
    The settings are plain numbers: `BlockSampler(**sampler.to_config())` is the same sampler.
    """

    def __init__(
        self,
        n_tokens: int = 200,
        *,
        keep: tuple[float, float] = (0.15, 0.25),  # Sec. 1.5 of the published settings
        min_block: int = 10,
        recipe: str = "default",
    ) -> None:
        self.n_tokens = int(n_tokens)
        self.keep = (float(keep[0]), float(keep[1]))
        self.min_block = int(min_block)
        self.recipe = recipe
        self._check()

    def _check(self) -> None:
        low, high = self.keep
        if self.recipe not in RECIPES:
            raise ConfigError(f"expected recipe in {RECIPES}, got {self.recipe!r}")
        _need_two(self.n_tokens)
        if not 0 < low <= high < 1:
            raise ConfigError(f"expected 0 < low <= high < 1 in keep=(low, high), got {self.keep}")
        if self.min_block < 1:
            raise ConfigError(f"expected min_block >= 1 token, got {self.min_block}")
        masked = self.n_tokens - _n_kept(high, self.n_tokens)
        if masked < self.min_block:
            raise ConfigError(
                f"keep={self.keep} of n_tokens={self.n_tokens} can leave only {masked} tokens to "
                f"mask, fewer than min_block={self.min_block}: lower keep or min_block, or use "
                "more tokens (longer recordings, shorter patches)"
            )

    def __call__(
        self,
        n_samples: int,
        rng: np.random.Generator | np.random.RandomState,
        *,
        rows: np.ndarray | None = None,
    ) -> list[MaskPlan]:
        """Draw the masks of one global batch.

        Parameters
        ----------
        n_samples : int
            Records of the *global* batch.
        rng : numpy Generator or RandomState
            With `recipe="paper"` a legacy RandomState gives the published draws exactly.
        rows : ndarray of int, optional
            Return only the masks of these positions of the global batch (one rank's share).
            The draws do not depend on it.

        Returns
        -------
        list of one MaskPlan
            Context (B, K) and one target set (B, n_tokens - K), both sorted, int64.
        """
        ratio = rng.uniform(*self.keep)
        # the clip acts only on a clamped sampler of `for_tokens`
        n_kept = min(math.ceil(ratio * self.n_tokens), self.n_tokens - self.min_block)
        n_masked = self.n_tokens - n_kept
        chosen = np.arange(n_samples) if rows is None else np.arange(n_samples)[rows]
        if self.recipe == "paper" and isinstance(rng, np.random.RandomState):
            kept = self._legacy_rows(n_samples, n_masked, rng)[chosen]
        else:
            # One row of uniforms per record: a mask depends on its row alone.
            table = rng.random((n_samples, 1 + 3 * self._max_rounds(n_masked)))
            kept = self._table_rows(table[chosen], n_masked)
        context = np.nonzero(kept)[1].reshape(len(chosen), n_kept)
        target = np.nonzero(~kept)[1].reshape(len(chosen), n_masked)
        return [MaskPlan(torch.from_numpy(context), (torch.from_numpy(target),))]

    def for_tokens(self, n_tokens: int) -> BlockSampler:
        """Return the same sampler for records of another length.

        On short records `min_block` and the largest share kept are lowered so that at least one
        token is seen and one predicted.

        Raises
        ------
        ConfigError
            If `n_tokens` < 2.
        """
        if n_tokens == self.n_tokens:
            return self
        _need_two(n_tokens)
        low, high = self.keep
        most = min(_n_kept(high, n_tokens), n_tokens - 1)
        high = min(high, most / n_tokens)
        return BlockSampler(
            n_tokens,
            keep=(min(low, high), high),
            min_block=min(self.min_block, n_tokens - most),
            recipe=self.recipe,
        )

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict of the constructor's arguments."""
        return {
            "n_tokens": self.n_tokens,
            "keep": list(self.keep),
            "min_block": self.min_block,
            "recipe": self.recipe,
        }

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.to_config().items())
        return f"BlockSampler({arguments})"

    def _max_rounds(self, n_masked: int) -> int:
        # A round masks a block of min_block or more (and may add an interval), swallows an
        # interval, or is the short last one.
        return 2 * (n_masked // self.min_block) + 2

    def _legacy_rows(self, n: int, n_masked: int, rng: np.random.RandomState) -> np.ndarray:
        kept = np.ones((n, self.n_tokens), dtype=bool)
        for row in kept:
            blocks = _mask_line(self.n_tokens, n_masked, self.min_block, rng.random, rng.randint)
            for start, stop in blocks:
                row[start:stop] = False
        return kept

    def _table_rows(self, table: np.ndarray, n_masked: int) -> np.ndarray:
        n_tokens, min_block = self.n_tokens, self.min_block
        kept = np.ones((len(table), n_tokens), dtype=bool)
        for row, uniforms in zip(kept, table, strict=True):
            draw = iter(uniforms.tolist()).__next__

            def integer(low: int, high: int, draw: Callable[[], float] = draw) -> int:
                return low + int(draw() * (high - low))

            if self.recipe == "paper":
                blocks = _mask_line(n_tokens, n_masked, min_block, draw, integer)
            else:
                blocks = _mask_circle(n_tokens, n_masked, min_block, draw, integer)
            for start, stop in blocks:
                row[start:stop] = False
        return kept


def _need_two(n_tokens: int) -> None:
    if n_tokens < 2:
        raise ConfigError(
            "expected at least 2 tokens (one to see, one to predict), got "
            f"n_tokens={n_tokens}: use longer recordings or shorter patches"
        )


def _n_kept(ratio: float, n_tokens: int) -> int:
    return math.ceil(round(ratio * n_tokens, 9))  # 0.55 of 200 is 110, not 111


Uniform = Callable[[], float]
Integer = Callable[[int, int], int]
Blocks = list[tuple[int, int]]


def _mask_line(
    n_tokens: int, n_masked: int, min_block: int, draw: Uniform, integer: Integer
) -> Blocks:
    """Masked blocks [start, stop) as published; draws in the published order."""
    return _fill([(0, n_tokens)], n_masked, min_block, draw, integer, walls=(0, n_tokens))


def _mask_circle(
    n_tokens: int, n_masked: int, min_block: int, draw: Uniform, integer: Integer
) -> Blocks:
    """Masked blocks on a circle, turned by a uniform offset and cut where they cross the seam."""
    first = integer(min_block, n_masked + 1)
    blocks = [(0, first)]
    blocks += _fill([(first, n_tokens)], n_masked - first, min_block, draw, integer, walls=None)
    offset = integer(0, n_tokens)
    cut = []
    for start, stop in blocks:
        start, stop = start + offset, stop + offset
        if start >= n_tokens:
            cut.append((start - n_tokens, stop - n_tokens))
        elif stop > n_tokens:
            cut += [(start, n_tokens), (0, stop - n_tokens)]
        else:
            cut.append((start, stop))
    return cut


def _fill(
    free: Blocks,
    left: int,
    min_block: int,
    draw: Uniform,
    integer: Integer,
    *,
    walls: tuple[int, int] | None,
) -> Blocks:
    """Mask `left` tokens of the free intervals, block by block.

    An interval is chosen in proportion to its length. A rest shorter than `min_block` is attached
    to a masked neighbour; `walls` are the positions where an interval has none (None: nowhere).
    """
    blocks = []
    while left > 0:
        point = draw() * sum([stop - start for start, stop in free])
        chosen = 0
        while (point := point - (free[chosen][1] - free[chosen][0])) >= 0:
            chosen += 1
        start, stop = free.pop(chosen)
        block = integer(min_block, left + 1) if left >= min_block else left
        if stop - start <= block:
            blocks.append((start, stop))
            left -= stop - start
            continue
        if left >= min_block:
            at = integer(start, stop - block + 1)
        elif walls is None:
            at = (start, stop - block)[integer(0, 2)]
        else:
            ends = [] if start == walls[0] else [start]
            ends += [] if stop == walls[1] else [stop - block]
            at = ends[integer(0, len(ends))]
        blocks.append((at, at + block))
        left -= block
        free += [(start, at), (at + block, stop)]
    return blocks
