"""Numbers of the fMRI document, from `results/fmri/*.json`; see `render_numbers`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def benchmark() -> str:
    """Every task of the benchmark, its rows and its verdict."""
    found = _read("fmri/quick.json")
    parts = []
    for task in found["tasks"].values():
        unit = f" ({task['unit']})" if task["unit"] else ""
        parts += [f"**{task['title']}** ({task['measure']}{unit})", ""]
        parts += ["| row | value | over the strongest baseline | p |", "| --- | --- | --- | --- |"]
        for row in task["rows"]:
            value, gap = row["value"], row["difference"]
            over = "is that baseline" if gap is None else _interval(gap, "+.3f")
            p = "-" if row["p"] is None else f"{row['p']:.3f}"
            parts.append(f"| {row['title']} | {_interval(value, '.3f')} | {over} | {p} |")
        parts += ["", task["verdict"], ""]
    spent = found["spent"]
    parts.append(
        f"{found['overlap']} {spent['cpu_s'] / 60:.0f} minutes of processor time on "
        f"{found['facts']['threads']} thread, commit `{found['facts']['commit'][:10]}`."
    )
    return "\n".join(parts)


def reading() -> str:
    """How the frozen preset is read, and what chose it."""
    found = _read("fmri/small_budget.json")
    lines = ["| setting | reading | layers | weights | error of age over the mean's |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in found["rows"]:
        error = sum(row["relative"]) / len(row["relative"])
        layers = ", ".join(map(str, row["layers"]))
        lines.append(
            f"| {row['setting']} | {row['reading']} | {layers} | {row['weights']} | {error:.3f} |"
        )
    layers = ", ".join(map(str, found["chosen"]["layers"]))
    lines += [
        "",
        f"Chosen: {found['chosen']['reading']} of layers {layers}. Command `{found['command']}`, "
        f"commit `{found['commit'][:10]}`, {found['seeds']} seeds.",
    ]
    return "\n".join(lines)


def study(name: str) -> Callable[[], str]:
    """Renderer of one study of variants."""

    def rendered() -> str:
        found = _read(f"fmri/{name}.json")
        groups = found.get("atlases", {"": found})
        lines = ["| probed | variant | weights | reading | MAE, years | over random | over first |"]
        lines.append("| --- | --- | --- | --- | --- | --- | --- |")
        for group in groups.values():
            for row in group["rows"]:
                gaps = [
                    _interval(row[key], "+.3f") if key in row else "-"
                    for key in ("over_random", "over_first")
                ]
                lines.append(
                    f"| {group['probed']} | {row['variant']} | {row['weights']} | "
                    f"{row['reading']} | {_interval(row['mae'], '.3f')} | {' | '.join(gaps)} |"
                )
            connectivity = group["connectivity"]["mae"]
            lines.append(
                f"| {group['probed']} | connectivity | - | ridge | {connectivity:.3f} | - | - |"
            )
        lines += ["", f"{found['n_seeds']} seed, commit `{found['commit'][:10]}`."]
        return "\n".join(lines)

    return rendered


NUMBERS: dict[str, Callable[[], str]] = {
    "fmri-benchmark": benchmark,
    "fmri-reading": reading,
    "fmri-positions": study("positions"),
}


def _interval(found: dict[str, Any], form: str) -> str:
    return f"{found['point']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def _read(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))
