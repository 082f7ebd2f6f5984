"""Memory at 1,000 and 20,000 records: `python -m tests.benchmarks.bench_memory`.

Runs the command line as a user does (`prepare`, `pretrain ecg`, `embed`) in child processes on
synthetic WFDB records of 5 s, and samples their anonymous memory (`RssAnon` of /proc, Linux only):
what is mapped from files, the store above all, is the page cache's and not counted. Each peak
should be the same for both sizes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measure import ROOT, bar, machine, report
from tests.benchmarks.synthetic import write_records

FEW, MANY, TARGET = 1_000, 20_000, 1.05
RATE_HZ, N_TIMES = 100, 500
EVERY_S = 0.005


def anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process at this moment; 0 once it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def peak(*words: str) -> float:
    """Largest anonymous memory of one command, in megabytes."""
    command = [sys.executable, "-m", "biojepa", *words]
    with tempfile.TemporaryFile() as output:
        # one thread and one arena: else the allocator's pools differ from run to run
        environment = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PATH": ""}
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        largest = 0
        while child.poll() is None:
            largest = max(largest, anonymous_bytes(child.pid))
            time.sleep(EVERY_S)
        if child.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(words)} failed: {output.read().decode()[-2000:]}")
    return largest / 1e6


def peaks(folder: Path, n_records: int) -> dict[str, float]:
    """Peak of each command on so many records."""
    source = write_records(folder / "wfdb", n_records, n_times=N_TIMES, rate_hz=RATE_HZ)
    store, run = str(folder / "store"), str(folder / "run")
    steps = ["--preset", "tiny", "--train.steps", "20", "--train.device", "cpu"]
    return {
        "prepare": peak("prepare", str(source), "-o", store),
        "pretrain": peak("pretrain", "ecg", store, "-o", run, *steps),
        "embed": peak("embed", f"{run}/model", store, "-o", str(folder / "features.csv")),
    }


def main() -> dict | None:
    """Measure and report."""
    if not Path("/proc/self/status").is_file():
        print("memory: needs Linux's /proc, left out")
        return None
    found: dict[int, dict[str, float]] = {}
    for n_records in (FEW, MANY):
        folder = Path(tempfile.mkdtemp(prefix="biojepa-memory-"))
        try:
            found[n_records] = peaks(folder, n_records)
        finally:
            shutil.rmtree(folder)
    few, many = found[FEW], found[MANY]
    growth = {command: many[command] / few[command] for command in few}
    rows: list[list] = [["command", f"MB at {FEW:,}", f"MB at {MANY:,}", "ratio"]]
    rows += [[command, few[command], many[command], growth[command]] for command in few]
    ratios = {
        f"memory of {command}, {MANY:,} over {FEW:,} records": bar(value, TARGET, holds="<=")
        for command, value in growth.items()
    }
    result = {
        "machine": machine() | {"threads": 1},  # those of the children
        "megabytes": {str(n): value for n, value in found.items()},
        "ratios": ratios,
    }
    return report("bench_memory", "Anonymous memory", rows, result)


if __name__ == "__main__":
    main()
