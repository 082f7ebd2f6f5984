"""Where a model looks: the change of its answer when a stretch of the signal is taken away.

Any model that gives a number for a record will do. A stretch is replaced by the straight line
between its ends, so that no step tells the model that something was cut.

Letters: B copies of the record, C channels, T samples, P patches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import ConfigError, DataError

Score = Callable[[NDArray[np.float32]], NDArray[np.floating]]


def occlusion_saliency(
    score: Score,
    values: NDArray[np.float32],
    *,
    patch: int,
    per_channel: bool = True,
    batch_size: int = 128,
) -> NDArray[np.float64]:
    """How much each patch supports the answer.

    Parameters
    ----------
    score : callable
        `score(batch (B, C, T)) -> (B,)`: log odds of the class in question.
    values : ndarray, shape (C, T)
        One record; not changed.
    patch : int
        Samples; the last patch may be shorter.
    per_channel : bool
        One channel at a time, or all channels of a stretch together.
    batch_size : int
        Copies of the record scored at once.

    Returns
    -------
    ndarray, shape (C, P) or (1, P)
        Score of the record minus score without the patch: positive where it speaks for the class.

    Raises
    ------
    ConfigError
        If the patch is not from 1 to T samples.
    DataError
        If the record is not (C, T) or the score is not one number a copy.
    """
    if values.ndim != 2:
        raise DataError(f"expected one record (channels, time), got {values.shape}")
    n_channels, n_times = values.shape
    if not 1 <= patch <= n_times:
        raise ConfigError(f"expected a patch of 1 to {n_times} samples, got {patch}")
    starts = range(0, n_times, patch)
    rows: list[slice] = [slice(c, c + 1) for c in range(n_channels)]
    places = [(r, s) for r in (rows if per_channel else [slice(None)]) for s in starts]
    found = [_scores(score, values[None])]
    for first in range(0, len(places), batch_size):
        part = places[first : first + batch_size]
        copies = np.repeat(values[None], len(part), axis=0)
        for copy, (row, start) in zip(copies, part, strict=True):
            copy[row, start : start + patch] = _bridge(
                copy[row], start, min(patch, n_times - start)
            )
        found.append(_scores(score, copies))
    scores = np.concatenate(found)
    return (scores[0] - scores[1:]).reshape(-1, len(starts))


def _bridge(channels: NDArray, start: int, length: int) -> NDArray:
    """Straight lines over a gap, from the sample before it to the sample after."""
    n_times = channels.shape[-1]
    left, right = max(start - 1, 0), min(start + length, n_times - 1)
    before, after = channels[:, left, None], channels[:, right, None]
    if start == 0:
        before = after
    if start + length >= n_times:
        after = before if start else after
    share = np.arange(1, length + 1) / (length + 1)
    return before + (after - before) * share


def _scores(score: Score, batch: NDArray[np.float32]) -> NDArray[np.float64]:
    values = np.asarray(score(batch), dtype=np.float64)
    if values.shape != (len(batch),):
        raise DataError(f"expected one score a copy, ({len(batch)},), got {values.shape}")
    return values
