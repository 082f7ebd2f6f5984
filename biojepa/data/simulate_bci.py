"""Simulated brain-computer interfaces whose classes can be told apart, but not always.

Motor imagery: the mu rhythm under C3 or C4 fades over the hemisphere opposite to the hand. ERP: a
rare stimulus is followed by a parietal wave at 350 ms. SSVEP: the occipital cortex follows a light
and its second harmonic. Background is 1/f activity of sources that several electrodes share, so
that a channel tells of its neighbours. For demonstration and tests; no clinical meaning.

Letters: C channels, S sources, T samples.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from biojepa.data.bci import RATE_HZ, BCIRecordings, BCIRun, condition
from biojepa.data.montage import standard_xyz
from biojepa.errors import ConfigError

Paradigm = Literal["mi", "erp", "ssvep"]

CHANNELS: dict[str, tuple[str, ...]] = {
    "mi": ("FC3", "FCz", "FC4", "C3", "Cz", "C4", "CP3", "CPz", "CP4", "Pz"),
    "erp": ("Fz", "Cz", "P3", "Pz", "P4", "PO7", "Oz", "PO8"),
    "ssvep": ("Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4"),
}
FLICKER_HZ = (13, 17, 21)
SPREAD_M = 0.04  # how far a source is seen
N_SOURCES, BACKGROUND_UV, SENSOR_UV = 8, 8.0, 2.0
# chosen so that the usual baselines score well above chance and below 1
MU_UV, DESYNCHRONISED, P300_UV, FLICKER_UV = 7.0, 0.45, 6.0, 2.0
_TRIAL_S = {"mi": 4.2, "erp": 0.6, "ssvep": 6.0}


def simulate_bci(
    paradigm: Paradigm,
    *,
    n_subjects: int = 4,
    n_runs: int = 3,
    n_trials: int = 20,
    random_state: int = 0,
) -> BCIRecordings:
    """Continuous runs with marked trials.

    Parameters
    ----------
    paradigm : {"mi", "erp", "ssvep"}
    n_subjects, n_runs : int
    n_trials : int
        Of a run; in "mi" as many times of rest stand between them, in "erp" a fifth are targets.
    random_state : int

    Returns
    -------
    BCIRecordings
        Labels are those of the public recordings (`biojepa.data.bci_folders`).

    Raises
    ------
    ConfigError
        If the paradigm is unknown, or there are fewer than 5 trials.
    """
    if paradigm not in get_args(Paradigm):
        raise ConfigError(f"expected a paradigm of {get_args(Paradigm)}, got {paradigm!r}")
    if n_trials < 5 or n_subjects < 1 or n_runs < 1:
        raise ConfigError(
            f"expected 5 trials, a subject and a run, got {n_trials}, {n_subjects} and {n_runs}"
        )
    xyz = standard_xyz(CHANNELS[paradigm])
    runs = []
    for s in range(n_subjects):
        person = np.random.default_rng([random_state, s])
        traits = _Traits(person, xyz)
        for r in range(n_runs):
            rng = np.random.default_rng([random_state, s, r + 1])
            labels = _labels(paradigm, n_trials, rng)
            step = round(_TRIAL_S[paradigm] * RATE_HZ)
            onsets = step + step * np.arange(len(labels))
            n_times = int(onsets[-1]) + step + round(2 * RATE_HZ)
            values = traits.background(n_times, rng)
            values += _EFFECTS[paradigm](traits, labels, onsets, n_times, rng)
            kept = condition(values, RATE_HZ)
            runs.append(BCIRun(f"sim{s + 1:02d}", f"run{r + 1}", kept, onsets, tuple(labels)))
    title = f"simulated {paradigm.upper()}"
    return BCIRecordings(title, tuple(runs), CHANNELS[paradigm], simulated=True)


class _Traits:
    """What stays the same in a person: sources, their places, rhythm, delay."""

    def __init__(self, rng: np.random.Generator, xyz: NDArray[np.float64]) -> None:
        self.xyz = xyz
        centre, size = xyz.mean(axis=0), xyz.std(axis=0)
        self.sources = centre + size * rng.standard_normal((N_SOURCES, 3))
        self.rhythm_hz = rng.uniform(9.5, 12.5)
        self.delay_s = rng.uniform(-0.03, 0.03)
        self.strength = rng.uniform(0.8, 1.2)
        self.phase = rng.uniform(0, 2 * np.pi, len(FLICKER_HZ))

    def seen(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of a source at a place that each channel sees, (C,)."""
        return np.exp(-((np.linalg.norm(self.xyz - place, axis=-1) / SPREAD_M) ** 2) / 2)

    def background(self, n_times: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """1/f sources and white noise of the sensors, (C, T)."""
        mixing = np.stack([self.seen(place) for place in self.sources], axis=1)
        spectrum = np.fft.rfft(rng.standard_normal((N_SOURCES, n_times)))
        hertz = np.fft.rfftfreq(n_times, 1 / RATE_HZ)
        pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 0.5)), n_times)
        pink *= BACKGROUND_UV / pink.std(axis=1, keepdims=True)
        return mixing @ pink + SENSOR_UV * rng.standard_normal((len(self.xyz), n_times))

    def rhythm(self, n_times: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Noise of two hertz around the person's own rhythm, of standard deviation 1."""
        band = (self.rhythm_hz - 1, self.rhythm_hz + 1)
        sections = signal.butter(2, band, "bandpass", fs=RATE_HZ, output="sos")
        x = signal.sosfiltfilt(sections, rng.standard_normal(n_times))
        return x / x.std()


def _labels(paradigm: str, n_trials: int, rng: np.random.Generator) -> list[str]:
    if paradigm == "mi":
        hands = rng.permutation(np.resize(["left", "right"], n_trials)).tolist()
        return [label for hand in hands for label in ("rest", hand)]
    if paradigm == "erp":
        rare = np.resize(["target", *["non-target"] * 4], n_trials)
        return [str(label) for label in rng.permutation(rare)]
    names = np.resize([f"{hertz} Hz" for hertz in FLICKER_HZ], n_trials)
    blocks = [rng.permutation(names[i : i + 6]) for i in range(0, n_trials, 6)]
    return [str(label) for label in np.concatenate(blocks)]  # each stretch of time has all of them


def _imagery(
    traits: _Traits,
    labels: list[str],
    onsets: NDArray,
    n_times: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    fade = {"C3": np.ones(n_times), "C4": np.ones(n_times)}
    for label, onset in zip(labels, onsets, strict=True):
        if label != "rest":
            over, other = ("C4", "C3") if label == "left" else ("C3", "C4")
            span = slice(onset, onset + round(4.0 * RATE_HZ))
            depth = DESYNCHRONISED * traits.strength * rng.uniform(0.5, 1.5)
            fade[over][span] -= min(1.0, depth)
            fade[other][span] -= 0.3 * min(1.0, depth)
    total = np.zeros((len(traits.xyz), n_times))
    window = signal.windows.hann(round(0.5 * RATE_HZ))
    for name, level in fade.items():
        smooth = signal.convolve(level, window / window.sum(), mode="same")
        rhythm = MU_UV * smooth * traits.rhythm(n_times, rng)
        total += np.outer(traits.seen(standard_xyz([name])[0]), rhythm)
    return total


def _oddball(
    traits: _Traits,
    labels: list[str],
    onsets: NDArray,
    n_times: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    time = np.arange(n_times) / RATE_HZ
    total = np.zeros((len(traits.xyz), n_times))
    places = {name: traits.seen(standard_xyz([name])[0]) for name in ("Pz", "Oz")}
    for label, onset in zip(labels, onsets, strict=True):
        seen = time - onset / RATE_HZ
        total += np.outer(places["Oz"], -3.0 * np.exp(-(((seen - 0.17) / 0.03) ** 2) / 2))
        if label == "target":
            peak = 0.35 + traits.delay_s + 0.03 * rng.standard_normal()
            size = P300_UV * traits.strength * rng.uniform(0.5, 1.5)
            total += np.outer(places["Pz"], size * np.exp(-(((seen - peak) / 0.08) ** 2) / 2))
    return total


def _flicker(
    traits: _Traits,
    labels: list[str],
    onsets: NDArray,
    n_times: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    total = np.zeros((len(traits.xyz), n_times))
    seen = traits.seen(standard_xyz(["Oz"])[0])
    for label, onset in zip(labels, onsets, strict=True):
        hertz = int(label.split()[0])
        length = round(5.0 * RATE_HZ)
        angle = 2 * np.pi * hertz * np.arange(length) / RATE_HZ
        angle += traits.phase[FLICKER_HZ.index(hertz)] + 0.3 * rng.standard_normal()
        wave = np.cos(angle) + 0.5 * np.cos(2 * angle)
        size = FLICKER_UV * traits.strength * rng.uniform(0.4, 1.4)
        total[:, onset : onset + length] += np.outer(seen, size * wave)
    return total


_EFFECTS = {"mi": _imagery, "erp": _oddball, "ssvep": _flicker}
