"""Labelled 12-lead ECG cohorts out of a random generator.

SIMULATED DATA, for demonstrations and tests. No number in here was measured on a patient, no
result on these records says anything about patients, and nothing here has clinical meaning.

A record is a moving dipole (`simulate_beats`) seen by nine electrodes of one patient's body, with
electrode noise, digitised. Only I, II and V1-V6 are independent; the other four leads are derived
in the recorder's own steps of 1/1024 mV, so Einthoven's and Goldberger's identities hold exactly,
in float32 and in the files written. Record i depends on (seed, i) alone: any subset of a cohort is
the same whenever and wherever it is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from biojepa.data.leads import STANDARD_12
from biojepa.data.simulate_beats import (
    LEAD_VECTORS,
    RHYTHMS,
    dipole,
    diseased,
    ectopic_waves,
    flutter,
    normal_waves,
    paced_waves,
    place_beats,
    rotation,
)
from biojepa.data.simulated_cohort import (
    STEPS_PER_MV,
    ECGCohort,
    write_csv_cohort,
    write_wfdb_cohort,
)
from biojepa.errors import ConfigError

__all__ = [
    "KNOWN_CLASSES",
    "PREVALENCE",
    "RHYTHM_SHARES",
    "SUBCLASSES",
    "SUPERCLASSES",
    "ECGCohort",
    "SimulatedRecord",
    "simulate_ecg",
    "simulate_record",
    "write_csv_cohort",
    "write_wfdb_cohort",
]

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
SUBCLASSES = {
    "MI": {"IMI": 0.55, "AMI": 0.45},
    "STTC": {"STD_": 0.5, "INVT": 0.5},
    "CD": {"CLBBB": 0.25, "CRBBB": 0.45, "1AVB": 0.30},
    "HYP": {"LVH": 1.0},
}
KNOWN_CLASSES = (
    *SUPERCLASSES,
    *(name for group in SUBCLASSES.values() for name in group),
    *(r for r in RHYTHMS if r != "1AVB"),
)
# Close to PTB-XL's shares of the five superclasses; patients may have several, except NORM.
PREVALENCE = {"NORM": 0.44, "MI": 0.25, "STTC": 0.24, "CD": 0.22, "HYP": 0.12}
RHYTHM_SHARES = {
    "SR": 0.66,
    "SBRAD": 0.07,
    "STACH": 0.07,
    "AFIB": 0.08,
    "PVC": 0.06,
    "BIGU": 0.03,
    "PACE": 0.03,
}
_PATIENT, _HEART, _NOISE = 0, 1, 2  # purposes of the random streams
_ELECTRODES = np.zeros((8, 9))  # leads I, II, V1-V6 from electrodes RA, LA, LL, V1-V6
_ELECTRODES[0, [1, 0]] = _ELECTRODES[1, [2, 0]] = 1, -1
_ELECTRODES[2:, :3] = -1 / 3
_ELECTRODES[2:, 3:] = np.eye(6)


@dataclass(frozen=True)
class SimulatedRecord:
    """One simulated record: `values` (12, n_times) in mV, and what is known of it."""

    values: np.ndarray
    statements: frozenset[str]
    rhythm: str
    patient_id: int
    age: float
    sex: int


def simulate_ecg(
    n_records: int,
    *,
    rate_hz: float = 500.0,
    duration_s: float = 10.0,
    classes: Sequence[str] = SUPERCLASSES,
    prevalence: Mapping[str, float] | None = None,
    n_patients: int | None = None,
    noise_mv: float = 0.015,
    random_state: int = 0,
) -> ECGCohort:
    """Simulate a labelled cohort. For demonstration and tests; carries no clinical meaning.

    Parameters
    ----------
    n_records : int
    rate_hz : float
        Samples per second, 50 or more.
    duration_s : float
        Length of each record in seconds.
    classes : sequence of str
        Columns of `y`, any of `KNOWN_CLASSES`: superclasses, subclasses and rhythms.
    prevalence : mapping of str to float, optional
        Share of patients with each superclass; missing ones keep `PREVALENCE`.
    n_patients : int, optional
        Records are dealt to this many patients in turn. By default every fourth patient has
        two records and the others one.
    noise_mv : float
        Root mean square of muscle noise per electrode in millivolt; baseline wander, mains hum
        and electrode steps grow with it. 0 is a clean record.
    random_state : int
        Seed.

    Returns
    -------
    ECGCohort

    Raises
    ------
    ConfigError
        If a class is unknown, a share impossible, or a size not positive.
    """
    unknown = [name for name in classes if name not in KNOWN_CLASSES]
    if unknown or not classes:
        raise ConfigError(
            f"expected classes among {', '.join(KNOWN_CLASSES)}, got {list(classes)}: "
            f"remove or rename {unknown or 'nothing, but name at least one'}"
        )
    if n_records < 1:
        raise ConfigError(f"expected n_records of at least 1, got {n_records}")
    records = [
        simulate_record(
            random_state,
            index,
            rate_hz=rate_hz,
            duration_s=duration_s,
            prevalence=prevalence,
            n_patients=n_patients,
            noise_mv=noise_mv,
        )
        for index in range(n_records)
    ]
    known = [r.statements | {r.rhythm} for r in records]
    return ECGCohort(
        values=np.stack([r.values for r in records]),
        leads=STANDARD_12,
        rate_hz=float(rate_hz),
        y=np.array([[name in k for name in classes] for k in known], dtype=np.uint8),
        classes=tuple(classes),
        patient_id=np.array([r.patient_id for r in records], dtype=np.int64),
        record_id=np.array([f"sim{index:05d}" for index in range(n_records)]),
        rhythm=np.array([r.rhythm for r in records]),
        age=np.array([r.age for r in records], dtype=np.float32),
        sex=np.array([r.sex for r in records], dtype=np.uint8),
    )


def simulate_record(
    seed: int,
    index: int,
    *,
    rate_hz: float = 500.0,
    duration_s: float = 10.0,
    prevalence: Mapping[str, float] | None = None,
    n_patients: int | None = None,
    noise_mv: float = 0.015,
) -> SimulatedRecord:
    """Simulate record `index` of the cohort `seed`, the same as in `simulate_ecg`.

    The beats do not depend on the rate: 100 Hz and 500 Hz show the same heart.

    Parameters
    ----------
    seed, index : int
        Both 0 or more.
    rate_hz, duration_s, prevalence, n_patients, noise_mv
        As in `simulate_ecg`.

    Returns
    -------
    SimulatedRecord

    Raises
    ------
    ConfigError
        As `simulate_ecg`.
    """
    _check(seed, index, rate_hz, duration_s, n_patients, noise_mv)
    unknown = set(prevalence or {}) - set(SUPERCLASSES)
    if unknown:
        raise ConfigError(
            f"expected prevalence of {', '.join(SUPERCLASSES)}, got {sorted(unknown)}: rename them"
        )
    n_times = round(duration_s * rate_hz)
    if n_patients is None:
        patient_id = 4 * (index // 5) + min(index % 5, 3)
    else:
        patient_id = index % n_patients

    # The patient: the same in every record.
    rng = np.random.default_rng([seed, _PATIENT, patient_id])
    statements = _diagnoses({**PREVALENCE, **(prevalence or {})}, rng)
    sick = "NORM" not in statements
    severity = 0.12 + 0.78 * rng.beta(1.3, 1.5)
    age = float(np.clip(rng.normal(66 if sick else 52, 15), 18, 89).round())
    sex = int(rng.integers(2))
    angles = np.deg2rad([4.0, 10.0, 20.0]) * rng.standard_normal(3)
    size = rng.lognormal(0.0, 0.22) * (1.0 if sex else 1.1)
    placement = np.r_[1.0, 1.0, rng.lognormal(0.0, 0.15, 6)]
    repolarisation = rng.lognormal(-0.03, 0.25)
    waves = normal_waves(pr=rng.normal(1.0, 0.09), qrs=rng.normal(1.0, 0.06))
    for name in ("T1", "T2"):
        waves[name] = waves[name]._replace(vector=waves[name].vector * repolarisation)
    focus = rng.standard_normal(3)
    ectopic = ectopic_waves(focus / np.linalg.norm(focus))
    leads = placement[:, None] * (LEAD_VECTORS @ rotation(angles)) * size

    # The heart in this record.
    rng = np.random.default_rng([seed, _HEART, index])
    rhythm = str(rng.choice(list(RHYTHM_SHARES), p=list(RHYTHM_SHARES.values())))
    if "1AVB" in statements:
        rhythm = "1AVB"
    waves = diseased(waves, statements, severity * rng.uniform(0.9, 1.1))
    if rhythm == "PACE":
        waves = paced_waves()
    if rhythm == "AFIB":
        waves = {name: wave for name, wave in waves.items() if name not in ("P1", "P2")}
    beats = place_beats(rhythm, duration_s, rng)
    breath = 2 * np.pi * rng.uniform(0.2, 0.33) * beats.times_s + rng.uniform(0, 2 * np.pi)
    strength = 1 + 0.05 * np.sin(breath) + 0.01 * rng.standard_normal(len(breath))
    heart = dipole(beats, waves, ectopic, strength, n_times, rate_hz)
    if rhythm == "AFIB":
        heart = heart + flutter(n_times, rate_hz, rng)

    signal = leads @ heart
    if noise_mv > 0:
        noise = np.random.default_rng([seed, _NOISE, index])
        signal = signal + _ELECTRODES @ _electrode_noise(n_times, rate_hz, noise_mv, noise)
    return SimulatedRecord(_twelve_leads(signal), statements, rhythm, patient_id, age, sex)


def _diagnoses(prevalence: Mapping[str, float], rng: np.random.Generator) -> frozenset[str]:
    """Draw superclasses and their subclasses; healthy patients are NORM and nothing else."""
    sets, weights = _disease_sets(tuple(prevalence[name] for name in SUPERCLASSES))
    draw, pick = rng.uniform(), rng.uniform(size=len(SUPERCLASSES))
    healthy = prevalence["NORM"]
    if draw < healthy:
        return frozenset({"NORM"})
    at = np.searchsorted(np.cumsum(weights), (draw - healthy) / (1 - healthy), side="right")
    found = set(sets[min(int(at), len(sets) - 1)])
    for name, part in zip(sorted(found), pick, strict=False):
        kinds = SUBCLASSES[name]
        which = np.searchsorted(np.cumsum(list(kinds.values())), part, side="right")
        found.add(list(kinds)[min(int(which), len(kinds) - 1)])
    return frozenset(found)


@lru_cache(maxsize=8)
def _disease_sets(shares: tuple[float, ...]) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Every non-empty set of diseases with its probability among the sick.

    Diseases are independent apart from that there is at least one; the odds are scaled until
    each keeps its share of all patients.
    """
    healthy, sick = shares[0], np.array(shares[1:])
    if min(shares) < 0 or healthy >= 1 or (sick > 1 - healthy).any() or sum(shares) < 1:
        raise ConfigError(
            f"expected shares of {', '.join(SUPERCLASSES)} between 0 and 1 that add up to 1 or "
            f"more, none above 1 - NORM, got {shares}: raise NORM or the diseases"
        )
    share = sick / (1 - healthy)
    low, high = 0.0, 1.0  # bisect the chance that independent draws find any disease
    for _ in range(60):
        middle = (low + high) / 2
        if 1 - np.prod(1 - share * middle) > middle:
            low = middle
        else:
            high = middle
    chance = share * max(high, 1e-6)
    member = np.array(list(product((0, 1), repeat=len(sick)))[1:])
    weights = np.prod(np.where(member == 1, chance, 1 - chance), axis=1)
    names = np.array(SUPERCLASSES[1:])
    return [tuple(names[m == 1]) for m in member], weights / weights.sum()


def _electrode_noise(
    n_times: int, rate_hz: float, noise_mv: float, rng: np.random.Generator
) -> np.ndarray:
    """Noise of RA, LA, LL, V1-V6 in millivolt, shape (9, n_times)."""
    time_s = np.arange(n_times) / rate_hz
    level = noise_mv * rng.lognormal(-0.1, 0.5)
    # Breathing and drift: slow waves, partly common to all electrodes.
    slow_hz = np.r_[rng.uniform(0.2, 0.33), rng.uniform(0.03, 0.15, 2)]
    phase = rng.uniform(0, 2 * np.pi, (9, 3))
    size = level * rng.normal(0, [1.5, 2.5, 2.5], (9, 3))
    angle = 2 * np.pi * slow_hz[:, None] * time_s
    noise = (size * np.cos(phase)) @ np.sin(angle) + (size * np.sin(phase)) @ np.cos(angle)
    # Mains hum, where the rate can show it.
    mains_hz = float(rng.choice([50.0, 60.0]))
    hum = level * 0.3 * rng.exponential(1.0, 9)
    hum_phase = rng.uniform(0, 2 * np.pi, 9)
    if mains_hz < 0.45 * rate_hz:
        noise += hum[:, None] * np.sin(2 * np.pi * mains_hz * time_s + hum_phase[:, None])
    # Now and then one electrode jumps and settles.
    if rng.uniform() < 0.15:
        electrode, at_s = rng.integers(9), rng.uniform(0, n_times / rate_hz)
        jump, settle_s = level * rng.normal(0, 20), rng.uniform(0.3, 1.5)
        late_s = np.maximum(time_s - at_s, 0.0)
        noise[electrode] += np.where(time_s >= at_s, jump * np.exp(-late_s / settle_s), 0.0)
    # Muscle, band-limited by differencing with a mean: last, so the rest ignores the rate.
    muscle = rng.standard_normal((9, n_times + 1), dtype=np.float32)
    return noise + (level / 1.25) * (muscle[:, 1:] - 0.75 * muscle[:, :-1])


def _twelve_leads(independent: np.ndarray) -> np.ndarray:
    """Digitise I, II, V1-V6 and derive the other four leads; (12, n_times) float32 mV."""
    steps = 2 * np.rint(np.clip(independent, -15.0, 15.0) * (STEPS_PER_MV / 2))
    one, two = steps[0], steps[1]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    return (np.concatenate([limb, steps[2:]]) / STEPS_PER_MV).astype(np.float32)


def _check(
    seed: int,
    index: int,
    rate_hz: float,
    duration_s: float,
    n_patients: int | None,
    noise_mv: float,
) -> None:
    if seed < 0 or index < 0:
        raise ConfigError(f"expected a seed and an index of 0 or more, got {seed} and {index}")
    if not (50 <= rate_hz <= 10_000 and 1 <= duration_s <= 86_400):
        raise ConfigError(
            f"expected 50 to 10,000 Hz and 1 to 86,400 s, got {rate_hz} Hz and {duration_s} s"
        )
    if n_patients is not None and n_patients < 1:
        raise ConfigError(f"expected n_patients of at least 1, got {n_patients}")
    if not 0 <= noise_mv <= 1:
        raise ConfigError(f"expected noise_mv from 0 to 1 mV, got {noise_mv}")
