from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eig

from biojepa.data.conditioning import filtered
from biojepa.eeg.ssvep import BAND_HZ, SSVEPCCA, SSVEPTRCA, narrow_bands, phase_consistency

HERTZ, RATE = (9.0, 13.0, 17.0), 128.0


@pytest.fixture(scope="module")
def trials():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    angle = 2 * np.pi * np.array(HERTZ)[y, None] * np.arange(384) / RATE
    wave = np.sin(angle) + 0.5 * np.sin(2 * angle)
    X = np.array([1.0, 0.5, -0.5, 0.2])[:, None] * wave[:, None]
    return X + 1.5 * rng.standard_normal(X.shape), y


def test_cca_finds_the_light_without_training(trials) -> None:
    X, y = trials
    assert (SSVEPCCA(HERTZ, sfreq=RATE).fit(X[:3], y[:3]).predict(X) == y).mean() > 0.9


def test_cca_is_blind_to_the_mixing_of_channels(trials) -> None:
    X, y = trials
    mixed = np.random.default_rng(1).standard_normal((4, 4)) @ X
    one, two = (SSVEPCCA(HERTZ, sfreq=RATE).fit(x, y).decision_function(x) for x in (X, mixed))
    assert np.allclose(one, two, atol=1e-8)


def test_trca_learns_lights_of_the_same_phase(trials) -> None:
    X, y = trials
    model = SSVEPTRCA(sfreq=RATE).fit(X[:15], y[:15])
    assert (model.predict(X[15:]) == y[15:]).mean() > 0.9
    assert np.abs(model.decision_function(X)).max() <= 1 + 1e-9


def test_trca_takes_channels_that_depend_on_each_other(trials) -> None:
    X, y = trials
    double = np.concatenate([X, X], axis=1)
    assert (SSVEPTRCA(sfreq=RATE).fit(double, y).predict(double) == y).mean() > 0.9


def test_trca_finds_the_filter_of_its_published_definition(trials) -> None:
    X, y = trials
    model = SSVEPTRCA(sfreq=RATE).fit(X, y)
    own = filtered(X[y == 1], BAND_HZ, RATE)
    own -= own.mean(axis=-1, keepdims=True)
    between = sum(a @ b.T for i, a in enumerate(own) for j, b in enumerate(own) if i != j)
    joined = np.concatenate(list(own), axis=1)
    values, vectors = eig(between, joined @ joined.T)
    best = vectors[:, values.real.argmax()].real
    ratio = model.filters_[:, 1] / best
    assert np.allclose(ratio, ratio[0], rtol=1e-3)


def test_phase_consistency_is_one_in_all_trials_alike_and_zero_at_random() -> None:
    rng = np.random.default_rng(0)
    angle = 2 * np.pi * 13.0 * np.arange(384) / RATE
    alike = np.sin(angle) * rng.uniform(1, 2, (20, 3, 1))
    assert phase_consistency(alike, 13.0, RATE) == pytest.approx(1)
    random = np.sin(angle + rng.uniform(0, 2 * np.pi, (400, 3, 1)))
    assert np.abs(phase_consistency(random, 13.0, RATE)).max() < 0.02


def test_narrow_bands_hold_each_light_apart(trials) -> None:
    X, y = trials
    bands = narrow_bands(X, HERTZ, RATE)
    power = (bands.reshape(30, 3, 4, -1) ** 2).mean(axis=(2, 3))
    assert (power.argmax(axis=1) == y).mean() > 0.9
