"""Gap filling, resampling and filtering of channels along the last axis.

Letters: n records, C channels, T samples.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from biojepa.errors import ConfigError, DataError

Band = tuple[float | None, float | None]
Resample = Literal["poly", "fft"]

BUTTERWORTH_ORDER = 4  # published for the high-pass; the extra PTB-XL records' band-pass has it too
MAX_FACTOR = 10_000  # a larger up- or down-factor only comes from a rate that is not a clean one


def fill_gaps(
    x: NDArray[np.float64], present: NDArray[np.bool_], *, cap: float
) -> NDArray[np.float64]:
    """Interpolate missing samples in place; channels that are not present become zero.

    Parameters
    ----------
    x : ndarray, shape (n, C, T)
        NaN, infinite and larger than `cap` count as missing.
    present : ndarray of bool, shape (n, C)
    cap : float

    Returns
    -------
    ndarray, shape (n, C)
        Share of missing samples (0 where a channel is not present).
    """
    if x.size and x.max() <= cap and x.min() >= -cap:  # NaN compares false; the usual case
        x[~present] = 0.0
        return np.zeros(x.shape[:-1])
    gaps = ~(np.abs(x) <= cap)
    gaps &= present[..., None]
    time = np.arange(x.shape[-1])
    for i, c in zip(*np.nonzero(gaps.any(axis=-1)), strict=True):
        gap, seen = gaps[i, c], ~gaps[i, c]
        x[i, c, gap] = np.interp(time[gap], time[seen], x[i, c, seen]) if seen.any() else 0.0
    x[~present] = 0.0
    return gaps.mean(axis=-1)


def n_resampled(n_times: int, source_hz: float, target_hz: float, method: Resample) -> int:
    """Samples that `n_times` samples become."""
    ratio = _ratio(source_hz, target_hz)
    if ratio == 1:
        return n_times
    if method == "fft":
        return max(int(target_hz / source_hz * n_times), 1)  # int(ratio * T), as published
    return math.ceil(n_times * ratio)


def resampled(
    x: NDArray[np.float64], source_hz: float, target_hz: float, method: Resample
) -> NDArray[np.float64]:
    """Bring samples to another rate (hertz)."""
    ratio = _ratio(source_hz, target_hz)
    if ratio == 1:
        return x
    n_out = n_resampled(x.shape[-1], source_hz, target_hz, method)
    if x.shape[-1] == 1:
        return np.repeat(x, n_out, axis=-1)
    if method == "fft":
        return signal.resample(x, n_out, axis=-1)
    # "line" continues the line through both ends, so that an offset leaves no transients there.
    taps = _anti_alias(max(ratio.numerator, ratio.denominator))
    up, down = ratio.numerator, ratio.denominator
    # scipy's stubs leave out that `window` may be the filter's coefficients
    return signal.resample_poly(x, up, down, -1, taps, "line")  # type: ignore[call-overload]


def filtered(x: NDArray[np.float64], band: Band | None, rate_hz: float) -> NDArray[np.float64]:
    """Butterworth filter forwards and backwards; records of any length."""
    if band is None:
        return x
    low, high = band
    if high is not None and high >= rate_hz / 2:
        high = None  # a source below twice the corner has nothing above it
    if low is not None and low >= rate_hz / 2:
        raise DataError(
            f"expected a sampling rate above {2 * low:g} Hz for a {low:g} Hz high-pass, "
            f"got {rate_hz:g} Hz"
        )
    if low is None and high is None:
        return x
    sections = _butterworth(low, high, rate_hz)
    # scipy's own length of padding at the ends, shorter where a record is shorter than that
    n_pad = 3 * (2 * len(sections) + 1)
    return signal.sosfiltfilt(sections, x, axis=-1, padlen=min(n_pad, x.shape[-1] - 1))


def check_band(band: Band, rate_hz: float) -> None:
    """Refuse corner frequencies that no filter at `rate_hz` can have.

    Raises
    ------
    ConfigError
    """
    corners = [f for f in band if f is not None]
    ordered = all(0 < f < rate_hz / 2 for f in corners) and corners == sorted(set(corners))
    if len(band) != 2 or not corners or not ordered:
        raise ConfigError(
            f"expected bandpass_hz=(low, high) with 0 < low < high < {rate_hz / 2:g} Hz (half of "
            f"rate_hz), one of them None for a high- or low-pass, got {band}"
        )


@lru_cache(maxsize=64)
def _ratio(source_hz: float, target_hz: float) -> Fraction:
    source = Fraction(source_hz).limit_denominator(1000)
    ratio = Fraction(target_hz).limit_denominator(1000) / source
    if max(ratio.numerator, ratio.denominator) > MAX_FACTOR:
        ratio = Fraction(target_hz / source_hz).limit_denominator(1000)
    if not ratio:
        raise DataError(f"cannot resample from {source_hz:g} to {target_hz:g} Hz: too far apart")
    return ratio


@lru_cache(maxsize=64)
def _butterworth(low: float | None, high: float | None, rate_hz: float) -> NDArray[np.float64]:
    corners = [f for f in (low, high) if f is not None]
    if len(corners) == 2:
        return signal.butter(BUTTERWORTH_ORDER, corners, "bandpass", fs=rate_hz, output="sos")
    kind: Literal["lowpass", "highpass"] = "lowpass" if low is None else "highpass"
    return signal.butter(BUTTERWORTH_ORDER, corners[0], kind, fs=rate_hz, output="sos")


@lru_cache(maxsize=64)
def _anti_alias(factor: int) -> NDArray[np.float64]:
    # scipy's default filter for `resample_poly`, kept so that it is not designed for every record
    return signal.firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0))
