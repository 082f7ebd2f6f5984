"""Numbers of the fMRI document, from `results/fmri/*.json`; see `render_numbers`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
READINGS = {"pooled": "all tokens pooled", "connectivity": "by connectivity"}


def benchmark(name: str) -> Callable[[], str]:
    """Renderer of every task of a benchmark: its rows, its verdict, what adds to what."""

    def rendered() -> str:
        found = _read(f"fmri/{name}.json")
        parts = []
        for task in found["tasks"].values():
            parts += [*_table(task), "", task["verdict"], *_contrasts(task), ""]
        return "\n".join([*parts, _cost(found)])

    return rendered


def quick() -> str:
    """Age in the quick benchmark, the verdicts of all tasks, and what it took."""
    found = _read("fmri/quick.json")
    first = next(iter(found["tasks"].values()))
    parts = [*_table(first), *_contrasts(first), ""]
    parts += [f"- {task['verdict']}" for task in found["tasks"].values()]
    return "\n".join([*parts, "", _cost(found)])


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


def heads() -> str:
    """Which head is fine-tuned, and what chose it."""
    found = _read("fmri/head_budget.json")
    lines = ["| setting | encoder | head | error of age over the mean's | r |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in found["rows"]:
        encoder = "frozen" if row["mode"] == "attentive" else "fine-tuned"
        lines.append(
            f"| {row['setting']} | {encoder} | {row['head']} | {row['relative']:.3f} | "
            f"{row['age_r']:.2f} |"
        )
    lines += [
        "",
        f"Chosen to fine-tune: {found['chosen']}. {found['steps']} steps of training on labels, "
        f"1 seed, commit `{found['commit'][:10]}`.",
    ]
    return "\n".join(lines)


def study(name: str) -> Callable[[], str]:
    """Renderer of one study of variants."""

    def rendered() -> str:
        found = _read(f"fmri/{name}.json")
        groups = found.get("atlases", {"": found})
        parts = []
        for group in groups.values():
            n = group["rows"][0]["mae"]["n_groups"]
            some = "" if f"{n} people" in group["probed"] else f" ({n} of them)"
            parts += [f"Probed: {group['probed']}{some}.", "", *_variants(group), ""]
            parts += [*_told(group), ""]
        seeds = f"{found['n_seeds']} seed" + ("s" if found["n_seeds"] > 1 else "")
        spent = found["spent"]["cpu_s"] / 60
        end = f"{seeds}, {spent:.0f} minutes of processor time, commit `{found['commit'][:10]}`."
        return "\n".join([*parts, *_offsets(found), end])

    return rendered


def speed() -> str:
    """Seconds of a ViT-B step and its memory, ours and with explicit attention."""
    found = _read("benchmarks/bench_brain_pretrain.json")
    machine = found["machine"]
    lines = ["| 450 regions x 160 frames | s a step | ratio | least | largest | GB |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, seconds in found["seconds"].items():
        ratio = found["against_explicit"][name]
        lines.append(
            f"| {name} | {statistics.median(seconds):.1f} | {ratio['median']:.2f} | "
            f"{ratio['min']:.2f} | {ratio['max']:.2f} | {found['gigabytes'][name]:.2f} |"
        )
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)}"
    clock, commit = machine["clock"], machine["commit"]
    lines += ["", f"{machine['cpu']}, {threads}, clock: {clock}, commit `{commit}`."]
    return "\n".join(lines)


NUMBERS: dict[str, Callable[[], str]] = {
    "fmri-benchmark": benchmark("full"),
    "fmri-quick": quick,
    "fmri-reading": reading,
    "fmri-heads": heads,
    "fmri-positions": study("positions"),
    "fmri-sampler": study("sampler"),
    "fmri-normalisation": study("normalisation"),
    "fmri-new-atlas": study("new_atlas"),
    "fmri-speed": speed,
}


def _table(task: Mapping[str, Any]) -> list[str]:
    """One task of a benchmark: its rows beside the strongest baseline."""
    unit = f" ({task['unit']})" if task["unit"] else ""
    lines = [f"**{task['title']}** ({task['measure']}{unit})", ""]
    lines += ["| row | value | over the strongest baseline | p |", "| --- | --- | --- | --- |"]
    for row in task["rows"]:
        value, gap = row["value"], row["difference"]
        over = "is that baseline" if gap is None else _interval(gap, "+.3f")
        p = "-" if row["p"] is None else f"{row['p']:.3f}"
        lines.append(f"| {row['title']} | {_interval(value, '.3f')} | {over} | {p} |")
    return lines


def _contrasts(task: Mapping[str, Any]) -> list[str]:
    """A sentence a pair of rows that a benchmark set against each other."""
    titles = {row["name"]: row["title"] for row in task["rows"]}
    larger = not task["unit"]  # errors have units, areas have none
    lines = [
        f"- {row['title']} is {_word(gap, larger=larger)} {titles[name]}: {_interval(gap, '+.3f')}."
        for row in task["rows"]
        for name, gap in row.get("over", {}).items()
    ]
    return ["", *lines] if lines else []


def _variants(group: Mapping[str, Any]) -> list[str]:
    """The table of a study, between the mean and connectivity of the series themselves."""
    lines = ["| variant | weights | reading | MAE, years | over random | over first |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    lines.append(f"| the mean | - | - | {group['mae_of_the_mean']:.3f} | - | - |")
    for row in group["rows"]:
        gaps = [
            _interval(row[key], "+.3f") if key in row else "-"
            for key in ("over_random", "over_first")
        ]
        lines.append(
            f"| {row['variant']} | {row['weights']} | {row['reading']} | "
            f"{_interval(row['mae'], '.3f')} | {' | '.join(gaps)} |"
        )
    connectivity = group["connectivity"]["mae"]
    lines.append(f"| connectivity of the series | - | ridge | {connectivity:.3f} | - | - |")
    return lines


def _told(group: Mapping[str, Any]) -> list[str]:
    """What the intervals of a study say of pretraining, and of each variant."""
    first = group["rows"][0]["variant"]
    lines = []
    for row in group["rows"]:
        if row["weights"] != "jepa":
            continue
        what = f"`{row['variant']}`, {READINGS[row['reading']]}"
        gap = row["over_random"]
        line = f"- {what}: pretrained weights are {_word(gap)} random ones"
        if "over_first" in row:
            line += f", and {_word(row['over_first'])} those of `{first}`"
        lines.append(line + ".")
    return lines


def _offsets(found: Mapping[str, Any]) -> list[str]:
    """How much of the scaled variance is offsets, for the sets that can be scaled as published."""
    shares = found.get("offsets", {})
    lines = []
    for name, own in shares.items():
        if own["share"] is None:
            lines.append(f"- {name}: cannot be scaled as published; its regions have one mean.")
        else:
            lines.append(
                f"- {name}, {own['n_runs']} runs scaled as published: {own['share']:.2%} of the "
                "variance are constant offsets of regions."
            )
    return [*lines, ""] if lines else []


def _cost(found: Mapping[str, Any]) -> str:
    spent, facts = found["spent"], found["facts"]
    seeds = facts["settings"]["n_seeds"]
    return (
        f"{found['overlap']} {seeds} seed{'s' if seeds > 1 else ''}; {spent['cpu_s'] / 60:.0f} "
        f"minutes of processor time and {spent['wall_s'] / 60:.0f} on the clock of a shared "
        f"machine, on {facts['threads']} thread; commit `{facts['commit'][:10]}`."
    )


def _word(gap: Mapping[str, Any], *, larger: bool = False) -> str:
    """Better, worse or neither, as the interval of a difference says."""
    if gap["low"] <= 0 <= gap["high"]:
        return "not distinguishable from"
    return "better than" if (gap["low"] > 0) == larger else "worse than"


def _interval(found: Mapping[str, Any], form: str) -> str:
    return f"{found['point']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def _read(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))
