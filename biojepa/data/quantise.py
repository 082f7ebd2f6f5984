"""Samples as 16-bit codes: `value = code * gain + offset`, per channel.

Clinical recorders digitise with 12 to 16 bits, so 16-bit codes lose nothing of a recording that is
still on its recorder's grid: such a grid is looked for first, and then the codes are the
recorder's own. Anything else (filtered, resampled, averaged) is scaled to the range of the
channel, with an error of at most half a step. The code -32768 is kept for missing samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biojepa.errors import DataError

MISSING_CODE = -32768
LARGEST_CODE = 32767
# Steps per unit of the usual recorders, in millivolt: PTB-XL and CinC 2021 1000, MIMIC 200,
# PTB 2000; 500 is ours. A grid that does not fit the data is never used.
USUAL_STEPS_PER_UNIT = (1000.0, 200.0, 2000.0, 500.0)
_PREFIX = 64  # samples that are looked at before a grid is tried on the whole channel


@dataclass(frozen=True)
class Codes:
    """A quantised recording.

    Parameters
    ----------
    codes : ndarray of int16, shape (n_channels, n_times)
    gain, offset : ndarray of float32, shape (n_channels,)
    n_missing : int
        How many samples hold the code for "missing".
    """

    codes: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    n_missing: int


def quantise(values: np.ndarray, *, gain: float | np.ndarray | None = None) -> Codes:
    """Turn samples into 16-bit codes.

    Parameters
    ----------
    values : ndarray, shape (n_channels, n_times)
        NaN marks missing samples.
    gain : float or ndarray, shape (n_channels,), optional
        Size of the recorder's step, in the unit of `values`. Used where the values lie on that
        grid and its codes span less than 65,535 steps; other channels are scaled.

    Returns
    -------
    Codes

    Raises
    ------
    DataError
        If the array is not 2-D, holds infinities or numbers beyond single precision, or `gain` is
        not a positive number for each channel.
    """
    x = np.asarray(values)
    if x.ndim != 2 or x.dtype.kind not in "fiu":
        raise DataError(
            f"expected real numbers of shape (n_channels, n_times), got {x.dtype} of shape "
            f"{x.shape}: pass one recording, channels first"
        )
    x = x.astype(np.float64)
    missing = np.isnan(x)
    n_missing = int(np.count_nonzero(missing))
    if n_missing:
        x[missing] = 0.0
    largest = np.abs(x).max(axis=1, initial=0.0)
    if not (largest <= float(np.finfo(np.float32).max)).all():
        raise DataError(
            f"channel {int(np.argmax(largest))} holds infinite samples or samples beyond single "
            "precision: mark missing samples with NaN"
        )
    lowest = np.where(missing, np.inf, x).min(axis=1, initial=np.inf) if n_missing else x.min(1)
    highest = np.where(missing, -np.inf, x).max(axis=1, initial=-np.inf) if n_missing else x.max(1)
    empty = lowest > highest
    lowest[empty] = highest[empty] = 0.0

    step, base = _scaled(lowest, highest, largest)
    _use_grids(x, lowest, highest, step, base, gain)
    codes = np.rint((x - base[:, None]) / step[:, None])
    np.clip(codes, -LARGEST_CODE, LARGEST_CODE, out=codes)
    integers = codes.astype(np.int16)
    if n_missing:
        integers[missing] = MISSING_CODE
    return Codes(integers, step.astype(np.float32), base.astype(np.float32), n_missing)


def dequantise(
    codes: np.ndarray, gain: np.ndarray, offset: np.ndarray, *, out: np.ndarray, has_missing: bool
) -> None:
    """Write the values of some codes into an array.

    Parameters
    ----------
    codes : ndarray of int16, shape (n_channels, n_times)
    gain, offset : ndarray of float32, shape (n_channels,)
    out : ndarray of float32, shape (n_channels, n_times)
        Filled in place.
    has_missing : bool
        False lets the search for missing samples be left out.
    """
    np.copyto(out, codes)  # converting first is faster than a mixed multiplication
    out *= gain[:, None]
    if offset.any():
        out += offset[:, None]
    if has_missing:
        out[codes == MISSING_CODE] = np.nan


def _scaled(
    lowest: np.ndarray, highest: np.ndarray, largest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step and offset that spread each channel over the codes.

    The offset is zero for a channel that reaches zero (then zero stays exactly zero); it is the
    middle of the range of a channel that does not. With an offset the step is no smaller than
    2^-19 of the largest value, so that single-precision rounding stays far below a step.
    """
    away_from_zero = (lowest > 0) | (highest < 0)
    middle = np.where(away_from_zero, highest / 2 + lowest / 2, 0.0).astype(np.float32)
    base = middle.astype(np.float64)
    half_range = np.maximum(highest - base, base - lowest)
    step = np.nextafter((half_range / LARGEST_CODE).astype(np.float32), np.float32(0))
    step = np.where(away_from_zero, np.maximum(step, largest * 2.0**-19), step)
    step = np.maximum(step, np.finfo(np.float32).tiny).astype(np.float32).astype(np.float64)
    step[largest == 0] = 1.0
    return step, base


def _use_grids(
    x: np.ndarray,
    lowest: np.ndarray,
    highest: np.ndarray,
    step: np.ndarray,
    base: np.ndarray,
    gain: float | np.ndarray | None,
) -> None:
    """Put the recorder's own step into `step` and `base` where the values lie on its grid."""
    if gain is None:
        grids = [np.full(len(x), np.float32(1 / steps)) for steps in USUAL_STEPS_PER_UNIT]
    else:
        given = np.abs(np.asarray(gain, dtype=np.float64))
        if given.shape not in ((), (1,), (len(x),)) or not (np.isfinite(given) & (given > 0)).all():
            raise DataError(
                f"expected one positive gain, or one for each of {len(x)} channels, got {gain!r}"
            )
        grids = [np.broadcast_to(given.astype(np.float32), (len(x),))]
    undecided = np.flatnonzero(highest > lowest)  # a flat channel is exact through its offset
    for grid in grids:
        size = grid.astype(np.float64)
        reach = np.maximum(np.abs(lowest[undecided]), np.abs(highest[undecided]))
        span = (highest[undecided] - lowest[undecided]) / size[undecided]
        fits = (span < 2 * LARGEST_CODE - 2) & (reach / size[undecided] < 2.0**24)
        for channel in undecided[fits]:
            if _on_grid(x[channel, :_PREFIX], size[channel]) and _on_grid(
                x[channel], size[channel]
            ):
                step[channel] = size[channel]
                reached = max(abs(lowest[channel]), abs(highest[channel])) / size[channel]
                middle = (lowest[channel] + highest[channel]) / 2 / size[channel]
                base[channel] = 0.0 if reached <= LARGEST_CODE else np.rint(middle) * size[channel]
                undecided = undecided[undecided != channel]
        if not len(undecided):
            return


def _on_grid(x: np.ndarray, step: float) -> bool:
    """Whether all values are whole multiples of `step`, to single precision."""
    error = np.abs(np.rint(x / step) * step - x)
    return bool((error <= np.minimum(np.abs(x) * 2.0**-21, 0.01 * step)).all())
