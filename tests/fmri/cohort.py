"""Simulated runs: networks of regions with lagged activity, and a label that changes them."""

from __future__ import annotations

import numpy as np


def simulate_runs(
    n_runs: int = 24, *, n_regions: int = 20, n_times: int = 80, seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Runs (time, region) of unequal length, and their labels 0/1.

    The networks of the second class fluctuate more slowly.
    """
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((4, n_regions)) * (rng.random((4, n_regions)) < 0.5) + 0.1
    labels = np.arange(n_runs) % 2
    runs = []
    for label in labels:
        length = n_times + int(rng.integers(0, 20))
        drive = rng.standard_normal((length, 4))
        for t in range(1, length):
            drive[t] += (0.2 + 0.7 * label) * drive[t - 1]
        noise = rng.standard_normal((length, n_regions))
        offset = rng.uniform(5e3, 1e4, n_regions)
        runs.append((offset + 20 * (drive @ mix + 0.5 * noise)).astype(np.float32))
    return runs, labels
