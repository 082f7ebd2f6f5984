"""What the benchmarks share: the machine's facts, alternating pairs, a table and a JSON file.

Ratios come from pairs that run one after the other, and of several pairs the median counts, so
that another process on the machine slows both sides. On a busy machine, pass `--threads 1`: then
the CPU time of the process counts. Nothing is asserted: a speed is a finding.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "benchmarks"
PAIRS = 5


def machine() -> dict[str, Any]:
    """Facts without which a figure means little."""
    model, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        model, flags = fields.get("model name", model), fields.get("flags", "")
    words = flags.split()
    return {
        "cpu": model,
        "amx_bf16": "amx_bf16" in words,
        "avx512_bf16": "avx512_bf16" in words,
        "threads": torch.get_num_threads(),
        "clock": "process" if torch.get_num_threads() == 1 else "wall",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit(),
    }


def commit() -> str:
    """The git commit, with `+` if tracked files differ from it; empty outside a checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "biojepa", "tests")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def clock() -> float:
    """Seconds: of the wall, or of this process's CPU with one thread.

    Beside another busy process, work on two threads slows down several times over and unevenly,
    while the CPU time of one thread hardly changes.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(work: Callable[[], Any]) -> float:
    """Time of one call, by `clock`."""
    began = clock()
    work()
    return clock() - began


def threads_asked(default: int = 2) -> int:
    """Set and return the number of threads: `--threads N` on the command line."""
    parser = argparse.ArgumentParser(description="Speed ratios; prints a table, writes JSON.")
    parser.add_argument("--threads", type=int, default=default)
    torch.set_num_threads(parser.parse_args().threads)
    return torch.get_num_threads()


def alternate(sides: Mapping[str, Callable[[], float]], pairs: int = PAIRS) -> dict[str, list]:
    """Run the sides in turn, `pairs` times.

    Parameters
    ----------
    sides : mapping of str to callable
        Each does one stretch of work and returns its figure (seconds).
    pairs : int

    Returns
    -------
    dict of str to list of float
        The figures of each side, round by round.
    """
    figures: dict[str, list] = {name: [] for name in sides}
    for round_ in range(pairs):
        # every other round backwards: a slow stretch of the machine meets both orders
        for name in list(sides)[:: -1 if round_ % 2 else 1]:
            figures[name].append(sides[name]())
    return figures


def ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Median, least and largest of the ratios of pairs."""
    found = [a / b for a, b in zip(slow, fast, strict=True)]
    return {"median": statistics.median(found), "min": min(found), "max": max(found)}


def report(name: str, title: str, rows: Sequence[Sequence[Any]], result: dict[str, Any]) -> dict:
    """Print a table and write `results/benchmarks/NAME.json`.

    Parameters
    ----------
    name : str
    title : str
    rows : sequence of sequence
        The first is the head.
    result : dict
        JSON-able figures; those with a bar go under `"ratios"` as
        `{label: {"value", "target", "holds": ">=" or "<=", "applies": bool}}`.

    Returns
    -------
    dict
        What was written.
    """
    text = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in text) for i in range(len(text[0]))]
    print(f"\n{title}")
    for row in text:
        first, *rest = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]))
    for label, bar in result.get("ratios", {}).items():
        print(verdict(label, bar))
    whole = {"benchmark": name, "machine": machine(), **result}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(_rounded(whole), indent=2) + "\n")
    return whole


def bar(value: float, target: float, *, holds: str = ">=", applies: bool = True) -> dict[str, Any]:
    """One figure with what it should reach; `applies=False` where the machine is another."""
    return {"value": value, "target": target, "holds": holds, "applies": applies}


def verdict(label: str, found: Mapping[str, Any]) -> str:
    """One line on one figure."""
    value, target = found["value"], found["target"]
    reached = value >= target if found["holds"] == ">=" else value <= target
    word = ("reached" if reached else "MISSED") if found["applies"] else "reported only"
    return f"{label}: {value:.3g} (bar {found['holds']} {target:g}: {word})"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
