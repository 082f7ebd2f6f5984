"""Numbers of the EEG document, from `results/*.json`; see `render_numbers`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def shipped() -> str:
    """What `eeg-small` reached against random weights, and the verdict."""
    found = _read("eeg_small.json")
    lines = ["| task | frozen features | `eeg-small` | random weights | gain | by subject |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in found["summary"]:
        gain = row["gain"]
        lines.append(
            f"| {row['task']} | {row['features']} | {row['auc']:.3f} | {row['random']:.3f} | "
            f"{gain['mean']:+.3f} | {gain['least']:+.3f} to {gain['largest']:+.3f} |"
        )
    changed = " with uncommitted changes" if found["uncommitted_changes"] else ""
    lines += [
        "",
        f"AUC, probe C = {found['probe']['C']}, mean of the subjects {', '.join(found['unseen'])}; "
        f"seen in pretraining: {', '.join(found['seen'])}. {found['verdict']} Command "
        f"`{found['command']}` at commit `{found['commit'][:10]}`{changed}, torch "
        f"{found['torch']}, {found['threads']} thread{'s' * (found['threads'] > 1)}.",
    ]
    return "\n".join(lines)


def speed() -> str:
    """Windows a second of Signal-JEPA and of the plain loop."""
    found = _read("benchmarks/bench_eeg.json")
    lines = ["| 62 channels x 4.19 s | windows/s | ratio | least | largest |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, speeds in found["windows_per_s"].items():
        ratio = found["against_straightforward"][name]
        lines.append(
            f"| {name} | {statistics.median(speeds):.1f} | {ratio['median']:.2f} | "
            f"{ratio['min']:.2f} | {ratio['max']:.2f} |"
        )
    machine, error = found["machine"], found["largest_difference"]
    lines += [
        "",
        f"{machine['cpu']}, {machine['threads']} thread{'s' * (machine['threads'] > 1)}, clock of "
        f"the {machine['clock']}, commit `{machine['commit']}`. Largest difference of a feature "
        f"from braindecode's: {error['fp32']:.1g} in fp32, {error['bf16']:.1g} in bf16.",
    ]
    return "\n".join(lines)


def bci(name: str) -> str:
    """Tables of a run of the BCI benchmark, and what each says."""
    found = _read(f"bci/{name}.json")
    parts = []
    for table in found["tables"]:
        parts += [f"**{table['task']}, {table['evaluation']} subjects** ({table['metric']})", ""]
        parts += ["| row | mean | subject by subject |", "| --- | --- | --- |"]
        for row in table["rows"]:
            each = ", ".join(f"{statistics.mean(v):.2f}" for v in row["by_subject"].values())
            note = " (transductive)" if row["transductive"] else ""
            parts.append(f"| {row['title']}{note} | {row['mean']:.3f} | {each} |")
        parts += ["", f"Bound of chance {table['bound']:.3f}. {table['verdict']}", ""]
    spent, facts = found["spent"], found["facts"]
    parts.append(
        f"{spent['cpu_s'] / 60:.0f} minutes of processor time on {facts['threads']} thread, commit "
        f"`{facts['commit'][:10]}`."
    )
    return "\n".join(parts)


NUMBERS: dict[str, Callable[[], str]] = {
    "eeg-shipped": shipped,
    "eeg-speed": speed,
    "eeg-motor-imagery": partial(bci, "mi"),
    "eeg-ssvep": partial(bci, "ssvep"),
}


def _read(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))
