"""Simulated runs as plain arrays with two classes in turn, of the package's own simulator."""

from __future__ import annotations

import numpy as np

from biojepa.fmri.simulate import Effects, simulate_cohort

# the second class fluctuates more slowly, which features of any model see
SLOW = Effects(memory=0.8, person=0.0, noise=0.5)


def simulate_runs(
    n_runs: int = 24, *, n_regions: int = 20, n_times: int = 80, seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Runs (time, region) of at least `n_times` frames, lengths differ; labels 0, 1, 0, 1, ..."""
    cohort = simulate_cohort(
        4 * n_runs + 16,
        n_regions=n_regions,
        n_networks=min(6, n_regions),
        n_times=-(-4 * n_times // 3),
        effects=SLOW,
        random_state=seed,
    )
    group = cohort.column("group")
    labels = np.arange(n_runs) % 2
    queues = {k: iter(np.flatnonzero(group == k)) for k in (0, 1)}
    return [cohort.runs[next(queues[k])].values.T.copy() for k in labels], labels
