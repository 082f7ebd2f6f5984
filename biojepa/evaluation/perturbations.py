"""What recordings suffer outside the laboratory, as small pure functions of raw signals.

Every function takes signals in millivolt, shape (n, channels, time), the rate, and a generator, and
returns new float32 signals of the same shape. The levels of `PERTURBATIONS` are ours: from hardly
visible to plainly bad on paper.

Letters: n records, C channels, T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from biojepa.errors import ConfigError

Signal = NDArray[np.float32]
Perturbation = Callable[[Signal, float, np.random.Generator], Signal]


def white_noise(
    values_mv: Signal, rate_hz: float, rng: np.random.Generator, *, snr_db: float
) -> Signal:
    """Add white noise at a ratio of powers to each channel's own variance.

    Parameters
    ----------
    values_mv : ndarray, shape (n, C, T)
    rate_hz : float
    rng : Generator
    snr_db : float
        Decibel; 0 is as much noise as signal.
    """
    std = values_mv.std(axis=-1, keepdims=True) * 10 ** (-snr_db / 20)
    return _float32(values_mv + std * rng.standard_normal(values_mv.shape, dtype=np.float32))


def baseline_wander(
    values_mv: Signal, rate_hz: float, rng: np.random.Generator, *, amplitude_mv: float
) -> Signal:
    """Add a slow sine of 0.15 to 0.4 hertz (breathing), with its own phase in each channel.

    Parameters
    ----------
    values_mv, rate_hz, rng
        As in `white_noise`.
    amplitude_mv : float
    """
    n, n_channels, n_times = values_mv.shape
    hz = rng.uniform(0.15, 0.4, (n, 1, 1))
    phase = rng.uniform(0, 2 * np.pi, (n, n_channels, 1))
    size = amplitude_mv * rng.uniform(0.5, 1.0, (n, n_channels, 1))
    time_s = np.arange(n_times) / rate_hz
    return _float32(values_mv + size * np.sin(2 * np.pi * hz * time_s + phase))


def powerline(
    values_mv: Signal,
    rate_hz: float,
    rng: np.random.Generator,
    *,
    amplitude_mv: float,
    mains_hz: float = 50.0,
) -> Signal:
    """Add mains hum.

    Parameters
    ----------
    values_mv, rate_hz, rng
        As in `white_noise`. At a rate below twice the mains the hum folds, as in a recorder
        without a filter.
    amplitude_mv : float
    mains_hz : float
    """
    n, n_channels, n_times = values_mv.shape
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    size = amplitude_mv * rng.uniform(0.5, 1.0, (n, n_channels, 1))
    # mains are never exact: a hum at just half the rate could vanish by its phase
    hz = mains_hz * (1 + 0.004 * rng.uniform(-1, 1, (n, 1, 1)))
    time_s = np.arange(n_times) / rate_hz
    return _float32(values_mv + size * np.sin(2 * np.pi * hz * time_s + phase))


def missing_channels(
    values_mv: Signal, rate_hz: float, rng: np.random.Generator, *, n_missing: int
) -> Signal:
    """Flatten some channels of each record to zero, as an electrode that has come off.

    Parameters
    ----------
    values_mv, rate_hz, rng
        As in `white_noise`.
    n_missing : int
        Of each record, drawn anew; at least one channel stays.

    Raises
    ------
    ConfigError
        If there are not so many channels.
    """
    n, n_channels, _ = values_mv.shape
    if not 0 <= n_missing < n_channels:
        raise ConfigError(f"expected 0 to {n_channels - 1} missing channels, got {n_missing}")
    order = rng.permuted(np.tile(np.arange(n_channels), (n, 1)), axis=1)
    out = values_mv.copy()
    np.put_along_axis(out, order[:, :n_missing, None], np.float32(0), axis=1)
    return out


def gain_error(
    values_mv: Signal, rate_hz: float, rng: np.random.Generator, *, factor: float
) -> Signal:
    """Multiply all of a record, as a wrong calibration does.

    Parameters
    ----------
    values_mv, rate_hz, rng
        As in `white_noise`.
    factor : float
        The same for all records: 2 is 20 mm/mV read as 10.
    """
    return _float32(values_mv * np.float32(factor))


def resampled(values_mv: Signal, rate_hz: float, rng: np.random.Generator, *, to_hz: int) -> Signal:
    """Record at a lower rate, and bring it back to this one.

    Parameters
    ----------
    values_mv, rate_hz, rng
        As in `white_noise`; a rate at or below `to_hz` is left as it is.
    to_hz : int
        Hertz.
    """
    if to_hz >= rate_hz:
        return values_mv.copy()
    n_times, rate = values_mv.shape[-1], round(rate_hz)
    low = resample_poly(values_mv, to_hz, rate, axis=-1, padtype="line")
    return _float32(resample_poly(low, rate, to_hz, axis=-1, padtype="line")[..., :n_times])


# family -> level as it is called in a report -> function
PERTURBATIONS: Mapping[str, Mapping[str, Perturbation]] = MappingProxyType(
    {
        "white noise": {f"{db} dB": partial(white_noise, snr_db=db) for db in (20, 10, 5, 0)},
        "baseline wander": {
            f"{mv:g} mV": partial(baseline_wander, amplitude_mv=mv) for mv in (0.1, 0.3, 1.0)
        },
        "powerline": {f"{mv:g} mV": partial(powerline, amplitude_mv=mv) for mv in (0.05, 0.1, 0.3)},
        "missing leads": {str(k): partial(missing_channels, n_missing=k) for k in range(1, 12)},
        "gain error": {f"x {f:g}": partial(gain_error, factor=f) for f in (0.5, 0.8, 1.25, 2.0)},
        "recorded at": {f"{hz} Hz": partial(resampled, to_hz=hz) for hz in (80, 50, 25)},
    }
)


def _float32(values: NDArray) -> Signal:
    return values.astype(np.float32, copy=False)
