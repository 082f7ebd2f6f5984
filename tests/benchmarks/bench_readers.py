"""Reading WFDB format 16 and random access to a store: `python -m tests.benchmarks.bench_readers`.

200 records of 12 leads x 5,000 samples, in the page cache: `read_wfdb` (checksums verified, with
and without the SHA-256) against `wfdb.rdrecord`. Then records of a `SignalStore` at random, one by
one and in batches of 64, against `np.memmap` of the same codes with gain and offset applied. One
thread.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from biojepa.data.leads import STANDARD_12
from biojepa.data.recording import Recording
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.data.wfdb_reader import read_wfdb
from tests.benchmarks.measure import alternate, bar, ratio, report, seconds
from tests.benchmarks.synthetic import write_records

N_RECORDS, N_TIMES, BATCH = 200, 5000, 64
N_STORED, N_READS = 600, 1280


def readers(folder: Path) -> tuple[dict[str, list], dict[str, dict[str, float]]]:
    """Seconds per record of each reader, and how many times faster than wfdb."""
    with warnings.catch_warnings():
        # wfdb builds a table at import with a pandas argument on its way out
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb
    paths = [str(p.with_suffix("")) for p in sorted(folder.glob("*.hea"))]
    exact = wfdb.rdrecord(paths[0]).p_signal.T
    np.testing.assert_allclose(read_wfdb(paths[0]).values, exact, rtol=1e-6, atol=1e-6)

    def each(read: Callable[[str], object]) -> Callable[[], float]:
        def one_after_the_other() -> None:
            for path in paths:  # none is kept: memory of 200 records would be timed with them
                read(path)

        return lambda: seconds(one_after_the_other) / len(paths)

    figures = alternate(
        {
            "wfdb.rdrecord": each(wfdb.rdrecord),
            "ours, checksums": each(read_wfdb),
            "ours, checksums and sha256": each(lambda path: read_wfdb(path, digest=True)),
            "ours, not verified": each(lambda path: read_wfdb(path, verify=False)),
        }
    )
    slow = figures["wfdb.rdrecord"]
    return figures, {name: ratio(slow, found) for name, found in figures.items()}


def make_store(folder: Path) -> SignalStore:
    """A store whose records have a gain and an offset of their own."""
    rng = np.random.default_rng(1)
    with StoreWriter(folder, channels=STANDARD_12) as writer:
        for i in range(N_STORED):
            values = 0.4 * rng.standard_normal((12, N_TIMES), dtype=np.float32) + 4.0
            writer.add(Recording(values, STANDARD_12, 500.0, unit="mV", record_id=str(i)))
    return SignalStore(folder)


def access(folder: Path) -> tuple[dict[str, list], dict[str, dict[str, float]]]:
    """Seconds per record of store and memory map, and store over memory map."""
    store = make_store(folder / "store")
    scales = [store.gain(i) for i in range(N_STORED)]
    gain, offset = (np.stack(part)[..., None] for part in zip(*scales, strict=True))
    codes = np.stack(
        [np.rint((store.read(i) - offset[i]) / gain[i]).astype("<i2") for i in range(N_STORED)]
    )
    codes.tofile(folder / "codes.bin")
    mapped = np.memmap(folder / "codes.bin", dtype="<i2", mode="r", shape=codes.shape)
    del codes
    picks = np.random.default_rng(2).integers(N_STORED, size=N_READS)
    batches = picks.reshape(-1, BATCH)

    def one(i: int) -> np.ndarray:
        values = mapped[i].astype(np.float32)
        values *= gain[i]
        values += offset[i]
        return values

    def many(indices: np.ndarray) -> np.ndarray:
        out = np.empty((len(indices), *mapped.shape[1:]), np.float32)
        for row, i in zip(out, indices, strict=True):
            np.copyto(row, mapped[i])
            row *= gain[i]
            row += offset[i]
        return out

    assert offset.all()
    assert np.array_equal(store.read(5), one(5))
    assert np.array_equal(store.read_batch(batches[0]), many(batches[0]))
    figures = alternate(
        {
            "memmap, one by one": lambda: seconds(lambda: [one(i) for i in picks]) / N_READS,
            "store, one by one": lambda: seconds(lambda: [store.read(i) for i in picks]) / N_READS,
            "memmap, batches of 64": lambda: seconds(lambda: [many(b) for b in batches]) / N_READS,
            "store, batches of 64": lambda: (
                seconds(lambda: [store.read_batch(b) for b in batches]) / N_READS
            ),
        },
        pairs=9,
    )
    kinds = ("one by one", "batches of 64")
    return figures, {
        kind: ratio(figures[f"store, {kind}"], figures[f"memmap, {kind}"]) for kind in kinds
    }


def main() -> dict:
    """Measure and report."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = write_records(Path(name, "wfdb"), N_RECORDS, n_times=N_TIMES, rate_hz=500)
        reading, faster = readers(folder)
        reaching, slower = access(Path(name))
    figures = reading | reaching
    rows: list[list] = [["12 x 5,000 samples", "us a record", "x wfdb", "x memmap"]]
    for label, found in figures.items():
        by_map = slower.get(label.partition(", ")[2]) if label.startswith("store") else None
        rows.append(
            [
                label,
                float(np.median(found) * 1e6),
                faster[label]["median"] if label in faster else "",
                by_map["median"] if by_map else "",
            ]
        )
    result = {
        "us_per_record": {label: [s * 1e6 for s in found] for label, found in figures.items()},
        "faster_than_wfdb": faster,
        "slower_than_memmap": slower,
        "ratios": {
            "WFDB format 16 over wfdb": bar(faster["ours, checksums"]["median"], 10),
            "WFDB format 16 with sha256 over wfdb": bar(
                faster["ours, checksums and sha256"]["median"], 10
            ),
            "store over memmap, one by one": bar(slower["one by one"]["median"], 1.5, holds="<="),
            "store over memmap, batches": bar(slower["batches of 64"]["median"], 1.5, holds="<="),
        },
    }
    written = report("bench_readers", "Readers", rows, result)
    torch.set_num_threads(before)
    return written


if __name__ == "__main__":
    main()
