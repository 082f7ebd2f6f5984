"""Small recordings and stores for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biojepa.data.recording import Recording
from biojepa.data.store_writer import StoreWriter

LEADS = ("I", "II", "V1")


def make_recording(k: int, *, n_times: int = 50, on_grid: bool = True) -> Recording:
    """Recording number `k`, the same whenever it is made."""
    rng = np.random.default_rng(k)
    if on_grid:
        values = rng.integers(-3000, 3000, (len(LEADS), n_times)) / 1000
    else:
        values = rng.standard_normal((len(LEADS), n_times))
    return Recording(
        values=values.astype(np.float32),
        channels=LEADS,
        rate_hz=100.0 + k % 2 * 400,
        record_id=f"record-{k}",
        subject_id=f"patient-{k // 2}" if k % 5 else None,
        labels={"age": 40 + k, "codes": ["NORM"]},
        source=f"files/{k}.hea",
        sha256=f"{k:064x}",
        notes=("lead V1 repaired",) if k % 3 == 0 else (),
    )


def write_store(path: Path, n_records: int, *, shard_records: int = 4) -> Path:
    """A store of the first `n_records` recordings."""
    with StoreWriter(path, channels=LEADS, shard_records=shard_records) as writer:
        for k in range(n_records):
            writer.add(make_recording(k))
    return path


def read_for_prepare(path: str) -> Recording:
    """Read `<number>.x` files, of which those that hold no number are damaged."""
    from biojepa.errors import FormatError

    text = Path(path).read_text()
    if not text.isdigit():
        raise FormatError(f"{path}: expected a number, got {text!r}")
    return make_recording(int(text))
