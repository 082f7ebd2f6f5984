"""What `import biojepa` costs: `python -m tests.benchmarks.bench_import`.

Fresh processes import biojepa and torch in turn; the CPU time of the whole process counts, so that
the interpreter's own start is in both. Lists the heavy modules that come along beyond torch's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.benchmarks.measure import ROOT, alternate, bar, ratio, report

TARGET, PAIRS = 1.3, 5
NAMES = ("torch", "biojepa", "biojepa.engine", "biojepa.ecg")
HEAVY = (
    "scipy sklearn pandas matplotlib h5py wfdb safetensors lightning_fabric tyro tqdm yaml "
    "tensorboard huggingface_hub torch._dynamo torch._inductor torch.distributed.fsdp"
).split()


def cost(module: str) -> float:
    """CPU seconds of a fresh process that imports a module."""
    before = os.times()
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, check=True)
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def loaded(module: str) -> set[str]:
    """Names of all modules that a fresh process has after importing one."""
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(json.loads(done.stdout))


def main() -> dict:
    """Measure and report."""
    for module in NAMES:
        cost(module)  # into the page cache
    figures = alternate({name: lambda n=name: cost(n) for name in NAMES}, PAIRS)
    found = ratio(figures["biojepa"], figures["torch"])
    rows: list[list] = [["fresh process", "CPU seconds", "ratio", "heavy modules"]]
    heavy: dict[str, list[str]] = {}
    of_torch = loaded("torch")
    for name in NAMES:
        extra = loaded(name) - of_torch
        heavy[name] = [module for module in HEAVY if module in extra]
        seconds = sorted(figures[name])[PAIRS // 2]
        times = ratio(figures[name], figures["torch"])["median"]
        rows.append([f"import {name}", seconds, times, ", ".join(heavy[name]) or "none"])
    result = {
        "cpu_seconds": figures,
        "biojepa_over_torch": found,
        "heavy": heavy,
        "ratios": {"import biojepa over import torch": bar(found["median"], TARGET, holds="<=")},
    }
    return report("bench_import", "Import", rows, result)


if __name__ == "__main__":
    main()
