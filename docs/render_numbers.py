"""Write the numbers of the documents from `results/*.json`.

    python docs/render_numbers.py           # rewrite
    python docs/render_numbers.py --check   # exit 1 if a document is behind its results

A block `<!-- numbers: NAME -->` ... `<!-- /numbers -->` is replaced by what the function of that
name makes of the results. No number in a document is typed.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numbers_eeg
import numbers_fmri

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "docs/measurements.md", "docs/eeg.md", "docs/fmri.md")
BLOCK = re.compile(r"(<!-- numbers: ([a-z-]+) -->\n).*?(<!-- /numbers -->)", re.DOTALL)


def small_budget() -> str:
    """Table of the small budget measurement and its verdict."""
    found = _read("ecg_small_budget.json")
    lines = ["| frozen encoder | mean AUC (each seed) | mean | NORM | MI | STTC | CD | HYP |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    names = {
        "random": "random weights",
        "small": "`small`, pretrained",
        "random+scale": "random weights, `scale=True`",
        "small+scale": "`small`, pretrained, `scale=True`",
    }
    for model, name in names.items():
        rows = [row for row in found["rows"] if row["model"] == model]
        seeds = ", ".join(f"{row['auc']:.3f}" for row in rows)
        classes = (
            statistics.mean(row["classes"][c] for row in rows)
            for c in ("NORM", "MI", "STTC", "CD", "HYP")
        )
        mean = statistics.mean(row["auc"] for row in rows)
        cells = " | ".join(f"{value:.3f}" for value in classes)
        lines.append(f"| {name} | {seeds} | **{mean:.3f}** | {cells} |")
    gap = found["difference"]
    seconds = [row["seconds"] for row in found["rows"] if "seconds" in row]
    verdict = "better than" if gap["low"] > 0 else "not distinguishable from"
    if gap["high"] < 0:
        verdict = "worse than"
    lines.append("")
    lines.append(
        f"On these {found['n_labelled']} records of {found['n_patients']} patients, pretraining on "
        f"{found['n_pretraining']:,} other records is {verdict} random weights: difference in mean "
        f"AUC {gap['mean']:+.3f} (95 % patient bootstrap {gap['low']:+.3f} to "
        f"{gap['high']:+.3f}; {found['overlap']}). Pretraining took {min(seconds):.0f} to "
        f"{max(seconds):.0f} s a seed on {found['threads']} threads."
    )
    return "\n".join(lines)


def provenance() -> str:
    """Where the small budget figures come from."""
    found, choice = _read("ecg_small_budget.json"), _read("ecg_probe_choice.json")
    return (
        f"Command `{found['command']}` at commit `{found['commit'][:10]}`, torch {found['torch']}, "
        f"probe fixed beforehand by `ecg_probe_choice.json` (pool `{found['probe']['pool']}`, "
        f"layer `{found['probe']['layer']}`, C = {found['probe']['C']}) on "
        f"{choice['n_records']} other records, with an encoder pretrained on the "
        f"{choice['n_pretraining']:,} records that are neither."
    )


def benchmark() -> str:
    """Rows of the PTB-XL benchmark that were run, and its verdict."""
    found = _read("ptbxl_benchmark/results.json")
    lines = ["| row | mean AUC | over the strongest baseline | AUPRC | ECE, scaled | seeds |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in found["rows"]:
        auc, gap = row["auc"], row["difference"]
        over = "is that baseline"
        if gap:
            over = f"{gap['point']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
        lines.append(
            f"| {row['title']} | {auc['point']:.3f} ({auc['low']:.3f} to {auc['high']:.3f}) | "
            f"{over} | {row['auprc']:.3f} | {row['ece_scaled']:.3f} | {len(row['seeds'])} |"
        )
    lines += ["", benchmark_verdict()]
    return "\n".join(lines)


def benchmark_verdict() -> str:
    """What the PTB-XL benchmark says in sentences."""
    found = _read("ptbxl_benchmark/results.json")
    rows = {row["name"]: row for row in found["rows"]}
    said = f"{found['verdict']} {found['overlap'].capitalize()}."
    if "jepa-beats-trees" in rows:
        both = rows["jepa-beats-trees"]
        gap = both["difference"]
        said += (
            f" JEPA features together with boosted trees on beat features reach "
            f"{both['auc']['point']:.3f}, {gap['point']:+.3f} ({gap['low']:+.3f} to "
            f"{gap['high']:+.3f}) from that baseline."
        )
    return said


def benchmark_cost() -> str:
    """What the rows of the PTB-XL benchmark took."""
    found = _read("ptbxl_benchmark/results.json")
    lines = ["| row | seeds | minutes of processor time a seed, without pretraining |"]
    lines.append("| --- | --- | --- |")
    for row in found["rows"]:
        lines.append(f"| `{row['name']}` | {len(row['seeds'])} | {row['cpu_minutes']:.1f} |")
    wall, cpu = found["spent"]["wall_s"] / 60, found["spent"]["cpu_s"] / 60
    each = "; ".join(f"{k}: {v:.1f}" for k, v in found["pretraining_minutes"].items())
    lines.append("")
    lines.append(
        f"All rows, seeds and pretrainings together: {cpu:.0f} minutes of processor time, which is "
        f"{cpu / 2:.0f} minutes of two cores; {wall:.0f} minutes of wall time on two cores that "
        f"other work used too. Pretraining, wall minutes each (number of runs): {each}."
    )
    return "\n".join(lines)


def combination() -> str:
    """Ways to put JEPA and beat features together, on the records that chose."""
    found = _read("ecg_combination_choice.json")
    lines = ["| features and classifier | mean AUC on the 460 |", "| --- | --- |"]
    for name, auc in sorted(found["auc"].items(), key=lambda item: item[1]):
        chosen = " (chosen)" if name == found["way"] else ""
        lines.append(f"| {name}{chosen} | {auc:.3f} |")
    return "\n".join(lines)


def robustness() -> str:
    """Mean AUC under disturbances of the test records: undisturbed, and the worst of each kind."""
    found = _read("ptbxl_benchmark/results.json")["robustness"]
    families = list(next(iter(found.values())))
    lines = ["| row | " + " | ".join(families) + " |", "| --- |" + " --- |" * len(families)]
    for name, by_family in found.items():
        cells = " | ".join(_worst(by_family[family]) for family in families)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines)


def _worst(levels: dict[str, float]) -> str:
    level, auc = min(levels.items(), key=lambda item: item[1])
    return f"{auc:.3f} ({level})"


def mask_ratio() -> str:
    """Mean AUC by the masked share."""
    found = _read("ecg_mask_ratio.json")
    lines = ["| masked share | mean AUC (each seed) | over random weights |", "| --- | --- | --- |"]
    for row in found["rows"]:
        gap = row["difference"]
        seeds = ", ".join(f"{auc:.3f}" for auc in row["auc"])
        over = f"{gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
        lines.append(f"| {row['masked']:g} | {seeds} | {over} |")
    lines.append("")
    lines.append(f"{found['steps']:,} steps each, commit `{found['commit'][:10]}`.")
    return "\n".join(lines)


def label_efficiency() -> str:
    """Mean AUC by share of the labels."""
    found = _read("ptbxl_benchmark/results.json")["label_efficiency"]
    shares = [point["fraction"] for point in next(iter(found.values()))]
    lines = ["| row | " + " | ".join(f"{share:.0%}" for share in shares) + " |"]
    lines.append("| --- |" + " --- |" * len(shares))
    for name, points in found.items():
        cells = " | ".join(
            f"{statistics.mean(point['auc']):.3f}" if point["auc"] else "-" for point in points
        )
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines)


def diagnostics() -> str:
    """Rank correlation of the label-free diagnostics with probe AUC, by regulariser."""
    found = _read("ecg_diagnostics.json")["spearman"]
    runs = list(next(iter(found.values())))
    heads = [f"{run} ({next(iter(found.values()))[run]['n']})" for run in runs]
    lines = ["| diagnostic | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(runs)]
    for name, by_run in found.items():
        cells = (by_run[run]["rho"] for run in runs)
        shown = " | ".join("-" if rho is None else f"{rho:+.2f}" for rho in cells)
        lines.append(f"| `{name}` | {shown} |")
    return "\n".join(lines)


def shipped() -> str:
    """What the model in the box reached, from its card."""
    folder = ROOT / "biojepa" / "models" / "ecg-small"
    card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
    lines = ["| `ecg-small`, frozen, linear probe | mean AUC | over random weights |"]
    lines.append("| --- | --- | --- |")
    for name in ("without scale", "with scale"):
        own, gap = card["results"][name]["mean_auc"], card["results"][name]["over_random"]
        lines.append(
            f"| {name} | {own['point']:.3f} ({own['low']:.3f} to {own['high']:.3f}) | "
            f"{gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f}) |"
        )
    lines.append("")
    lines.append(f"Pretrained on {card['data']}; {card['results']['task']}.")
    return "\n".join(lines)


def speed() -> str:
    """Every ratio of the benchmarks beside its bar, and whether it was reached."""
    lines = ["| ratio | measured | bar | | clock, threads |", "| --- | --- | --- | --- | --- |"]
    machines = set()
    for path in sorted((ROOT / "results" / "benchmarks").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        machine = found["machine"]
        amx = "with" if machine["amx_bf16"] else "without"
        machines.add(f"{machine['cpu']} {amx} AMX, torch {machine['torch']}")
        for what, row in found["ratios"].items():
            reached = row["value"] >= row["target"]
            if row["holds"] == "<=":
                reached = row["value"] <= row["target"]
            verdict = "reached" if reached else "**missed**"
            if not row["applies"]:
                on_amx = "over straightforward" in what
                verdict = "bar is for CPUs with AMX" if on_amx else "no bar here, reported"
            sign = {">=": "≥", "<=": "≤"}[row["holds"]]
            how = f"{machine['clock']}, {machine['threads']} ({machine['commit'][:10]})"
            lines.append(
                f"| {what} | {row['value']:.4g} | {sign} {row['target']:g} | {verdict} | {how} |"
            )
    lines.append("")
    lines.append(f"Measured on: {'; '.join(sorted(machines))}. In brackets: the commit.")
    return "\n".join(lines)


NUMBERS: dict[str, Callable[[], str]] = {
    "small-budget": small_budget,
    "provenance": provenance,
    "benchmark": benchmark,
    "benchmark-cost": benchmark_cost,
    "benchmark-verdict": benchmark_verdict,
    "combination": combination,
    "robustness": robustness,
    "mask-ratio": mask_ratio,
    "diagnostics": diagnostics,
    "label-efficiency": label_efficiency,
    "shipped": shipped,
    "speed": speed,
    **numbers_eeg.NUMBERS,
    **numbers_fmri.NUMBERS,
}


def render(text: str) -> str:
    """A document with its blocks written anew."""
    return BLOCK.sub(lambda m: f"{m[1]}{NUMBERS[m[2]]()}\n{m[3]}", text)


def main() -> int:
    """Rewrite or check the documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    behind = []
    for name in DOCUMENTS:
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        new = render(text)
        if new != text:
            behind.append(name)
            if not check:
                path.write_text(new, encoding="utf-8")
    if check and behind:
        print(f"behind their results: {', '.join(behind)}; run `make readme`", file=sys.stderr)
        return 1
    return 0


def _read(name: str) -> dict:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
