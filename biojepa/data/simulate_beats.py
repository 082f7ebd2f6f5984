"""Heartbeats for the 12-lead simulator: waves, diseases and rhythms of one electrical dipole.

The heart is one current dipole that moves through P, QRS and T; every wave is a Gaussian in time
with a fixed direction in space (x to the left, y to the feet, z to the front). Diseases change
waves, rhythms place beats. All numbers are ours, chosen round so that a normal record has the
voltages and intervals of a textbook; they come from no patient and carry no clinical meaning.

References
----------
McSharry et al., "A dynamical model for generating synthetic electrocardiogram signals",
IEEE Trans. Biomed. Eng. 50 (2003): Gaussian waves. Dower et al., "On deriving the
electrocardiogram from vectorcardiographic leads", Clin. Cardiol. 3 (1980): dipole to leads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# I, II, V1..V6 from the dipole (x left, y feet, z front); ours, rounded in the manner of Dower.
LEAD_VECTORS = np.array(
    [
        [0.65, -0.25, -0.05],
        [0.25, 1.05, 0.15],
        [-0.50, 0.15, 0.90],
        [0.05, 0.15, 1.40],
        [0.90, 0.10, 1.30],
        [1.20, 0.10, 0.60],
        [1.10, 0.10, 0.10],
        [0.80, 0.10, -0.20],
    ]
)
RHYTHMS = ("SR", "SBRAD", "STACH", "AFIB", "PVC", "BIGU", "PACE", "1AVB")
BEAT_FROM_S, BEAT_TO_S = -0.45, 0.85  # window around the R peak that holds a whole beat


class Wave(NamedTuple):
    """A Gaussian bump: its time after the R peak, its width, and its dipole in millivolt."""

    centre_s: float
    width_s: float
    vector: np.ndarray


class Beats(NamedTuple):
    """R peaks in seconds, whether each is ectopic, and its repolarisation time scale."""

    times_s: np.ndarray
    ectopic: np.ndarray
    qt_scale: np.ndarray


Waves = dict[str, Wave]


def normal_waves(*, pr: float = 1.0, qrs: float = 1.0) -> Waves:
    """Waves of a normal beat.

    Parameters
    ----------
    pr, qrs : float
        Factors on the time from P to R and on the width of QRS; 1 is 160 ms and 90 ms.

    Returns
    -------
    dict of str to Wave
        `P*` atrial, `Q`, `R`, `S` ventricular, `T*` and `ST` repolarisation.
    """
    return {
        "P1": _wave(-0.168 * pr, 0.017, 0.05, 0.08, 0.05),
        "P2": _wave(-0.168 * pr + 0.026, 0.018, 0.06, 0.06, -0.03),
        "Q": _wave(-0.026 * qrs, 0.008 * qrs, -0.12, -0.06, 0.18),
        "R": _wave(0.0, 0.0105 * qrs, 1.00, 0.75, -0.42),
        "S": _wave(0.028 * qrs, 0.010 * qrs, -0.25, -0.06, -0.42),
        "ST": _wave(0.13, 0.045, 0.01, 0.01, 0.02),
        "T1": _wave(0.235, 0.050, 0.13, 0.10, 0.09),
        "T2": _wave(0.285, 0.032, 0.17, 0.13, 0.07),
    }


def diseased(waves: Waves, statements: Iterable[str], severity: float) -> Waves:
    """Waves of a beat of a heart with diseases.

    Parameters
    ----------
    waves : dict of str to Wave
        A healthy heart; not changed.
    statements : iterable of str
        Any of `IMI`, `AMI` (inferior and anterior infarction), `STD_`, `INVT` (ST depression,
        inverted T), `CLBBB`, `CRBBB` (bundle branch blocks), `LVH`, `1AVB`; others do nothing.
    severity : float
        0 leaves the heart healthy, 1 is the full picture.

    Returns
    -------
    dict of str to Wave
    """
    waves, s = dict(waves), severity
    found = set(statements)
    if "LVH" in found:  # tall voltages to the left and back, with strain
        waves["R"] = _scaled(waves["R"], 1 + 0.9 * s)
        waves["S"] = _scaled(waves["S"], 1 + 0.7 * s)
        _add(waves, "ST", -0.09 * s, -0.03 * s, 0.03 * s)
        _bend_t(waves, np.array([1 - 1.3 * s, 1 - 0.9 * s, 1 + 0.4 * s]))
    if "CLBBB" in found:  # late, slurred, to the left and back; septum from right to left
        waves["Q"] = _wave(-0.035, 0.016, 0.25 * s, 0.10 * s, -0.15 * s)
        waves["R"] = Wave(0.0, 0.0105 + 0.011 * s, _scaled(waves["R"], 0.75).vector)
        waves["S"] = _wave(0.055, 0.022, 0.75 * s, 0.10 * s, -0.60 * s)
        _add(waves, "ST", -0.10 * s, -0.05 * s, 0.14 * s)
        _bend_t(waves, np.array([1 - 1.9 * s, 1 - 1.5 * s, 1 + 0.9 * s]))
    if "CRBBB" in found:  # a late vector to the right and front
        waves["R'"] = _wave(0.062, 0.019, -0.60 * s, -0.08 * s, 0.75 * s)
        _bend_t(waves, np.array([1 + 0.1 * s, 1.0, 1 - 1.6 * s]))
    if "IMI" in found:  # dead inferior wall: first vector upwards
        waves["Qi"] = _wave(-0.024, 0.012, 0.05 * s, -0.62 * s, 0.0)
        waves["R"] = waves["R"]._replace(vector=waves["R"].vector * [1.0, 1 - 0.35 * s, 1.0])
        _add(waves, "ST", -0.02 * s, 0.13 * s, -0.03 * s)
        _bend_t(waves, np.array([1.0, 1 - 1.6 * s, 1.0]))
    if "AMI" in found:  # dead anterior wall: no first vector to the front
        waves["Qa"] = _wave(-0.024, 0.013, -0.10 * s, 0.0, -0.50 * s)
        _add(waves, "ST", 0.03 * s, -0.02 * s, 0.14 * s)
        _bend_t(waves, np.array([1 - 0.7 * s, 1.0, 1 - 2.0 * s]))
    if "STD_" in found:
        _add(waves, "ST", -0.11 * s, -0.10 * s, -0.05 * s)
        _bend_t(waves, np.array([1 - 0.5 * s, 1 - 0.5 * s, 1 - 0.3 * s]))
    if "INVT" in found:
        _bend_t(waves, np.full(3, 1 - 1.7 * s))
    if "1AVB" in found:  # 50 to 140 ms later
        for name in ("P1", "P2"):
            wave = waves[name]
            waves[name] = wave._replace(centre_s=wave.centre_s - 0.05 - 0.09 * s)
    return waves


def ectopic_waves(direction: np.ndarray) -> Waves:
    """Waves of a premature ventricular beat: wide, tall, no P, T against QRS.

    Parameters
    ----------
    direction : ndarray, shape (3,)
        Unit vector in which the beat spreads.
    """
    return {
        "R": Wave(-0.01, 0.028, 1.30 * direction),
        "S": Wave(0.06, 0.022, -0.45 * direction),
        "T1": Wave(0.29, 0.060, -0.38 * direction),
    }


def paced_waves() -> Waves:
    """Waves of a beat from a pacemaker in the right ventricle: a spike, then wide QRS."""
    waves = diseased(normal_waves(), ("CLBBB",), 1.0)
    for name in ("P1", "P2"):
        del waves[name]
    waves["R"] = waves["R"]._replace(vector=np.array([0.60, -0.75, -0.45]))
    waves["T2"] = waves["T2"]._replace(vector=np.array([-0.12, 0.28, 0.20]))
    waves["spike"] = _wave(-0.085, 0.0012, 0.5, 0.8, 0.2)
    return waves


def place_beats(rhythm: str, duration_s: float, rng: np.random.Generator) -> Beats:
    """R peaks of a rhythm, from before the record's first sample to after its last.

    Parameters
    ----------
    rhythm : str
        One of `RHYTHMS`: sinus, bradycardia, tachycardia, atrial fibrillation, single premature
        beats, bigeminy, pacemaker, first-degree block.
    duration_s : float
        Length of the record in seconds.
    rng : numpy Generator

    Returns
    -------
    Beats
    """
    low, high = {"SBRAD": (42.0, 57.0), "STACH": (103.0, 140.0), "AFIB": (65.0, 125.0)}.get(
        rhythm, (60.0, 75.0) if rhythm == "PACE" else (61.0, 96.0)
    )
    mean_rr = 60.0 / rng.uniform(low, high)
    n = int((duration_s + 4.0) / (0.4 * mean_rr)) + 4
    breath_hz, breath_phase = rng.uniform(0.2, 0.33), rng.uniform(0, 2 * np.pi)
    if rhythm == "AFIB":
        rr = np.clip(mean_rr * rng.lognormal(-0.03, 0.24, n), 0.32, 2.2)
    elif rhythm == "PACE":
        rr = np.full(n, mean_rr)
    else:
        swing = 0.03 * np.sin(2 * np.pi * breath_hz * mean_rr * np.arange(n) + breath_phase)
        rr = mean_rr * (1 + swing + 0.008 * rng.standard_normal(n))
    ectopic = np.zeros(n, dtype=bool)
    if rhythm == "BIGU":
        ectopic[rng.integers(2) :: 2] = True
    elif rhythm == "PVC":  # every three to nine beats, never two together
        at = np.cumsum(rng.integers(3, 10, n))
        ectopic[at[at < n]] = True
    early = rng.uniform(0.52, 0.68)
    before = np.where(ectopic, early * rr, rr)  # interval that ends in this beat
    after_ectopic = np.flatnonzero(ectopic[:-1]) + 1
    before[after_ectopic] = (2 - early) * rr[after_ectopic]  # compensatory pause
    times = -2.0 - mean_rr * rng.uniform() + np.cumsum(before)
    inside = times < duration_s + 1.0
    qt_scale = np.sqrt(np.clip(0.7 * mean_rr + 0.3 * before, 0.35, 1.6))
    return Beats(times[inside], ectopic[inside], qt_scale[inside])


def dipole(
    beats: Beats, waves: Waves, ectopic: Waves, strength: np.ndarray, n_times: int, rate_hz: float
) -> np.ndarray:
    """The heart vector over a record.

    Parameters
    ----------
    beats : Beats
    waves, ectopic : dict of str to Wave
        Waves of ordinary and of ectopic beats.
    strength : ndarray, shape (n_beats,)
        Factor on each beat (breathing moves the heart).
    n_times : int
        Samples; the first is at time 0.
    rate_hz : float

    Returns
    -------
    ndarray, shape (3, n_times)
        Millivolt.
    """
    width = int(np.ceil((BEAT_TO_S - BEAT_FROM_S) * rate_hz)) + 1
    pad = width + int(3 * rate_hz)
    out = np.zeros((3, n_times + 2 * pad))
    for kind, shape in ((False, waves), (True, ectopic)):
        rows = np.flatnonzero(beats.ectopic == kind)
        starts = np.ceil((beats.times_s[rows] + BEAT_FROM_S) * rate_hz).astype(int)
        for row, start in zip(rows, starts, strict=True):
            time_s = (start + np.arange(width)) / rate_hz - beats.times_s[row]
            begin = start + pad
            if begin + width > pad and begin < pad + n_times:
                out[:, begin : begin + width] += strength[row] * _beat(
                    shape, time_s, beats.qt_scale[row], rate_hz
                )
    return out[:, pad : pad + n_times]


def flutter(n_times: int, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """The small fast waves of fibrillating atria, strongest towards V1.

    Returns
    -------
    ndarray, shape (3, n_times)
        Millivolt.
    """
    time_s = np.arange(n_times) / rate_hz
    f_hz, swing_hz, start = rng.uniform(5.0, 8.0), rng.uniform(0.1, 0.4), rng.uniform(0, 6.28, 3)
    phase = 2 * np.pi * f_hz * time_s + 1.5 * np.sin(2 * np.pi * swing_hz * time_s + start[0])
    shape = np.sin(phase + start[1]) + 0.35 * np.sin(2 * phase + start[2])
    size = rng.uniform(0.03, 0.08) * (1 + 0.4 * np.sin(2 * np.pi * 0.7 * time_s + start[1]))
    return np.array([0.2, 0.6, 0.9])[:, None] * size * shape


def rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation by angles (radian) about x, y and z in turn; shape (3, 3)."""
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def _beat(waves: Waves, time_s: np.ndarray, qt_scale: float, rate_hz: float) -> np.ndarray:
    stretch = np.array([qt_scale if name[0] == "T" or name == "ST" else 1.0 for name in waves])
    centre = np.array([w.centre_s for w in waves.values()]) * stretch
    # A wave narrower than the sampling would come and go with the phase of the samples.
    width = np.maximum(np.array([w.width_s for w in waves.values()]) * stretch, 0.5 / rate_hz)
    vector = np.stack([w.vector for w in waves.values()])
    return vector.T @ np.exp(-0.5 * ((time_s - centre[:, None]) / width[:, None]) ** 2)


def _wave(centre_s: float, width_s: float, x: float, y: float, z: float) -> Wave:
    return Wave(centre_s, width_s, np.array([x, y, z]))


def _scaled(wave: Wave, factor: float) -> Wave:
    return wave._replace(vector=wave.vector * factor)


def _add(waves: Waves, name: str, x: float, y: float, z: float) -> None:
    waves[name] = waves[name]._replace(vector=waves[name].vector + [x, y, z])


def _bend_t(waves: Waves, factor: np.ndarray) -> None:
    for name in ("T1", "T2"):
        waves[name] = waves[name]._replace(vector=waves[name].vector * factor)
