"""Many small WFDB records of noise, written fast; for the benchmarks of reading and of memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biojepa.data.leads import STANDARD_12

STEPS_PER_MV = 1000


def write_records(folder: Path, n_records: int, *, n_times: int, rate_hz: int) -> Path:
    """Write format-16 records of 12 leads with correct checksums.

    Parameters
    ----------
    folder : Path
        Made if absent.
    n_records, n_times, rate_hz : int

    Returns
    -------
    Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    walk = rng.integers(-20, 21, size=(n_times + 500, 12)).cumsum(axis=0)
    trend = np.linspace(0, 1, len(walk))[:, None] * walk[-1]
    wave = (walk - trend).astype("<i2")  # some millivolt peak to peak
    for i in range(n_records):
        start = int(rng.integers(500))
        counts = wave[start : start + n_times]
        name = f"r{i:06d}"
        counts.tofile(folder / f"{name}.dat")
        sums = counts.sum(axis=0, dtype=np.int64) % 65536
        lines = [f"{name} 12 {rate_hz} {n_times}"]
        lines += [
            f"{name}.dat 16 {STEPS_PER_MV}(0)/mV 16 0 {first} {total} 0 {lead}"
            for first, total, lead in zip(counts[0], sums, STANDARD_12, strict=True)
        ]
        (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder
