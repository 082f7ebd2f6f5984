"""Where the beats of a record are: QRS complexes by their slope in all leads together.

Each lead is filtered to the band of the QRS complex and its absolute slope smoothed; a lead counts
relative to its own steep moments and no more than that, so one noisy lead decides nothing. Peaks of
the sum are beats if they stand out, are not the T wave of the beat before, and leave no double gap.

Letters: C leads, T samples.

References
----------
Pan & Tompkins 1985, IEEE Trans Biomed Eng 32:230 (the order of steps; all numbers here are ours).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

QRS_BAND_HZ = (5.0, 20.0)
SMOOTH_S = 0.1
REFRACTORY_S = 0.24  # 250 beats a minute
T_WAVE_S = 0.38  # a weaker peak so soon after a beat is its T wave
STILL_MV = 0.02  # a lead that moves less in the QRS band has no QRS complex
HEIGHT = 0.4  # of the median peak of two-second stretches
GAP = 1.7  # of the median interval: here a beat was missed


def find_r_peaks(values: NDArray, rate_hz: float) -> NDArray[np.int64]:
    """Samples of the QRS complexes of one record.

    Parameters
    ----------
    values : ndarray, shape (C, T)
        Millivolt, finite, without baseline wander.
    rate_hz : float
        Hertz, above 40.

    Returns
    -------
    ndarray of int, ascending
        Empty without a lead that moves, or if the record is shorter than half a second.
    """
    if values.shape[1] < 0.5 * rate_hz:
        return np.empty(0, dtype=np.int64)
    envelope = _envelope(np.asarray(values, dtype=np.float64), rate_hz)
    peaks = signal.find_peaks(envelope, distance=max(1, round(REFRACTORY_S * rate_hz)))[0]
    if not len(peaks):
        return np.empty(0, dtype=np.int64)
    stretch = max(1, round(2 * rate_hz))
    tops = [envelope[i : i + stretch].max() for i in range(0, len(envelope), stretch)]
    height = HEIGHT * float(np.median(tops))
    beats = _without_t_waves(peaks[envelope[peaks] >= height], envelope, rate_hz)
    weaker = peaks[envelope[peaks] >= height / 2]
    return _fill_gaps(beats, weaker, envelope, rate_hz)


def _envelope(values: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """Smoothed slope of all leads together, (T,)."""
    sections = signal.butter(2, QRS_BAND_HZ, "bandpass", fs=rate_hz, output="sos")
    n_pad = min(3 * (2 * len(sections) + 1), values.shape[1] - 1)
    fast = signal.sosfiltfilt(sections, values, axis=1, padlen=n_pad)
    moving = np.percentile(np.abs(fast), 98, axis=1) >= STILL_MV
    if not moving.any():
        return np.zeros(values.shape[1])
    slope = np.abs(np.gradient(fast[moving], axis=1))
    window = np.hanning(max(3, round(SMOOTH_S * rate_hz)) + 2)
    smooth = signal.fftconvolve(slope, window[None] / window.sum(), mode="same", axes=1)
    steep = np.percentile(smooth, 95, axis=1, keepdims=True)
    return np.minimum(smooth / np.maximum(steep, 1e-12), 1.5).mean(axis=0)


def _without_t_waves(
    beats: NDArray[np.int64], envelope: NDArray[np.float64], rate_hz: float
) -> NDArray[np.int64]:
    kept: list[int] = []
    for beat in beats.tolist():
        near = bool(kept) and beat - kept[-1] < T_WAVE_S * rate_hz
        if not near or envelope[beat] > 0.7 * envelope[kept[-1]]:
            kept.append(beat)
    return np.array(kept, dtype=np.int64)


def _fill_gaps(
    beats: NDArray[np.int64],
    candidates: NDArray[np.int64],
    envelope: NDArray[np.float64],
    rate_hz: float,
) -> NDArray[np.int64]:
    """Add the strongest weaker peak of each gap in which a beat must have been missed."""
    if len(beats) < 3:
        return beats
    usual, margin = np.median(np.diff(beats)), T_WAVE_S * rate_hz
    found = []
    for before, after in zip(beats[:-1], beats[1:], strict=True):
        inside = candidates[(candidates > before + margin) & (candidates < after - margin)]
        if after - before > GAP * usual and len(inside):
            found.append(inside[envelope[inside].argmax()])
    return np.sort(np.concatenate([beats, np.array(found, dtype=np.int64)]))
