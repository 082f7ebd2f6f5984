"""All benchmarks, each in a process of its own: `python -m tests.benchmarks` (`make bench`).

Arguments go on to those that take threads (`--threads 1` on a busy machine). Ends with one line a
bar; the exit code says only whether everything ran.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.benchmarks.measure import RESULTS, ROOT, bar, machine, report, verdict

THREADED = ("bench_pretrain", "bench_features", "bench_eeg")
OTHERS = ("bench_readers", "bench_preprocess", "bench_import", "bench_memory", "bench_large_store")
OVERHEAD = "bench_engine_overhead"


def run(name: str, arguments: list[str]) -> bool:
    """Run one benchmark, which prints its table; whether it succeeded."""
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def run_overhead() -> bool:
    """Run the benchmark of the engine's overhead, which prints its figures as JSON."""
    command = [sys.executable, "-m", f"tests.benchmarks.{OVERHEAD}"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return False
    found = json.loads(done.stdout.strip().splitlines()[-1])
    rows = [["ms a step", "plain loop", "engine", "overhead"]]
    rows.append(["", found["plain_ms"], found["engine_ms"], found["overhead_ms"]])
    value = bar(found["overhead_ms"], found["target_ms"], holds="<=")
    facts = machine() | {"threads": found["threads"], "clock": "wall"}
    ratios = {"engine overhead, ms a step": value}
    figures = {"machine": facts, "figures": found, "ratios": ratios}
    report(OVERHEAD, "Engine overhead", rows, figures)
    return True


def main(arguments: list[str]) -> int:
    """Run all; returns 1 if one could not be run."""
    failed = [name for name in THREADED if not run(name, arguments)]
    failed += [name for name in OTHERS if not run(name, [])]
    failed += [] if run_overhead() else [OVERHEAD]
    print("\nSummary")
    for name in (*THREADED, *OTHERS, OVERHEAD):
        path = RESULTS / f"{name}.json"
        if name in failed or not path.is_file():
            print(f"{name}: {'FAILED' if name in failed else 'left out'}")
            continue
        for label, found in json.loads(path.read_text())["ratios"].items():
            print(verdict(label, found))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
