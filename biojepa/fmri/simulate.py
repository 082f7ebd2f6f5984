"""Simulated runs of people whose age and group are written into their connectivity.

Networks of regions fluctuate together: each follows its own past and, with a delay, that of the
network before it; what drives two networks is correlated. Age separates the networks (less
correlation between them, more within), a group weakens one coupling and its delay, sex shifts
another; every person differs from that at random, so nothing is perfectly predictable. Sites differ
in noise, smoothness, length and repetition time, and the share of the group differs between sites,
so that the site alone says something about the group. Bold responses are a short smoothing of the
network activity, regions sit on large constant offsets as raw BOLD does.

For demonstration and tests. It carries no medical meaning, and no model may see its parameters.
Letters: n people, K networks, R regions, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biojepa.data.recording import Recording
from biojepa.errors import ConfigError
from biojepa.fmri.cohort import BrainCohort

AGES = (6.0, 40.0)  # years
ADULT = 18.0
RESPONSE = np.array([0.1, 0.3, 0.35, 0.2, 0.05])  # of activity, frames; sums to 1
LAG = 2  # frames by which a network follows the one before it
SETTLE = 20  # frames that are thrown away at the start


@dataclass(frozen=True)
class Effects:
    """How strongly people differ.

    Parameters
    ----------
    age : float
        Change of the correlation between networks over the range of ages.
    group : float
        Change of one coupling, and of its delayed part, between the groups.
    sex : float
        Change of another.
    memory : float
        How much more of its past the group's activity keeps; 0 in a cohort that is to be hard.
    person : float
        Standard deviation of what is each person's own.
    noise : float
        Of a region, in units of the activity.
    """

    age: float = 0.35
    group: float = 0.3
    sex: float = 0.2
    memory: float = 0.0
    person: float = 0.12
    noise: float = 0.9


@dataclass(frozen=True)
class Site:
    """A scanner: seconds a frame, frames, added noise, shared noise, share of the group."""

    name: str
    tr_s: float
    n_times: int
    noise: float
    shared: float
    group: float


def simulate_cohort(
    n_subjects: int = 90,
    *,
    n_regions: int = 36,
    n_networks: int = 6,
    n_times: int = 160,
    tr_s: float = 2.0,
    n_sites: int = 3,
    effects: Effects = Effects(),
    random_state: int = 0,
) -> BrainCohort:
    """One run of each of so many people.

    Parameters
    ----------
    n_subjects, n_regions, n_networks : int
    n_times : int
        Frames of the first site; others scan 25 % longer or shorter.
    tr_s : float
        Repetition time of the first site, seconds.
    n_sites : int
        1 to 3.
    effects : Effects
    random_state : int

    Returns
    -------
    BrainCohort
        Table: `age` (years), `adult` (0/1), `sex` ("F"/"M"), `group` (0/1), `site`.

    Raises
    ------
    ConfigError
        If there are fewer regions than networks, or fewer than 3 networks.
    """
    if not 3 <= n_networks <= n_regions or not 1 <= n_sites <= 3 or n_subjects < 2:
        raise ConfigError(
            "expected 3 or more networks, as many regions, 1 to 3 sites and 2 or more subjects, "
            f"got {n_networks}, {n_regions}, {n_sites} and {n_subjects}"
        )
    rng = np.random.default_rng(random_state)
    sites = _sites(n_sites, n_times, tr_s)
    place = np.sort(np.arange(n_subjects) % n_sites)
    rng.shuffle(place)
    age = rng.uniform(*AGES, n_subjects)
    sex = rng.integers(0, 2, n_subjects)
    group = (rng.random(n_subjects) < np.array([sites[k].group for k in place])).astype(int)
    loadings = _loadings(rng, n_networks, n_regions)
    names = tuple(f"{_NAMES[k % len(_NAMES)]} {i}" for i, k in enumerate(loadings.argmax(axis=0)))
    runs = []
    for i in range(n_subjects):
        years = (age[i] - AGES[0]) / (AGES[1] - AGES[0]) - 0.5
        coupling, delay, memory = _person(rng, n_networks, effects, years, group[i], sex[i])
        activity = _activity(rng, coupling, delay, memory, sites[place[i]].n_times)
        own = loadings * np.exp(0.15 * rng.standard_normal(loadings.shape))
        values = _series(rng, activity, own, sites[place[i]], effects.noise)
        subject = f"sub-{i:03d}"
        site = sites[place[i]]
        runs.append(
            Recording(values, names, 1.0 / site.tr_s, "arbitrary", subject, subject_id=subject)
        )
    table = pd.DataFrame(
        {
            "age": age,
            "adult": (age >= ADULT).astype(int),
            "sex": np.where(sex, "F", "M"),
            "group": group,
            "site": [sites[k].name for k in place],
        }
    )
    title = f"{n_subjects} simulated people, {n_regions} regions, {n_sites} sites"
    return BrainCohort("simulated", title, tuple(runs), table, simulated=True)


_NAMES = ("visual", "motor", "attention", "salience", "control", "default", "limbic")


def _sites(n_sites: int, n_times: int, tr_s: float) -> list[Site]:
    # the share of the group differs, as where patients are scanned at one hospital more than others
    all_sites = [
        Site("A", tr_s, n_times, 0.0, 0.1, 0.35),
        Site("B", 0.75 * tr_s, n_times * 5 // 4, 0.3, 0.3, 0.5),
        Site("C", 1.25 * tr_s, n_times * 3 // 4, 0.15, 0.0, 0.75),
    ]
    return all_sites[:n_sites]


def _loadings(rng: np.random.Generator, n_networks: int, n_regions: int) -> NDArray[np.float64]:
    """How much of each network a region shows, (K, R): one mostly, others a little."""
    main = np.arange(n_regions) * n_networks // n_regions
    loadings = (
        0.25
        * rng.standard_normal((n_networks, n_regions))
        * (rng.random((n_networks, n_regions)) < 0.4)
    )
    loadings[main, np.arange(n_regions)] = rng.uniform(0.7, 1.3, n_regions)
    return loadings


def _person(
    rng: np.random.Generator, K: int, effects: Effects, years: float, group: int, sex: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of the drives (K, K), delayed coupling (K,), memory (K,) of one person."""
    own = effects.person * rng.standard_normal((K, K))
    own = (own + own.T) / 2**0.5
    far = np.abs(np.subtract.outer(np.arange(K), np.arange(K)))
    coupling = 0.35 / np.maximum(far, 1) - effects.age * years * (far > 1) * 0.8
    coupling = coupling + effects.age * years * (far == 1) * 0.6 + own
    sign = group - 0.5
    coupling[0, 2] -= effects.group * sign
    coupling[1, 2] += effects.sex * (sex - 0.5)
    coupling = np.triu(coupling, 1)
    coupling = coupling + coupling.T + np.eye(K)
    values, vectors = np.linalg.eigh(coupling)
    coupling = (vectors * np.clip(values, 0.1, None)) @ vectors.T
    scale = np.sqrt(np.diag(coupling))
    delay = 0.25 + 0.5 * effects.person * rng.standard_normal(K)
    delay[2] -= effects.group * sign
    memory = 0.5 + 0.5 * effects.person * rng.standard_normal(K) + effects.memory * sign
    return coupling / np.outer(scale, scale), delay, np.clip(memory, 0.05, 0.9)


def _activity(
    rng: np.random.Generator,
    coupling: NDArray[np.float64],
    delay: NDArray[np.float64],
    memory: NDArray[np.float64],
    n_times: int,
) -> NDArray[np.float64]:
    """Activity of the networks, (T, K), each of variance 1."""
    K = len(coupling)
    drive = rng.standard_normal((n_times + SETTLE, K)) @ np.linalg.cholesky(coupling).T
    activity = drive.copy()
    for t in range(LAG, len(drive)):
        activity[t] += memory * activity[t - 1]
        activity[t, 1:] += delay[1:] * (1 - memory[1:]) * activity[t - LAG, :-1]
    smooth = np.stack([np.convolve(a, RESPONSE)[: len(a)] for a in activity.T], axis=1)
    smooth = smooth[SETTLE:]
    return (smooth - smooth.mean(axis=0)) / smooth.std(axis=0)


def _series(
    rng: np.random.Generator,
    activity: NDArray[np.float64],
    loadings: NDArray[np.float64],
    site: Site,
    noise: float,
) -> NDArray[np.float32]:
    """BOLD of the regions, (R, T): activity, the site's noise, a drift, an offset."""
    T, R = len(activity), loadings.shape[1]
    level = noise + site.noise
    values = activity @ loadings + level * rng.standard_normal((T, R))
    values += site.shared * rng.standard_normal((T, 1))  # seen by the whole brain
    drift = np.linspace(-1, 1, T)[:, None] * rng.normal(0, 0.3, R)
    offset = rng.uniform(5e3, 1e4, R)
    return np.ascontiguousarray((offset + 20 * (values + drift)).T, dtype=np.float32)
