"""The one road from region series to the model's input, for pretraining and for users.

The settings are plain numbers and names; they are stored in every saved model, so that a user's
run is treated exactly as the training data were. Steps, in this order:

1. missing frames (NaN or infinite): linear interpolation per region, the nearest value at the ends;
   a region with too many of them is masked;
2. resampling to the model's repetition time `tr_s`: polyphase with anti-alias filter, or as
   published the nearest frame without one;
3. normalisation; flat regions are masked;
4. clipping.

A masked region is zero and its `valid` is False. `normalise="robust"` is the published scaling: it
removes the median over people of a region's mean over time and divides by its interquartile range,
so that static offsets between regions remain and are nearly all of the variance of raw BOLD.
`normalise="region"`, the z-score of each region of a run, is the default for that reason.

Letters: R regions, T frames in, S frames out.

References
----------
Dong et al. 2024, arXiv:2409.19407 (scaling, frames), and its code (nearest frames).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.data.conditioning import fill_gaps, n_resampled, resampled
from biojepa.engine.settings import check_types, from_plain, to_plain
from biojepa.errors import ConfigError, DataError

Normalise = Literal["region", "robust", "global", "none"]
Resample = Literal["poly", "linear", "nearest"]

HUGE = 1e12  # a larger value is no BOLD signal in any scaling: it counts as missing
SLOWEST_TR_S, FASTEST_TR_S = 30.0, 0.02
ROUNDING = 1e-6  # a region that varies by less than so much of its size is flat


@dataclass(frozen=True)
class PreparedRun:
    """What the model sees of a run.

    Parameters
    ----------
    values : ndarray of float32, shape (R, S)
        Finite.
    valid : ndarray of bool, shape (R,)
        False for a region that is missing, flat or lost: its values are zero.
    notes : tuple of str
        What was repaired or masked, in sentences.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrainPreprocess:
    """Settings of the road, and the road itself. The defaults are the small preset's.

    Parameters
    ----------
    tr_s : float
        The model's repetition time, seconds.
    normalise : {"region", "robust", "global", "none"}
        z-score of each region of a run; published scaling with stored statistics; one mean and
        standard deviation for the whole run; or values as they are.
    median, iqr : tuple of float, one a region, or None
        For `normalise="robust"`; see `robust_statistics`.
    resample : {"poly", "linear", "nearest"}
    clip : float or None
        Values are limited to +-clip after normalisation.
    max_missing : float
        A region with a larger share of missing frames is masked instead of interpolated.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    tr_s: float = 2.0
    normalise: Normalise = "region"
    median: tuple[float, ...] | None = None
    iqr: tuple[float, ...] | None = None
    resample: Resample = "poly"
    clip: float | None = 6.0  # ours: beyond it are movements, not activity
    max_missing: float = 0.5

    def __post_init__(self) -> None:
        for name in ("median", "iqr"):  # JSON has lists
            value: Any = getattr(self, name)
            if not isinstance(value, list | tuple | None):
                raise ConfigError(f"expected numbers for {name}, got {value!r}")
            object.__setattr__(self, name, None if value is None else tuple(value))
        self._check()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BrainPreprocess:
        """Build from the dict of `to_config`.

        Raises
        ------
        ConfigError
            If a key is unknown (the nearest known one is named).
        """
        return from_plain(cls, config, what="preprocessing")

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict."""
        return to_plain(self)

    def n_times_out(self, n_times: int, tr_s: float) -> int:
        """Frames that `n_times` frames at `tr_s` seconds become."""
        check_tr(tr_s)
        return n_resampled(n_times, 1 / tr_s, 1 / self.tr_s, "poly")

    def __call__(self, values: ArrayLike, tr_s: float) -> PreparedRun:
        """Prepare one run.

        Parameters
        ----------
        values : array, shape (R, T)
            Any real dtype; NaN where missing. Not changed.
        tr_s : float
            Repetition time of `values`, seconds.

        Returns
        -------
        PreparedRun

        Raises
        ------
        DataError
            If shape, dtype or repetition time cannot be used, or another number of regions than
            the stored statistics have.
        """
        given = np.asarray(values)
        if given.ndim != 2 or given.dtype.kind not in "fiu" or 0 in given.shape:
            raise DataError(
                f"expected real numbers of shape (regions, frames), got {given.dtype} of shape "
                f"{given.shape}"
            )
        check_tr(tr_s)
        x = np.array(given, dtype=np.float64, order="C")[None]
        missing = fill_gaps(x, np.ones(x.shape[:2], dtype=bool), cap=HUGE)[0]
        lost = (missing > self.max_missing) | (missing == 1.0)
        size = np.abs(x[0]).max(axis=1)
        x[0, lost] = 0.0
        out = self._resampled(x[0], tr_s)
        std = out.std(axis=1)
        valid = ~lost & (std > ROUNDING * size) & (std > 0)
        out = self._normalised(out, std, valid)
        out = np.where(valid[:, None], out, 0.0)
        if self.clip is not None:
            out = np.clip(out, -self.clip, self.clip)
        return PreparedRun(out.astype(np.float32), valid, _notes(missing, lost, valid))

    def _resampled(self, x: NDArray[np.float64], tr_s: float) -> NDArray[np.float64]:
        if math.isclose(tr_s, self.tr_s, rel_tol=1e-3):
            return x
        if self.resample == "poly":
            return resampled(x, 1 / tr_s, 1 / self.tr_s, "poly")
        at = np.arange(self.n_times_out(x.shape[1], tr_s)) * (self.tr_s / tr_s)
        if self.resample == "nearest":
            return x[:, np.minimum(np.floor(at + 1e-9).astype(int), x.shape[1] - 1)]
        frames = np.arange(x.shape[1])
        return np.stack([np.interp(at, frames, row) for row in x])

    def _normalised(
        self, x: NDArray[np.float64], std: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        if self.normalise == "region":
            return (x - x.mean(axis=1, keepdims=True)) / np.where(valid, std, 1.0)[:, None]
        if self.normalise == "global":
            if not valid.any():
                return x
            spread = x[valid].std()
            return (x - x[valid].mean()) / (spread if spread > 0 else 1.0)
        if self.normalise == "robust":
            assert self.median is not None
            if len(x) != len(self.median):
                raise DataError(
                    f"expected {len(self.median)} regions, which the stored statistics are of, "
                    f"got {len(x)}: a model with normalise='robust' serves its own atlas only"
                )
            return (x - np.array(self.median)[:, None]) / np.array(self.iqr)[:, None]
        return x

    def _check(self) -> None:
        check_types(self, {"normalise": get_args(Normalise), "resample": get_args(Resample)})
        if not FASTEST_TR_S <= self.tr_s <= SLOWEST_TR_S:
            raise ConfigError(f"expected tr_s of 0.02 to 30 seconds, got {self.tr_s}")
        if (self.normalise == "robust") != (self.median is not None and self.iqr is not None):
            raise ConfigError(
                "expected median and iqr together with normalise='robust', and only so: see "
                "robust_statistics"
            )
        if self.median is not None and self.iqr is not None:
            if len(self.median) != len(self.iqr) or not all(v > 0 for v in self.iqr):
                raise ConfigError("expected one median and one iqr above 0 for each region")
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"expected clip above 0, got {self.clip}")
        if not 0 <= self.max_missing <= 1:
            raise ConfigError(f"expected max_missing between 0 and 1, got {self.max_missing}")


def robust_statistics(
    means: ArrayLike, *, spread: ArrayLike | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Median and interquartile range over people of each region's mean over time, as published.

    Parameters
    ----------
    means : array, shape (n_runs, R)
        NaN where a region is missing.
    spread : array, shape (n_runs, R), optional
        Standard deviations over time, which tell rounding from offsets.

    Returns
    -------
    median, iqr : tuple of float, one a region

    Raises
    ------
    DataError
        If the interquartile range of a region is zero or rounding: with z-scored series there is
        no offset left to scale, and the published scaling divides by 1e-13.
    """
    table = np.asarray(means, dtype=np.float64)
    low, median, high = np.nanpercentile(table, [25, 50, 75], axis=0)
    iqr = high - low
    least = 1e-9 * np.maximum(np.nanmax(np.abs(table), axis=0), 1e-3)
    if spread is not None:
        least = np.maximum(least, 1e-3 * np.nanmedian(np.asarray(spread), axis=0))
    bad = ~(iqr > least)
    if bad.any():
        raise DataError(
            f"expected region means that differ between runs for normalise='robust', got a range "
            f"of (nearly) zero in {int(bad.sum())} of {len(bad)} regions: the series are already "
            "standardised, or there are too few runs; use normalise='region'"
        )
    return tuple(median.tolist()), tuple(iqr.tolist())


def check_tr(tr_s: float) -> None:
    """Refuse a repetition time (seconds) that no scanner has.

    Raises
    ------
    DataError
        A number that looks like milliseconds is named.
    """
    if not (math.isfinite(tr_s) and FASTEST_TR_S <= tr_s <= SLOWEST_TR_S):
        looks = FASTEST_TR_S <= tr_s / 1000 <= SLOWEST_TR_S if math.isfinite(tr_s) else False
        fix = f"is it in milliseconds? pass tr={tr_s / 1000:g}" if looks else "pass tr= in seconds"
        raise DataError(f"expected a repetition time of 0.02 to 30 seconds, got {tr_s}: {fix}")


def _notes(
    missing: NDArray[np.float64], lost: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> tuple[str, ...]:
    notes = []
    repaired = np.flatnonzero((missing > 0) & ~lost)
    for rows, what in (
        (np.flatnonzero(lost), "lost (too few finite frames): masked"),
        (np.flatnonzero(~valid & ~lost), "flat: masked"),
        (repaired, "with missing frames: interpolated"),
    ):
        if len(rows):
            notes.append(f"{len(rows)} regions {what} ({_some(rows.tolist())})")
    if not valid.any():
        notes.append("no region can be used: the values are all zero")
    return tuple(notes)


def _some(places: Sequence[int]) -> str:
    shown = ", ".join(map(str, places[:6]))
    return shown if len(places) <= 6 else f"{shown}, ..."
