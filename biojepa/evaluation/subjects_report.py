"""What a benchmark of few subjects leaves behind: `results.csv`, `results.json`, `report.html`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biojepa.data.csv_safe import write_csv
from biojepa.engine.files import write_text
from biojepa.evaluation import html
from biojepa.evaluation.report import SIMULATED, Picture, finite
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.subjects import Gap, Metric, SubjectResult, strongest_classical
from biojepa.plotting.subjects import plot_pairs, plot_subjects

METRIC = {"accuracy": "accuracy", "auc": "area under the curve"}


@dataclass(frozen=True)
class SubjectTable:
    """One task, evaluated in one way.

    Parameters
    ----------
    task, evaluation, text : str
        Names for files, and the protocol in words.
    metric : {"accuracy", "auc"}
    bound, chance : float
        What guessing stays below with 95 % in the smallest subject's trials, and its mean.
    results : sequence of SubjectResult
    verdict : str
    pairs : sequence of (panel, row, row)
        Rows to be compared subject by subject, such as pretrained and random weights.
    """

    task: str
    evaluation: str
    text: str
    metric: Metric
    bound: float
    chance: float
    results: Sequence[SubjectResult]
    verdict: str
    pairs: Sequence[tuple[str, str, str]] = ()

    def gaps(self) -> dict[str, Gap]:
        """Second row of each pair minus the first."""
        rows = {r.name: r for r in self.results}
        return {
            panel: rows[own].over(rows[other])
            for panel, other, own in self.pairs
            if own in rows and other in rows
        }

    def numbers(self) -> dict[str, Any]:
        """As plain values for JSON."""
        best = strongest_classical(self.results)
        over = {} if best is None else {r.name: asdict(r.over(best)) for r in self.results}
        return {
            "task": self.task,
            "evaluation": self.evaluation,
            "protocol": self.text,
            "metric": self.metric,
            "bound": self.bound,
            "chance": self.chance,
            "verdict": self.verdict,
            "strongest_classical": None if best is None else best.name,
            "rows": [r.numbers() | {"over_strongest": over.get(r.name)} for r in self.results],
            "pretrained_over_random": {name: asdict(gap) for name, gap in self.gaps().items()},
        }


@dataclass(frozen=True)
class SubjectOutcome:
    """Everything that a benchmark of few subjects found.

    Parameters
    ----------
    title : str
    facts : mapping of str to object
        Data, settings, commit, versions; JSON-able.
    overlap : str
        What pretraining has seen of the judged subjects.
    tables : sequence of SubjectTable
    not_run : mapping of row to reason
    pretraining : mapping of str to Spent
        Of each encoder that rows share.
    spent : Spent
        On everything, also of an earlier start.
    limits : sequence of str
    pictures : sequence of Picture
    simulated : bool
    """

    title: str
    facts: Mapping[str, Any]
    overlap: str
    tables: Sequence[SubjectTable]
    not_run: Mapping[str, str] = field(default_factory=dict)
    pretraining: Mapping[str, Spent] = field(default_factory=dict)
    spent: Spent = Spent()
    limits: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    simulated: bool = False

    def numbers(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "title": self.title,
            "simulated": self.simulated,
            "facts": dict(self.facts),
            "overlap": self.overlap,
            "tables": [table.numbers() for table in self.tables],
            "not_run": dict(self.not_run),
            "pretraining": {name: asdict(spent) for name, spent in self.pretraining.items()},
            "spent": asdict(self.spent),
            "limits": list(self.limits),
        }


def write_subject_outcome(outcome: SubjectOutcome, out: Path) -> Path:
    """Write the three files; `report.html` is returned.

    Raises
    ------
    RunError
        If a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_csv(
        out / "results.csv",
        ("task", "evaluation", "row", "subject", "seed", outcome.tables[0].metric),
        [
            (table.task, table.evaluation, r.name, subject, seed, score)
            for table in outcome.tables
            for r in table.results
            for subject, scores in r.by_subject.items()
            for seed, score in zip(r.seeds, scores, strict=True)
        ],
    )
    text = json.dumps(finite(outcome.numbers()), indent=1, allow_nan=False)
    write_text(out / "results.json", text + "\n")
    write_text(out / "report.html", render_subjects(outcome))
    return out / "report.html"


def render_subjects(outcome: SubjectOutcome) -> str:
    """The page."""
    parts = [html.paragraph(SIMULATED, style="warning")] if outcome.simulated else []
    parts += [html.paragraph(table.verdict, style="verdict") for table in outcome.tables]
    parts.append(html.paragraph(f"Pretraining and judged subjects: {outcome.overlap}."))
    for table in outcome.tables:
        parts += _table(table)
    if outcome.not_run:
        parts.append(html.heading("Not run"))
        parts.append(html.bullets([f"{name}: {why}" for name, why in outcome.not_run.items()]))
    for own in outcome.pictures:
        parts.append(html.heading(own.heading))
        parts.append(html.picture(own.figure, what=own.heading, caption=own.caption))
    parts.append(html.heading("What it took"))
    kinds = [(n, f"{s.wall_s:.0f}", f"{s.cpu_s:.0f}") for n, s in outcome.pretraining.items()]
    total = ("everything", f"{outcome.spent.wall_s:.0f}", f"{outcome.spent.cpu_s:.0f}")
    parts.append(html.table(("encoder", "seconds", "processor seconds"), [*kinds, total]))
    parts.append(html.heading("What this does not show"))
    parts.append(html.bullets(outcome.limits))
    parts.append(html.heading("Data and settings"))
    facts = [
        (key, value if isinstance(value, str) else json.dumps(finite(value), sort_keys=True))
        for key, value in outcome.facts.items()
    ]
    parts.append(html.table(("", ""), facts))
    return html.page(outcome.title, parts)


def _table(table: SubjectTable) -> list[str]:
    subjects = list(table.results[0].by_subject)
    best = strongest_classical(table.results)
    lines = []
    for r in table.results:
        gap = "" if best is None or r.name == best.name else str(r.over(best))
        own = r.subjects
        cells = [f"{own[name]:.3f}" for name in subjects]
        title = f"{r.title}, transductive" if r.transductive else r.title
        lines.append([title, f"{r.mean:.3f}", gap, *cells, f"{60 * r.cpu_minutes:.0f}"])
    label = METRIC[table.metric]
    to = "strongest baseline" if best is None else best.title
    header = ["model", f"mean {label}", f"over {to}", *subjects, "processor s a seed"]
    how = (
        "the 95 % quantile of the binomial distribution"
        if table.metric == "accuracy"
        else "the 95 % point of the Mann-Whitney statistic of guessing"
    )
    note = (
        f"{table.text}. Bound of chance {table.bound:.3f} ({how} for the trials of the subject "
        "with the fewest). Differences: mean and range over subjects, no claim of significance. "
        "The strongest baseline was chosen on these trials, in its favour. Transductive: the "
        "judged subject's recordings were seen without labels."
    )
    parts = [html.heading(f"{table.task}: {table.evaluation} subjects"), html.table(header, lines)]
    parts.append(html.paragraph(note, style="note"))
    figure = plot_subjects(
        {r.title: r.subjects for r in table.results},
        bound=table.bound,
        chance=table.chance,
        label=label,
        ordinary=[r.title for r in table.results if r.kind != "jepa"],
    )
    parts.append(html.picture(figure, what=f"{label} of every subject by row"))
    gaps = table.gaps()
    if gaps:
        rows = {r.name: r.subjects for r in table.results}
        pairs = {p: (rows[a], rows[b]) for p, a, b in table.pairs if p in gaps}
        paired = plot_pairs(pairs, names=("random", "pretrained"), bound=table.bound, label=label)
        said = [f"{panel}: pretrained over random weights {gap}" for panel, gap in gaps.items()]
        parts += [html.picture(paired, what="random and pretrained weights"), html.bullets(said)]
    return parts
