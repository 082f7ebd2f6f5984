"""What a benchmark of several tasks leaves behind: `results.csv`, `results.json`, `report.html`.

The numbers of the page are those of the files. Negative results stay, and so does what was not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biojepa.data.csv_safe import write_csv
from biojepa.engine.files import write_text
from biojepa.evaluation import html
from biojepa.evaluation.bootstrap import BootstrapResult
from biojepa.evaluation.report import SIMULATED, Picture, finite
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.tasks import Task, TaskRow
from biojepa.plotting.benchmark import plot_intervals

TRANSDUCTIVE = " (transductive)"


@dataclass(frozen=True)
class TaskOutcome:
    """Everything that a benchmark of tasks found.

    Parameters
    ----------
    title : str
    facts : mapping of str to object
        Data, protocol, commit, versions; JSON-able.
    tasks : sequence of (Task, sequence of TaskRow, verdict)
    overlap : str
        Whether those who are judged were seen in pretraining.
    not_run : mapping of row to reason
    pretraining : Spent
        On all pretraining.
    spent : Spent
        On everything, also in an earlier start.
    pictures : sequence of Picture
    limits : sequence of str
        What the numbers do not show.
    simulated : bool
    """

    title: str
    facts: Mapping[str, Any]
    tasks: Sequence[tuple[Task, Sequence[TaskRow], str]]
    overlap: str
    not_run: Mapping[str, str] = field(default_factory=dict)
    pretraining: Spent = Spent()
    spent: Spent = Spent()
    pictures: Sequence[Picture] = ()
    limits: Sequence[str] = ()
    simulated: bool = False

    def rows(self, task: str) -> dict[str, TaskRow]:
        """The rows of a task by name."""
        return {r.name: r for t, rows, _ in self.tasks if t.name == task for r in rows}


def write_task_outcome(outcome: TaskOutcome, out: Path) -> Path:
    """Write the three files.

    Parameters
    ----------
    outcome : TaskOutcome
    out : Path
        Folder, made if absent.

    Returns
    -------
    Path
        `report.html`.

    Raises
    ------
    RunError
        If a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "results.csv", _COLUMNS, _lines(outcome))
    text = json.dumps(finite(task_numbers(outcome)), indent=1, allow_nan=False)
    write_text(out / "results.json", text + "\n")
    write_text(out / "report.html", render_tasks(outcome))
    return out / "report.html"


def task_numbers(outcome: TaskOutcome) -> dict[str, Any]:
    """The outcome as plain values for JSON."""
    return {
        "title": outcome.title,
        "simulated": outcome.simulated,
        "facts": dict(outcome.facts),
        "overlap": outcome.overlap,
        "pretraining": asdict(outcome.pretraining),
        "spent": asdict(outcome.spent),
        "not_run": dict(outcome.not_run),
        "limits": list(outcome.limits),
        "tasks": {
            task.name: {
                "title": task.title,
                "measure": task.measures[0].name,
                "unit": task.unit,
                "protocol": task.protocol.text,
                "note": task.note,
                "verdict": verdict,
                "rows": [row.numbers() for row in rows],
            }
            for task, rows, verdict in outcome.tasks
        },
    }


def render_tasks(outcome: TaskOutcome) -> str:
    """The page."""
    parts = []
    if outcome.simulated:
        parts.append(html.paragraph(SIMULATED, style="warning"))
    for _, _, verdict in outcome.tasks:
        parts.append(html.paragraph(verdict, style="verdict"))
    parts.append(html.paragraph(outcome.overlap))
    for task, rows, _ in outcome.tasks:
        parts += _task(task, rows)
    for own in outcome.pictures:
        parts.append(html.heading(own.heading))
        parts.append(html.picture(own.figure, what=own.heading, caption=own.caption))
    parts.append(html.heading("What it took"))
    parts.append(html.paragraph(f"Pretraining: {_time(outcome.pretraining)}."))
    parts.append(html.paragraph(f"Everything: {_time(outcome.spent)}."))
    if outcome.not_run:
        parts.append(html.bullets([f"not run: {k} ({v})" for k, v in outcome.not_run.items()]))
    parts.append(html.heading("What this does not show"))
    parts.append(html.bullets(outcome.limits))
    parts.append(html.heading("Data and settings"))
    shown = [
        (k, v if isinstance(v, str) else json.dumps(finite(v))) for k, v in outcome.facts.items()
    ]
    parts.append(html.table(("", ""), shown))
    return html.page(outcome.title, parts)


def _task(task: Task, rows: Sequence[TaskRow]) -> list[str]:
    if not rows:
        return []
    first = task.measures[0]
    unit = f", {task.unit}" if task.unit else ""
    head = ["model", f"{first.title}{unit} (95 % interval)", "against the strongest baseline"]
    head += [m.title for m in task.measures[1:]] + ["p", "minutes", "CPU minutes"]
    lines = []
    for r in rows:
        gap = "is that baseline" if r.difference is None else _interval(r.difference, "+.3f")
        lines.append(
            [
                r.title + (TRANSDUCTIVE if r.transductive else ""),
                _interval(r.value, ".3f"),
                gap,
                *(f"{v:.3f}" for v in r.others.values()),
                f"{r.p:.3f}",
                f"{r.minutes:.2f}",
                f"{r.cpu_minutes:.2f}",
            ]
        )
    figure = plot_intervals(
        [r.title for r in rows],
        [r.value.point for r in rows],
        [(r.value.low, r.value.high) for r in rows],
        seeds=[r.seed_values for r in rows],
        reference=next((r.title for r in rows if r.difference is None), None),
        ordinary=[r.title for r in rows if r.kind != "jepa"],
        label=first.title + unit,
    )
    better = "larger" if first.larger_is_better else "smaller"
    caption = f"{better.capitalize()} is better; the dashed line is the strongest simple baseline."
    parts = [html.heading(task.title)]
    if task.note:
        parts.append(html.paragraph(task.note, style="note"))
    parts += [html.table(head, lines), html.picture(figure, what=task.title, caption=caption)]
    titles = {r.name: r.title for r in rows}
    pairs = [
        f"{r.title}, less {titles[name]}: {_interval(gap, '+.3f')}"
        for r in rows
        for name, gap in r.over.items()
    ]
    if pairs:
        parts += [html.paragraph("Other paired differences:"), html.bullets(pairs)]
    parts.append(html.paragraph(task.protocol.text, style="note"))
    return parts


_COLUMNS = (
    "task",
    "row",
    "seed",
    "measure",
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "transductive",
    "minutes",
    "cpu_minutes",
)


def _lines(outcome: TaskOutcome) -> list[list[object]]:
    """One line a task, row and measure for all seeds, then the first measure of each seed."""
    lines: list[list[object]] = []
    for task, rows, _ in outcome.tasks:
        first = task.measures[0].name
        for r in rows:
            d = r.difference
            gap: list[object] = ["", "", ""] if d is None else [d.point, d.low, d.high]
            spent = [r.p, int(r.transductive), r.minutes, r.cpu_minutes]
            value = [first, r.value.point, r.value.low, r.value.high]
            lines.append([task.name, r.name, "all", *value, *gap, *spent])
            empty: list[object] = [""] * 9
            lines += [[task.name, r.name, "all", name, v, *empty] for name, v in r.others.items()]
            seeds = zip(r.seeds, r.seed_values, strict=True)
            lines += [[task.name, r.name, seed, first, v, *empty] for seed, v in seeds]
    return lines


def _interval(result: BootstrapResult, form: str) -> str:
    return f"{result.point:{form}} ({result.low:{form}} to {result.high:{form}})"


def _time(spent: Spent) -> str:
    return f"{spent.wall_s / 60:.1f} minutes, {spent.cpu_s / 60:.1f} of processor time"
