"""Voltage units of ECG recordings: spellings, conversion to millivolt, and a plausibility check.

Files and arrays say `mV`, `uV`, `V`, nothing, or something wrong; a factor of 1000 goes unnoticed
by a network that normalises and ruins one that does not. So the scale is judged on reading.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.errors import DataError, PlausibilityWarning

UNITS = ("mV", "uV", "V", "adc", "arbitrary")

# Median peak-to-peak of a surface ECG: spec of bad input, row W13.
PLAUSIBLE_MV = (0.05, 20.0)

_TO_MV = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
_SPELLINGS = {
    "mV": ("mv", "millivolt", "millivolts"),
    "uV": ("uv", "\u03bcv", "mcv", "microvolt", "microvolts"),
    "V": ("v", "volt", "volts"),
    "adc": ("adc", "adu", "adcunits", "count", "counts", "digital", "lsb"),
    "arbitrary": ("arbitrary", "a.u.", "au", "none"),
}
_CANONICAL = {text: unit for unit, texts in _SPELLINGS.items() for text in texts}

# Judged on at most so many values; percentiles of 512 samples of a lead are good enough for a
# factor of 1000 and cost 30 us.
_MAX_TIMES, _MAX_LEADS = 512, 4096


def canonical_unit(unit: str) -> str:
    """Write a unit as one of `UNITS`.

    Case is ignored (`MV` in a file is a shouted millivolt, nobody records megavolt), as are
    blanks and WFDB's `/nd` (not determined).

    Raises
    ------
    DataError
        If the unit is not known.
    """
    name = _known_unit(unit) if isinstance(unit, str) else None
    if name is None:
        raise DataError(
            f"unknown unit {unit!r}: expected one of {', '.join(UNITS)} (or a usual spelling of it)"
        )
    return name


def to_millivolt(
    values: ArrayLike, unit: str, *, adc_gain: float | ArrayLike | None = None
) -> NDArray[np.float32]:
    """Convert to millivolt.

    Parameters
    ----------
    values : array_like, shape (..., n_channels, n_times)
    unit : str
        Unit of `values`: mV, uV, V, adc, or arbitrary (returned unconverted); any usual spelling.
    adc_gain : float or array_like of shape (n_channels,), optional
        Counts per millivolt; needed for `adc` and refused otherwise.

    Returns
    -------
    ndarray of float32, same shape
        Shares memory with `values` if nothing had to be changed.

    Raises
    ------
    DataError
        If the unit is unknown, the gain is missing, zero, not finite or not wanted, or the values
        are not numbers.
    """
    name = canonical_unit(unit)
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise DataError(f"expected real numbers, got an array of dtype {array.dtype}")
    if name == "adc":
        if adc_gain is None:
            raise DataError(
                "unit 'adc' needs adc_gain, the counts per millivolt (one number, or one per "
                "channel): pass adc_gain=..., or units='arbitrary' to leave the scale open"
            )
        gain = np.asarray(adc_gain, dtype=np.float64)
        if not np.all(np.isfinite(gain)) or np.any(gain == 0):
            raise DataError(f"adc_gain: expected finite counts per millivolt, not 0, got {gain}")
        if gain.ndim == 1:
            gain = gain[:, None]
        try:
            return (array / gain).astype(np.float32)
        except ValueError:
            raise DataError(
                f"adc_gain: expected one number or one per channel for values of shape "
                f"{array.shape}, got {np.shape(adc_gain)}"
            ) from None
    if adc_gain is not None:
        raise DataError(f"adc_gain goes with unit 'adc', got unit {unit!r}: leave one out")
    scale = _TO_MV.get(name, 1.0)
    if scale == 1.0:
        return array.astype(np.float32, copy=False)
    return np.multiply(array, scale, dtype=np.float64).astype(np.float32)


def peak_to_peak(values: ArrayLike) -> NDArray[np.float32]:
    """Robust peak-to-peak of every lead: 99.5th minus 0.5th percentile.

    Long leads are judged on 512 samples spread over their length.

    Parameters
    ----------
    values : array_like, shape (..., n_times)

    Returns
    -------
    ndarray of float32, shape (...)
        NaN where a lead has no finite sample.
    """
    array = np.asarray(values)
    n_times = array.shape[-1]
    if n_times == 0:
        return np.full(array.shape[:-1], np.nan, dtype=np.float32)
    if n_times > _MAX_TIMES:
        array = np.take(array, _spread(n_times, _MAX_TIMES), axis=-1)
    picked = np.sort(array.astype(np.float32, copy=False), axis=-1)  # NaN goes last
    n_picked = picked.shape[-1]
    top = picked[..., int(np.ceil(0.995 * (n_picked - 1)))]
    bottom = picked[..., int(0.005 * (n_picked - 1))]
    if np.isfinite(picked[..., 0]).all() and np.isfinite(picked[..., -1]).all():
        return np.asarray(top - bottom)
    picked[~np.isfinite(picked)] = np.nan
    picked.sort(axis=-1)
    last = np.maximum(np.count_nonzero(~np.isnan(picked), axis=-1) - 1, 0)
    high = np.ceil(0.995 * last).astype(np.intp)
    low = np.floor(0.005 * last).astype(np.intp)
    ends = np.take_along_axis(picked, np.stack([high, low], axis=-1), axis=-1)
    return np.asarray(ends[..., 0] - ends[..., 1])


def check_plausible_mv(
    values: ArrayLike, *, where: str, unit: str, strict: bool, argument: str = "units"
) -> None:
    """Warn or raise if values that should be millivolt cannot be an ECG's.

    Judged is the median over records and leads of the robust peak-to-peak; flat leads and leads
    without finite samples do not count. An array with more channels than samples is taken for
    one with its axes swapped.

    Parameters
    ----------
    values : array_like, shape (..., n_channels, n_times)
        In millivolt, as converted from `unit`.
    where : str
        What the values are (a path, "X"), for the message.
    unit : str
        Unit that the values were said to be in before conversion; "arbitrary" skips all checks.
    strict : bool
        Raise instead of warning.
    argument : str
        Name of the caller's parameter that sets the unit, for the message.

    Raises
    ------
    DataError
        If implausible and `strict`.

    Warns
    -----
    PlausibilityWarning
        If implausible and not `strict`.
    """
    problem = implausibility(values, unit=unit, argument=argument)
    if not problem:
        return
    if strict:
        raise DataError(f"{where}: {problem}")
    warnings.warn(f"{where}: {problem}", PlausibilityWarning, stacklevel=3)


def implausibility(values: ArrayLike, *, unit: str, argument: str = "units") -> str:
    """Say what is implausible about values in millivolt, or return an empty text.

    Parameters are those of `check_plausible_mv`.
    """
    name = canonical_unit(unit)
    if name == "arbitrary":
        return ""
    array = np.asarray(values)
    n_channels, n_times = array.shape[-2:]
    if n_times < n_channels:
        return (
            f"{n_channels} channels of {n_times} samples: the axes look swapped; pass "
            f"(..., channels, time), or {argument}='arbitrary' if this is right"
        )
    flat = array.reshape(-1, n_times)
    if len(flat) > _MAX_LEADS:
        flat = flat[_spread(len(flat), _MAX_LEADS)]
    height = peak_to_peak(flat)
    height = height[np.isfinite(height) & (height > 0)]
    if height.size == 0:
        return ""
    height.sort()
    median = float(height[(height.size - 1) // 2] + height[height.size // 2]) / 2
    low, high = PLAUSIBLE_MV
    if low <= median <= high:
        return ""
    shown = f"{float(f'{median:.3g}'):,g}"  # three digits, without an exponent as far as it goes
    text = f"the median peak-to-peak is {shown} mV, a surface ECG has {low:g} to {high:g} mV; "
    if name == "adc":
        return text + f"check adc_gain (counts per mV), or pass {argument}='arbitrary'"
    factor = 1e-3 if median > high else 1e3
    for steps in (1, 2):
        likely = _unit_of_scale(_TO_MV[name] * factor**steps)
        if likely and low <= median * factor**steps <= high:
            word = {"mV": "millivolt", "uV": "microvolt", "V": "volt"}[likely]
            text += f"looks like {word}: pass {argument}='{likely}'"
            break
    else:
        text += f"no usual unit explains it: if these are counts, pass {argument}='adc'"
    return text + f", or {argument}='arbitrary' to leave the scale as it is"


@lru_cache(maxsize=256)
def _known_unit(unit: str) -> str | None:
    # The micro sign (U+00B5) and the Greek mu (U+03BC) look alike; casefold joins them.
    return _CANONICAL.get(unit.strip().casefold().replace(" ", "").removesuffix("/nd"))


def _unit_of_scale(scale: float) -> str | None:
    return next((u for u, s in _TO_MV.items() if np.isclose(s, scale, rtol=1e-6)), None)


@lru_cache(maxsize=64)
def _spread(n: int, n_wanted: int) -> NDArray[np.intp]:
    """Positions over range(n), spread without a common step, so that no rhythm hides in it."""
    golden = 0.6180339887498949
    return np.unique((np.arange(n_wanted) * golden % 1.0 * n).astype(np.intp))
