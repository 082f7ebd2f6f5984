"""Windows of a recording: strided for evaluation, random for training, padded when it is short.

Sample counts only; channels, rates and models are not this file's matter.
"""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import ConfigError, DataError


def window_starts(n_times: int, window: int, stride: int) -> NDArray[np.int64]:
    """First samples of the windows that fit into a recording.

    Parameters
    ----------
    n_times, window, stride : int
        Samples. ECG-JEPA tests on 1250 of 5000 samples at stride 625: 7 windows.

    Returns
    -------
    ndarray of int64, shape (n_windows,)
        0, stride, 2 * stride, ... as long as a whole window fits; samples after the last one are
        not covered. A recording shorter than `window` gives the one start 0 (see `pad_to`).

    Raises
    ------
    DataError
        If the recording is empty.
    ConfigError
        If `window` or `stride` is below 1.
    """
    _check(n_times, window)
    if operator.index(stride) < 1:
        raise ConfigError(f"expected a stride of at least 1 sample, got {stride}")
    return np.arange(0, max(n_times - window, 0) + 1, stride, dtype=np.int64)


def random_start(n_times: int, window: int, u: float) -> int:
    """First sample of a random window.

    Parameters
    ----------
    n_times, window : int
        Samples.
    u : float
        A uniform number in [0, 1), drawn by the caller.

    Returns
    -------
    int
        Each of the `n_times - window + 1` places is equally likely; 0 for short recordings.

    Raises
    ------
    DataError
        If the recording is empty.
    ConfigError
        If `window` is below 1 or `u` outside [0, 1].
    """
    _check(n_times, window)
    if not 0.0 <= u <= 1.0:
        raise ConfigError(f"expected a uniform number in [0, 1), got {u}")
    last = max(n_times - window, 0)
    return min(int(u * (last + 1)), last)


def pad_to(values: NDArray, n: int) -> tuple[NDArray, NDArray[np.bool_]]:
    """Lengthen a recording with zeros at its end.

    Parameters
    ----------
    values : ndarray, shape (..., n_times)
    n : int
        Samples wanted, at least `n_times`.

    Returns
    -------
    values : ndarray, shape (..., n)
        A new array of the same dtype.
    valid : ndarray of bool, shape (n,)
        False on the padding.

    Raises
    ------
    DataError
        If the recording is longer than `n`.
    """
    n_times = values.shape[-1]
    if n_times > n:
        raise DataError(f"expected at most {n} samples to pad, got {n_times}: cut a window first")
    padded = np.zeros((*values.shape[:-1], n), dtype=values.dtype)
    padded[..., :n_times] = values
    return padded, np.arange(n) < n_times


def _check(n_times: int, window: int) -> None:
    if operator.index(n_times) < 1:
        raise DataError(f"expected a recording of at least 1 sample, got {n_times}")
    if operator.index(window) < 1:
        raise ConfigError(f"expected a window of at least 1 sample, got {window}")
