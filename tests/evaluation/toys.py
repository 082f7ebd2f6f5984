"""Signals whose class means are shifted, and a classifier that reads the mean."""

from __future__ import annotations

import numpy as np

from biojepa.evaluation.rows import LabelledSignals, PriorClassifier, Row


class MeanClassifier:
    """Correlation of each channel's mean with each label; `noise` spoils the scores."""

    def __init__(self, noise: float, seed: int) -> None:
        self.noise, self.seed = noise, seed
        self.groups: list = []

    def fit(self, X, y, *, groups=None):
        self.groups = groups
        z = X.mean(-1)
        self.weights = np.linalg.lstsq(z - z.mean(0), y - y.mean(0), rcond=None)[0]
        return self

    def decision_function(self, X):
        rng = np.random.default_rng([self.seed, len(X)])
        clean = X.mean(-1) @ self.weights
        return 4 * clean + self.noise * rng.standard_normal(clean.shape)


def cohort(n: int = 200, seed: int = 0) -> LabelledSignals:
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < [0.5, 0.3, 0.2]).astype(float)
    X = rng.standard_normal((n, 4, 50)) * 2.0
    X[:, :3] += y[:, :, None]
    patients = np.array([f"p{i // 2}" for i in range(n)])
    return LabelledSignals(X.astype(np.float32), y, patients, ("A", "B", "C"))


def row(name: str, kind: str, noise: float = 0.0) -> Row:
    return Row(name, f"the {name}", kind, lambda seed, X: MeanClassifier(noise, seed))


CHANCE = Row("chance", "chance", "chance", lambda seed, X: PriorClassifier(random_state=seed))
