"""Simulated EEG: a few sources that all channels see, so that a channel tells of its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from biojepa.data.montage import standard_xyz
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals


def waves(
    n: int, names: Sequence[str], *, n_times: int, sfreq: float = 128.0, seed: int = 0
) -> np.ndarray:
    """Microvolts (n, C, T): three oscillating sources, spread over the head, and white noise."""
    rng = np.random.default_rng(seed)
    xyz = standard_xyz(names)
    sources = xyz[rng.integers(len(xyz), size=3)]
    mixing = np.exp(-np.linalg.norm(xyz[:, None] - sources[None], axis=-1) / 0.05)
    hertz, phase = rng.uniform(4, 20, (n, 3, 1)), rng.uniform(0, 2 * np.pi, (n, 3, 1))
    oscillation = np.sin(2 * np.pi * hertz * np.arange(n_times) / sfreq + phase)
    return 15 * mixing @ oscillation + rng.standard_normal((n, len(xyz), n_times))


class Waves:
    """Windows of simulated EEG for the training loop."""

    def __init__(self, n: int, names: Sequence[str], *, n_times: int) -> None:
        self.values = torch.from_numpy(waves(n, names, n_times=n_times)).float()

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        return Signals(self.values[indices])
