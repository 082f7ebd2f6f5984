"""Reading and preparing records as published, in its plain form; the frozen baseline of a ratio.

`wfdb` reads into float64, the record is kept in float16 (time, leads), and prepared once in
float16: gaps interpolated lead by lead, the baseline removed (two databases only), FFT resampling,
mean and spread of the dataset, clipping, leads reordered by name. Each access crops, transposes
and converts to float32.

References
----------
Weimann & Conrad 2024, arXiv:2410.13867; the order of the steps is that of its code.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import signal

TARGET_HZ, WINDOW, CLIP = 500, 5000, 5.0


def read_record(path: str) -> tuple[np.ndarray, float, list[str]]:
    """Samples as float16 (time, leads) in millivolt, rate in hertz, names of the leads."""
    with warnings.catch_warnings():
        # wfdb builds a table at import with a pandas argument on its way out
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb
    record = wfdb.rdrecord(path)
    return record.p_signal.astype(np.float16), float(record.fs), list(record.sig_name)


def interpolate(x: np.ndarray) -> np.ndarray:
    """Fill gaps lead by lead, the nearest value at the ends."""
    x = x.copy()
    time = np.arange(len(x))
    for lead in range(x.shape[1]):
        gap = np.isnan(x[:, lead])
        if gap.any():
            x[gap, lead] = np.interp(time[gap], time[~gap], x[~gap, lead])
    return x


def remove_baseline(x: np.ndarray, rate_hz: float, corner_hz: float = 0.5) -> np.ndarray:
    """High-pass of order 4, forwards and backwards."""
    b, a = signal.butter(4, corner_hz, "highpass", fs=rate_hz)
    return signal.filtfilt(b, a, x.astype(np.float64), axis=0).astype(x.dtype)


def prepare(
    x: np.ndarray,
    rate_hz: float,
    have: Sequence[str],
    want: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    baseline: bool = False,
) -> np.ndarray:
    """A record as the model's corpus holds it.

    Parameters
    ----------
    x : ndarray of float16, shape (n_times, n_leads)
    rate_hz : float
    have, want : sequence of str
        Leads of `x`, and of the model.
    mean, std : sequence of float
        Of the dataset, one per lead of `x`.
    baseline : bool
        Remove it.

    Returns
    -------
    ndarray of float16, shape (n_times at 500 Hz, len(want))
    """
    x = interpolate(x)
    if baseline:
        x = remove_baseline(x, rate_hz)
    if rate_hz != TARGET_HZ:
        x = signal.resample(x, int(TARGET_HZ / rate_hz * len(x)), axis=0).astype(np.float16)
    x = (x - np.array(mean, np.float16)) / np.array(std, np.float16)
    x = np.clip(x, -CLIP, CLIP)
    names = [name.lower() for name in have]
    return x[:, [names.index(name.lower()) for name in want]]


def sample(x: np.ndarray, start: int = 0) -> np.ndarray:
    """One window for the model: float32, shape (n_leads, n_times)."""
    return np.ascontiguousarray(x[start : start + WINDOW].T).astype(np.float32)
