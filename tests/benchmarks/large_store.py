"""A store of very many records with a full index and a payload of a few samples each."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from biojepa.data._shard import hash_file
from biojepa.data._store_layout import COLUMNS, TEXTS, Manifest, ShardEntry, write_manifest
from biojepa.data.store_writer import assemble_shard

SHARD_RECORDS, N_TIMES, CHANNELS = 4_000, 16, ("I", "II")


def write_large_store(folder: Path, n_records: int) -> Path:
    """Write records `r0000000`, ... of 16 samples at 100 Hz, shard by shard.

    Parameters
    ----------
    folder : Path
        Made if absent.
    n_records : int

    Returns
    -------
    Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for first in range(0, n_records, SHARD_RECORDS):
        numbers = range(first, min(first + SHARD_RECORDS, n_records))
        path = folder / f"shard-{len(entries):05d}.h5"
        assemble_shard(path, {name: io.BytesIO(raw) for name, raw in _columns(numbers).items()})
        entries.append(ShardEntry(path.name, hash_file(path), path.stat().st_size, len(numbers)))
    write_manifest(folder, Manifest(CHANNELS, "mV", {}, tuple(entries)))
    return folder


def _columns(numbers: range) -> dict[str, bytes]:
    n, block = len(numbers), len(CHANNELS) * N_TIMES
    wave = np.arange(block) % 7 - 3
    codes = wave + np.array(numbers)[:, None] % 1000  # tells records apart
    values = {
        "samples": codes,
        "start": np.arange(n) * block,
        "n_times": np.full(n, N_TIMES),
        "rate_hz": np.full(n, 100.0),
        "n_missing": np.zeros(n),
        "gain": np.full(n * len(CHANNELS), 1e-3),
        "offset": np.zeros(n * len(CHANNELS)),
    }
    found = {name: column.astype(COLUMNS[name]).tobytes() for name, column in values.items()}
    texts = {
        "record_id": [f"r{i:07d}" for i in numbers],
        "subject_id": [f"p{i // 3:07d}" for i in numbers],
        "source": [f"files/r{i:07d}.hea" for i in numbers],
        "source_sha256": [f"{i:064x}" for i in numbers],
    }
    for name in TEXTS:
        rows = [text.encode() for text in texts.get(name, [""] * n)]
        found[name] = b"".join(rows)
        found[f"{name}_end"] = np.cumsum([len(row) for row in rows]).astype("<i8").tobytes()
    return found
