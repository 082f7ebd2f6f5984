"""The one road from raw EEG to the model's input, for pretraining and for users.

The settings are plain numbers and names, stored in every saved model. Steps, in this order, which
is the published one:

1. missing samples (NaN, infinite, or beyond `cap_uv`): linear interpolation per channel; a channel
   with too many of them, or flat, is not valid;
2. common average reference over the valid channels;
3. resampling to `rate_hz`;
4. Butterworth band-pass of order 4, forwards and backwards (the published filter is not known).

Values stay in microvolt: nothing is normalised, since the local encoder normalises each channel. A
channel that is not valid is zero. With fewer than three channels an average reference would take
the signal away, and is left out.

Letters: n records, C channels, T samples in, S samples out.

References
----------
Guetschel, Moreau & Tangermann 2024, S-JEPA, arXiv:2403.11772, and its published settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.data.conditioning import (
    Band,
    check_band,
    fill_gaps,
    filtered,
    n_resampled,
    resampled,
)
from biojepa.engine.settings import check_types, from_plain, to_plain
from biojepa.errors import ConfigError, DataError

Reference = Literal["average", "none"]

HUGE_UV = 1e15  # beyond this, squares and sums leave float range: missing even without a cap
MIN_AVERAGED = 3  # ours
TYPICAL_UV = 10.0  # ours: what arbitrary units are brought to; the local encoder forgets it


@dataclass(frozen=True)
class Prepared:
    """What the model sees of a record (or of a batch of them, with a leading axis).

    Parameters
    ----------
    values : ndarray of float32, shape (C, S)
        Microvolt, finite.
    valid : ndarray of bool, shape (C,)
        False for a channel that is flat or lost: its values are zero.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class EEGPreprocess:
    """Settings of the road, and the road itself. The defaults are the published ones.

    Parameters
    ----------
    rate_hz : float
        The model's sampling rate, hertz.
    bandpass_hz : (float or None, float or None) or None
        Corner frequencies, hertz; None at one end for a high- or low-pass. A corner that a slow
        recording cannot have is left out.
    reference : {"average", "none"}
    cap_uv : float
        A larger sample, microvolt, is no voltage of a brain and counts as missing; not applied to
        arbitrary units.
    eps_uv : float
        A channel whose standard deviation is below this, microvolt, is flat; of arbitrary units,
        below this share of the typical channel.
    max_missing : float
        A channel with a larger share of missing samples is not valid.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    rate_hz: float = 128.0
    bandpass_hz: Band | None = (0.5, 40.0)
    reference: Reference = "average"
    cap_uv: float = 1e5
    eps_uv: float = 1e-3
    max_missing: float = 0.5

    def __post_init__(self) -> None:
        if self.bandpass_hz is not None:
            object.__setattr__(self, "bandpass_hz", tuple(self.bandpass_hz))
        check_types(self, {"reference": ("average", "none")})
        if not 1 <= self.rate_hz <= 1e6:
            raise ConfigError(f"expected rate_hz of 1 to 1e6 Hz, got {self.rate_hz}")
        if self.bandpass_hz is not None:
            check_band(self.bandpass_hz, self.rate_hz)
        if min(self.cap_uv, self.eps_uv) <= 0 or not 0 <= self.max_missing <= 1:
            raise ConfigError(
                "expected cap_uv and eps_uv above 0 and max_missing of 0 to 1, got "
                f"{self.cap_uv}, {self.eps_uv} and {self.max_missing}"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EEGPreprocess:
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

    def n_times_out(self, n_times: int, rate_hz: float) -> int:
        """Samples that `n_times` samples at `rate_hz` hertz become."""
        if not (math.isfinite(rate_hz) and 1 <= rate_hz <= 1e6):
            raise DataError(f"expected a sampling rate of 1 to 1e6 Hz, got {rate_hz}")
        return n_resampled(n_times, rate_hz, self.rate_hz, "poly")

    def __call__(self, values: ArrayLike, rate_hz: float, *, arbitrary: bool = False) -> Prepared:
        """Prepare one record, or several of one length.

        Parameters
        ----------
        values : array, shape (C, T) or (n, C, T)
            Microvolt. Not changed.
        rate_hz : float
            Sampling rate of `values`, hertz.
        arbitrary : bool
            The unit is not known: each record is brought to a typical amplitude.

        Returns
        -------
        Prepared
            The same for a record alone as among others.

        Raises
        ------
        DataError
            If shape, dtype or rate cannot be used.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or 0 in array.shape:
            raise DataError(
                "expected real numbers of shape (channels, times) or (records, channels, times), "
                f"got shape {array.shape} of {array.dtype}"
            )
        self.n_times_out(array.shape[-1], rate_hz)
        # a real copy: `values` may be read-only, big-endian, strided or of integers
        x = np.array(array if array.ndim == 3 else array[None], dtype=np.float64, order="C")
        present = np.ones(x.shape[:2], dtype=bool)
        missing = fill_gaps(x, present, cap=HUGE_UV if arbitrary else min(self.cap_uv, HUGE_UV))
        std = x.std(axis=-1)
        if arbitrary:
            typical = np.median(std, axis=1, keepdims=True)
            scale = TYPICAL_UV / np.where(typical > 0, typical, 1.0)
            x, std = x * scale[..., None], std * scale
        valid = (std >= self.eps_uv) & (missing <= self.max_missing) & (missing < 1.0)
        x = self._referenced(x, valid)
        x = resampled(x, rate_hz, self.rate_hz, "poly")
        x = filtered(x, self._band(rate_hz), self.rate_hz)
        out = np.where(valid[..., None], x, 0.0).astype(np.float32)
        return Prepared(out, valid) if array.ndim == 3 else Prepared(out[0], valid[0])

    def _referenced(self, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        if self.reference == "none" or x.shape[1] < MIN_AVERAGED:
            return x
        there = valid[..., None]
        count = np.maximum(valid.sum(axis=1), 1)[:, None, None]
        mean = np.where(there, x, 0.0).sum(axis=1, keepdims=True) / count
        return np.where((valid.sum(axis=1) >= MIN_AVERAGED)[:, None, None], x - mean, x)

    def _band(self, rate_hz: float) -> Band | None:
        """Without a low-pass that resampling from a slow recording has done already."""
        if self.bandpass_hz is None:
            return None
        low, high = self.bandpass_hz
        high = None if high is not None and high >= rate_hz / 2 else high
        return None if low is None and high is None else (low, high)
