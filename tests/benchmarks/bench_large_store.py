"""A store of 1,000,000 records: `python -m tests.benchmarks.bench_large_store`.

A full index over records of 16 samples, opened and read at random in a child process; its
anonymous memory (`RssAnon` of /proc, Linux only) is taken after opening, after 1,000 and after
50,000 reads, and compared with that of a store of 10,000 records.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.large_store import write_large_store
from tests.benchmarks.measure import ROOT, bar, machine, report

FEW, MANY = 10_000, 1_000_000
READS = 50_000
SECONDS, GROWTH_MB = 10.0, 1.0

CHILD = """
import json, os, sys, time
import numpy as np
from biojepa.data.records import StoreRecords
from biojepa.data.store import SignalStore
from tests.benchmarks.bench_memory import anonymous_bytes

def megabytes():
    return anonymous_bytes(os.getpid()) / 1e6

before = megabytes()
began = time.perf_counter()
records = StoreRecords(SignalStore(sys.argv[1]))
found = {"open_s": time.perf_counter() - began, "open_mb": megabytes() - before}
rng = np.random.default_rng(0)

def read(n_reads):
    for i in rng.integers(len(records), size=n_reads):
        n_times, rate_hz = records.length(int(i))
        value = records.read(int(i), 3, n_times).values[0, 0]
        assert round(1000 * float(value)) == i % 1000, i

read(1000)
found["first_mb"] = megabytes() - before
began = time.perf_counter()
read(int(sys.argv[2]))
found["read_us"] = 1e6 * (time.perf_counter() - began) / int(sys.argv[2])
found["then_mb"] = megabytes() - before
found["lengths"] = sorted(records.lengths())
found["identity"] = records.identity(len(records) - 1)
found["end_mb"] = megabytes() - before
print(json.dumps(found))
"""


def measure(folder: Path, n_records: int, *, reads: int = READS) -> dict[str, Any]:
    """Open and read a store of so many records in a process of its own.

    Parameters
    ----------
    folder : Path
        For the store.
    n_records, reads : int

    Returns
    -------
    dict
        Seconds to open, microseconds a read, megabytes of anonymous memory since before opening.
    """
    store = write_large_store(folder / f"store{n_records}", n_records)
    command = [sys.executable, "-c", CHILD, str(store), str(reads)]
    environment = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PATH": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> dict | None:
    """Measure and report."""
    if not Path("/proc/self/status").is_file():
        print("large store: needs Linux's /proc, left out")
        return None
    folder = Path(tempfile.mkdtemp(prefix="biojepa-large-"))
    try:
        found = {n: measure(folder, n) for n in (FEW, MANY)}
    finally:
        shutil.rmtree(folder)
    few, many = found[FEW], found[MANY]
    names = ("open_s", "open_mb", "first_mb", "then_mb", "end_mb", "read_us")
    rows: list[list] = [["", f"{FEW:,} records", f"{MANY:,} records"]]
    rows += [[name, few[name], many[name]] for name in names]
    ratios = {
        f"seconds to open {MANY:,} records": bar(many["open_s"], SECONDS, holds="<="),
        f"memory grown over {READS:,} reads of {MANY:,} records, MB": bar(
            many["then_mb"] - many["first_mb"], GROWTH_MB, holds="<="
        ),
    }
    result = {
        "machine": machine() | {"threads": 1, "clock": "wall"},
        "figures": {str(n): {name: value[name] for name in names} for n, value in found.items()},
        "ratios": ratios,
    }
    return report("bench_large_store", "A store of 1,000,000 records", rows, result)


if __name__ == "__main__":
    main()
