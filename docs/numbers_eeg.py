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


def bci(name: str, *, only: str | None = None) -> str:
    """Table of a run of the BCI benchmark, a column each evaluation, and what each says."""
    found = _read(f"bci/{name}.json")
    tables, facts = found["tables"], found["facts"]
    heads = [f"{t['task']}, {t['evaluation']}" for t in tables]
    bounds = [f"{t['bound']:.3f}" for t in tables]
    lines = [f"| {tables[0]['metric']} | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for row in tables[0]["rows"]:
        if only not in (None, row["kind"]):
            continue
        own = [next(r for r in t["rows"] if r["name"] == row["name"]) for t in tables]
        note = " (transductive)" if row["transductive"] else ""
        lines.append(f"| {row['title']}{note} | {' | '.join(map(_score, own))} |")
    lines += [f"| bound of chance | {' | '.join(bounds)} |", ""]
    n_seeds, n_subjects = facts["settings"]["n_seeds"], len(facts["subjects"])
    said = "Mean over subjects" + (" and seeds" if n_seeds > 1 else "")
    ranges = ["range over subjects"] * (n_subjects > 1)
    ranges += ["range of the mean over seeds"] * (n_seeds > 1)
    said += f" ({'; '.join(ranges)})" if ranges else ""
    lines += [f"{said}, {_n(n_seeds, 'seed')}. {found['overlap'].capitalize()}.", ""]
    lines += [f"- {table['verdict']}" for table in tables]
    return "\n".join([*lines, "", _where(found)])


def pairs() -> str:
    """Pretrained over random weights in every table, and what that comes to."""
    panels: list[str] = []
    lines, up, down, cells, several, luck = [], [], [], 0, 0, 0.0
    for name in RUNS:
        for table in _read(f"bci/{name}.json")["tables"]:
            gaps = table["pretrained_over_random"]
            panels = panels or list(gaps)
            where = f"{_TITLES[name]}: {table['task']}, {table['evaluation']}"
            lines.append(f"| {where} | {' | '.join(_gap(gaps[p]) for p in panels)} |")
            for panel, gap in gaps.items():
                cells += 1
                if len(gap["by_subject"]) == 1:
                    continue
                several, luck = several + 1, luck + 0.5 ** len(gap["by_subject"])
                up += [f"{where}, {panel}"] * (gap["low"] > 0)
                down += [f"{where}, {panel}"] * (gap["high"] < 0)
    head = f"| pretrained minus random | {' | '.join(panels)} |"
    said = (
        f"Mean over subjects (least to largest; subjects above of all). Of {cells} comparisons, "
        f"{several} of them with several people, pretraining is ahead in every person in "
        f"{len(up)}{_listed(up)} and behind in every one in {len(down)}{_listed(down)}; tossed "
        f"coins would give about {luck:.1f} of each. "
    )
    gained = len(up) > max(len(down), 2 * luck)
    said += (
        "More than that, and still of too few people for a claim."
        if gained
        else "Nothing is gained that could be claimed."
    )
    return "\n".join([head, "| --- " * (len(panels) + 1) + "|", *lines, "", said])


def continued() -> str:
    """Going on with the unlabelled target, over the same encoder without that."""
    rows = (("jepa-continued", "jepa-pre-local-full"),) + (
        ("jepa-continued-frozen", "jepa-contextual-frozen"),
    )
    lines = ["| continued minus not continued | pre-local, full | contextual, frozen |"]
    lines.append("| --- | --- | --- |")
    means, all_ahead = [], 0
    for name in RUNS:
        for table in _read(f"bci/{name}.json")["tables"]:
            by_name = {r["name"]: _subjects(r) for r in table["rows"]}
            cells = []
            for own, other in rows:
                gap = _difference(by_name[own], by_name[other])
                means.append(gap["mean"])
                all_ahead += len(gap["by_subject"]) > 1 and gap["low"] > 0
                cells.append(_gap(gap))
            where = f"{_TITLES[name]}: {table['task']}, {table['evaluation']}"
            lines.append(f"| {where} | {' | '.join(cells)} |")
    better = sum(mean > 0 for mean in means)
    said = (
        f"On average better in {better} of {len(means)} comparisons, and in every one of "
        f"several people in {all_ahead}; a transductive row has seen the judged trials without "
        "labels."
    )
    return "\n".join([*lines, "", said])


def times() -> str:
    """What a seed of the three paradigms took, and what that means on two cores."""
    lines = ["| run | seeds run | one seed | five seeds | measured |"]
    lines.append("| --- | --- | --- | --- | --- |")
    one, five = 0.0, 0.0
    for name in ("mi", "ssvep", "erp"):
        found = _read(f"bci/{name}.json")
        n_seeds = found["facts"]["settings"]["n_seeds"]
        rows = [r for table in found["tables"] for r in table["rows"]]
        encoders = sum(s["cpu_s"] for s in found["pretraining"].values()) / n_seeds
        quick = 60 * sum(r["cpu_minutes"] for r in rows) + encoders
        again = 60 * sum(r["cpu_minutes"] for r in rows if r["kind"] != "classical") + encoders
        one, five = one + quick, five + quick + 4 * again
        spent = found["spent"]
        lines.append(
            f"| {_TITLES[name]} | {n_seeds} | {quick:.0f} s | {quick + 4 * again:.0f} s | "
            f"{spent['cpu_s']:.0f} s of processor, {spent['wall_s']:.0f} s of wall time, "
            f"{_n(found['jobs'], 'job')} of {_n(found['facts']['threads'], 'thread')}, load "
            f"{found['load_of_the_machine']:.1f} |"
        )
    lines.append(f"| together | | {one:.0f} s | {five:.0f} s | |")
    return "\n".join(
        [
            *lines,
            "",
            f"Processor time; wall time on a machine of two cores that did other work beside it "
            f"(its load is the number of processes that wanted a core). Two processes on two cores "
            f"share that: one seed of all three takes {one / 120:.1f} minutes "
            f"({_within(one / 120, 15)}), five take {five / 120:.0f} "
            f"({_within(five / 120, 90)}), reckoned from the processor time, not run so.",
        ]
    )


def protocol() -> str:
    """What steps and early stopping did on simulated people."""
    found = _read("bci/protocol.json")
    kinds = list(dict.fromkeys((r["task"], r["evaluation"], r["row"]) for r in found["rows"]))
    names = {"eegnet": "EEGNet", "random-pre-local-full": "Signal-JEPA"}
    heads = [f"{names[row]}, {task}, {way}" for task, way, row in kinds]
    lines = [f"| steps | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for steps, patience in dict.fromkeys((r["head_steps"], r["patience"]) for r in found["rows"]):
        own = {
            (r["task"], r["evaluation"], r["row"]): r["mean"]
            for r in found["rows"]
            if (r["head_steps"], r["patience"]) == (steps, patience)
        }
        note = "" if patience is None else f", patience {patience} epochs"
        cells = " | ".join(f"{own[kind]:.3f}" for kind in kinds)
        lines.append(f"| {steps}{note} | {cells} |")
    return "\n".join([*lines, "", _source(found)])


def phases() -> str:
    """Phase consistency of the lights and TRCA's accuracy, real and simulated."""
    found = _read("bci/phases.json")
    said = []
    for data in dict.fromkeys(r["data"] for r in found["rows"]):
        own = [r for r in found["rows"] if r["data"] == data]
        alike = [r["phase_consistency"] for r in own]
        said.append(
            f"{data}: consistency of the phase over trials {min(alike):.2f} to {max(alike):.2f} "
            f"(1 if it is always the same, 0 if random), TRCA within subjects "
            f"{statistics.mean(r['trca'] for r in own):.3f}."
        )
    return "\n".join([*(f"- {line}" for line in said), "", _source(found)])


def window_mask() -> str:
    """Window by mask, against random weights, and what that says."""
    found = _read("bci/window_mask.json")
    heads = [r["head"] for r in found["random"]]
    lines = ["| window, tokens of 1 s | mask | " + " | ".join(heads) + " |"]
    lines.append("| --- " * (len(heads) + 2) + "|")
    for tokens, radius in dict.fromkeys((r["tokens"], r["radius"]) for r in found["rows"]):
        own = {
            r["head"]: f"{r['mean']:.3f}, {_gap(r['over_random'])}"
            for r in found["rows"]
            if (r["tokens"], r["radius"]) == (tokens, radius)
        }
        lines.append(f"| {tokens} | {radius:.0%} | {' | '.join(own[head] for head in heads)} |")
    random = " | ".join(f"{r['mean']:.3f}" for r in found["random"])
    lines += [f"| random weights | | {random} |", ""]
    said = []
    for head in heads:
        own = [r for r in found["rows"] if r["head"] == head]
        best = max(own, key=lambda r: r["mean"])
        windows = _means(own, "tokens", "{:d} s")
        masks = _means(own, "radius", "{:.0%}")
        ahead = sum(r["over_random"]["mean"] > 0 for r in own)
        sure = sum(r["over_random"]["low"] > 0 for r in own)
        said.append(
            f"{head.capitalize()}: by window {windows}; by mask {masks}; the best is "
            f"{best['tokens']} s and {best['radius']:.0%} ({best['mean']:.3f}); above random "
            f"weights on average in {ahead} of {len(own)}, in every subject in {sure}."
        )
    halves = " and ".join(", ".join(half) for half in found["halves"])
    lines += [
        *(f"- {line}" for line in said),
        "",
        f"Accuracy, rest vs imagery within subjects, and its difference to random weights (least "
        f"to largest; subjects above of all); bound of chance {found['bound']:.3f}. Pretrained on "
        f"one half of the people and judged on the other ({halves}), {len(found['channels'])} "
        f"channels, {found['steps']} steps of {found['batch_size']}, one seed. Six people and one "
        f"seed: no claim. {found['spent']['cpu_s'] / 60:.0f} minutes of processor time. "
        + _source(found),
    ]
    return "\n".join(lines)


RUNS = ("mi", "ssvep", "erp", "ssvep_transfer")
_TITLES = {
    "mi": "EEGMMIDB",
    "ssvep": "SSVEP",
    "erp": "Muse, encoder of EEGMMIDB",
    "ssvep_transfer": "SSVEP, encoder of EEGMMIDB",
}
NUMBERS: dict[str, Callable[[], str]] = {
    "eeg-shipped": shipped,
    "eeg-speed": speed,
    "eeg-motor-imagery": partial(bci, "mi"),
    "eeg-ssvep": partial(bci, "ssvep"),
    "eeg-muse": partial(bci, "erp"),
    "eeg-ssvep-transfer": partial(bci, "ssvep_transfer", only="jepa"),
    "eeg-pairs": pairs,
    "eeg-continued": continued,
    "eeg-times": times,
    "eeg-protocol": protocol,
    "eeg-phases": phases,
    "eeg-window-mask": window_mask,
}


def _score(row: dict[str, Any]) -> str:
    """Mean, and its ranges over subjects and over seeds."""
    each = list(_subjects(row).values())
    by_seed = [statistics.mean(seed) for seed in zip(*row["by_subject"].values(), strict=True)]
    ranges = []
    if len(each) > 1:
        ranges.append(f"{min(each):.2f} to {max(each):.2f}")
    if len(by_seed) > 1:
        ranges.append(f"{min(by_seed):.3f} to {max(by_seed):.3f}")
    return f"{row['mean']:.3f}" + (f" ({'; '.join(ranges)})" if ranges else "")


def _subjects(row: dict[str, Any]) -> dict[str, float]:
    return {name: statistics.mean(values) for name, values in row["by_subject"].items()}


def _difference(own: dict[str, float], other: dict[str, float]) -> dict[str, Any]:
    each = {name: own[name] - other[name] for name in own}
    mean, above = statistics.mean(each.values()), sum(v > 0 for v in each.values())
    low, high = min(each.values()), max(each.values())
    return {"by_subject": each, "mean": mean, "low": low, "high": high, "n_above": above}


def _gap(gap: dict[str, Any]) -> str:
    n = len(gap["by_subject"])
    if n == 1:
        return f"{gap['mean']:+.3f}"
    return f"{gap['mean']:+.3f} ({gap['low']:+.2f} to {gap['high']:+.2f}; {gap['n_above']} of {n})"


def _means(rows: list[dict[str, Any]], key: str, word: str) -> str:
    return ", ".join(
        f"{word.format(value)} {statistics.mean(r['mean'] for r in rows if r[key] == value):.3f}"
        for value in dict.fromkeys(r[key] for r in rows)
    )


def _listed(names: list[str]) -> str:
    return f" ({'; '.join(names)})" if names else ""


def _within(minutes: float, limit: float) -> str:
    return f"{'within' if minutes <= limit else 'beyond'} the {limit:g} asked for"


def _n(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count > 1)}"


def _where(found: dict[str, Any]) -> str:
    said = f"Command `{found['command']}` at commit `{found['facts']['commit'][:10]}`"
    if found["facts"]["settings"]["n_seeds"] > 1:  # what was scored is kept and not scored again
        first = _read("bci/mi.json")["facts"]["commit"]
        said += f", the first seed at `{first[:10]}`"
    return said + "."


def _source(found: dict[str, Any]) -> str:
    return f"Command `{found['command']}` at commit `{found['commit'][:10]}`."


def _read(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))
