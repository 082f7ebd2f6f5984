"""The median beat of a record and what is measured on it and on the rhythm.

Letters: C leads, T samples of a record, W samples of a beat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

BEFORE_S, AFTER_S = 0.25, 0.45  # P wave to the end of the T wave at rest
SHIFT_S = 0.04  # beats are moved by at most so much onto their median
EDGE = 0.12  # of the steepest slope: here a QRS complex begins and ends
LEAD_MEASURES = ("R", "S", "QRS_area", "ST", "T", "P")
GLOBAL_MEASURES = ("QRS_s", "P_to_R_s", "R_to_T_s", "axis_x", "axis_y", "QRS_T_cosine")
RHYTHM = (
    "beats_per_s",
    "RR_mean_s",
    "RR_sd_s",
    "RR_rmssd_s",
    "RR_least_s",
    "RR_most_s",
    "RR_jumps",
    "beat_likeness",
    "beat_likeness_least",
)


def median_beat(
    values: NDArray, peaks: NDArray[np.int64], rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The median beat, and how much each beat is like it.

    Parameters
    ----------
    values : ndarray, shape (C, T)
        Millivolt.
    peaks : ndarray of int, shape (n_beats,)
        Without any, the median beat is zero.
    rate_hz : float

    Returns
    -------
    beat : ndarray, shape (C, W)
        From 0.25 s before the QRS complex to 0.45 s after it, millivolt.
    likeness : ndarray, shape (n_beats,)
        Correlation of each beat with it, over all leads.
    """
    before, width = beat_samples(rate_hz)
    if not len(peaks):
        return np.zeros((len(values), width)), np.empty(0)
    shift = round(SHIFT_S * rate_hz)
    margin = width + shift
    padded = np.pad(values.astype(np.float64), ((0, 0), (margin, margin)), mode="edge")
    starts = peaks - before + margin
    whole = (peaks >= before + shift) & (peaks - before + width + shift <= values.shape[1])
    trusted = whole if whole.any() else np.ones(len(peaks), dtype=bool)
    shifts = np.arange(-shift, shift + 1)
    # (n_beats, n_shifts, C, W): a beat moves to where it fits the median of the others best
    places = starts[:, None, None] + shifts[:, None] + np.arange(width)
    pieces = np.moveaxis(padded[:, places], 0, 2)
    first = np.median(pieces[trusted, shift], axis=0)
    fit = np.einsum("bscw,cw->bs", pieces, first)
    aligned = pieces[np.arange(len(peaks)), fit.argmax(axis=1)]
    beat = np.median(aligned[trusted], axis=0)
    flat = aligned.reshape(len(peaks), -1)
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(beat)
    return beat, flat @ beat.ravel() / np.maximum(norms, 1e-12)


def beat_samples(rate_hz: float) -> tuple[int, int]:
    """Samples of a beat before the QRS complex, and in all."""
    before = round(BEFORE_S * rate_hz)
    return before, before + round(AFTER_S * rate_hz)


def resample_beat(beat: NDArray[np.float64], n_points: int) -> NDArray[np.float64]:
    """The beat at evenly spaced points, (C, n_points)."""
    old = np.linspace(0, 1, beat.shape[1])
    new = np.linspace(0, 1, n_points)
    return np.stack([np.interp(new, old, lead) for lead in beat])


def rhythm(
    peaks: NDArray[np.int64], likeness: NDArray[np.float64], n_times: int, rate_hz: float
) -> NDArray[np.float64]:
    """The numbers named in `RHYTHM`.

    With fewer than two beats the record's length stands for the interval, and nothing varies.
    """
    rr = np.diff(peaks) / rate_hz if len(peaks) > 1 else np.array([n_times / rate_hz])
    steps = np.diff(rr) if len(rr) > 1 else np.zeros(1)
    alike = likeness if len(likeness) else np.zeros(1)
    return np.array(
        [
            len(peaks) * rate_hz / n_times,
            rr.mean(),
            rr.std(),
            np.sqrt(np.mean(steps**2)),
            rr.min(),
            rr.max(),
            np.mean(np.abs(steps) > 0.05),
            np.median(alike),
            alike.min(),
        ]
    )


def measure_beat(
    beat: NDArray[np.float64], rate_hz: float, *, axis_leads: tuple[int, int] | None
) -> NDArray[np.float64]:
    """`LEAD_MEASURES` of each lead, then `GLOBAL_MEASURES`.

    Parameters
    ----------
    beat : ndarray, shape (C, W)
        Of `median_beat`, millivolt.
    rate_hz : float
    axis_leads : (int, int) or None
        Rows of I and aVF; the axis is zero without them.

    Returns
    -------
    ndarray, shape (6 C + 6,)
        Amplitudes in millivolt against the level before the QRS complex, areas in millivolt
        seconds, times in seconds.
    """
    before, width = beat_samples(rate_hz)
    onset, offset = _qrs(beat, before, rate_hz)

    def at(seconds: float) -> int:
        return round(seconds * rate_hz)

    level = beat[:, max(0, onset - at(0.04)) : max(1, onset - at(0.01))].mean(axis=1)
    beat = beat - level[:, None]
    qrs = beat[:, onset : offset + 1]
    p_end = max(1, onset - at(0.04))
    t_start = min(offset + at(0.08), width - 2)
    p_wave, t_wave = beat[:, :p_end], beat[:, t_start:]
    area, t_area = qrs.sum(axis=1) / rate_hz, t_wave.sum(axis=1) / rate_hz
    st = beat[:, min(offset + at(0.06), width - 1)]
    leads = [qrs.max(axis=1), qrs.min(axis=1), area, st, _extreme(t_wave), _extreme(p_wave)]
    x, y = (0.0, 0.0) if axis_leads is None else area[list(axis_leads)]
    length = max(float(np.hypot(x, y)), 1e-12)
    cosine = area @ t_area / max(float(np.linalg.norm(area) * np.linalg.norm(t_area)), 1e-12)
    p_at = int(np.square(p_wave).sum(axis=0).argmax())
    t_at = t_start + int(np.square(t_wave).sum(axis=0).argmax())
    times = [(offset - onset) / rate_hz, (before - p_at) / rate_hz, (t_at - before) / rate_hz]
    return np.concatenate(
        [np.stack(leads, axis=1).ravel(), times, [x / length, y / length, cosine]]
    )


def _qrs(beat: NDArray[np.float64], centre: int, rate_hz: float) -> tuple[int, int]:
    """First and last sample of the QRS complex, by the slope of all leads together."""
    slope = np.linalg.norm(np.gradient(beat, axis=1), axis=0)
    slope = uniform_filter1d(slope, max(1, round(0.012 * rate_hz)))
    reach = round(0.12 * rate_hz)
    low, high = max(0, centre - reach), min(len(slope) - 1, centre + reach)
    steep = slope >= EDGE * slope[low : high + 1].max()
    onset = offset = centre
    quiet = max(1, round(0.012 * rate_hz))  # a complex may stand still for a moment at a turn
    for i in range(centre, low - 1, -1):
        if steep[i]:
            onset = i
        elif onset - i > quiet and onset < centre:
            break
    for i in range(centre, high + 1):
        if steep[i]:
            offset = i
        elif i - offset > quiet and offset > centre:
            break
    return onset, max(offset, onset + 1)


def _extreme(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value furthest from zero of each lead."""
    return np.take_along_axis(wave, np.abs(wave).argmax(axis=1)[:, None], axis=1)[:, 0]
