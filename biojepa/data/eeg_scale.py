"""Whether numbers can be the microvolts of an EEG.

A factor of 1e6 between volt and microvolt goes unnoticed by MNE and by the networks: braindecode's
Signal-JEPA answers volts with features that hardly vary. So the scale is judged when EEG comes in.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import DataError, PlausibilityWarning

PLAUSIBLE_UV = (0.1, 1000.0)  # standard deviation of a channel: fault table, row E5


def check_eeg_scale(records: Iterable[NDArray], *, where: str, strict: bool) -> None:
    """Judge the median standard deviation of channels.

    Parameters
    ----------
    records : iterable of ndarray, shapes (C, T)
        Microvolt. Flat channels and gaps are passed over.
    where : str
        What they are, for the message.
    strict : bool
        Raise instead of warning.

    Raises
    ------
    DataError
        If `strict` and the scale is implausible.

    Warns
    -----
    PlausibilityWarning
        If not `strict`.
    """
    spread = np.concatenate([_spread(record) for record in records])
    spread = spread[np.isfinite(spread) & (spread > 0)]
    if not spread.size:
        return
    median, (low, high) = float(np.median(spread)), PLAUSIBLE_UV
    if low <= median <= high:
        return
    likely = next(
        (
            unit
            for unit, factor in (("V", 1e6), ("mV", 1e3), ("nV", 1e-3))
            if low <= median * factor <= high
        ),
        None,
    )
    hint = f"looks like {likely}: " if likely else ""
    fix = f"pass units={likely!r}" if likely in ("V", "mV") else "correct the scale"
    text = (
        f"{where}: the median standard deviation of a channel is {median:.3g} uV, an EEG has "
        f"{low:g} to {high:g} uV; {hint}{fix}, or pass units='arbitrary' to leave the scale open"
    )
    if strict:
        raise DataError(text)
    warnings.warn(text, PlausibilityWarning, stacklevel=3)


def _spread(record: NDArray) -> NDArray[np.float64]:
    values = np.asarray(record, dtype=np.float64)
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=-1, keepdims=True), 1)
    values = np.where(there, values, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        centred = np.where(there, values - values.sum(axis=-1, keepdims=True) / count, 0.0)
        return np.sqrt(np.square(centred).sum(axis=-1) / count[..., 0])
