"""What a benchmark leaves behind: `results.csv`, `results.json` and a self-contained `report.html`.

The numbers of the page are those of the files. Negative results stay, and so does what was not run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from biojepa.data.csv_safe import write_csv
from biojepa.engine.files import write_text
from biojepa.evaluation import html
from biojepa.evaluation.bootstrap import BootstrapResult
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.studies import LabelPoint
from biojepa.evaluation.table import RowResult
from biojepa.plotting.benchmark import (
    MIN_ANSWERS,
    plot_intervals,
    plot_label_efficiency,
    plot_reliability,
    plot_robustness,
)

SIMULATED = (
    "The recordings are simulated. The figures show that the program works; they say nothing about "
    "patients."
)


@dataclass(frozen=True)
class Picture:
    """A figure of the caller's own, with its heading and caption."""

    heading: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Outcome:
    """Everything that a benchmark found.

    Parameters
    ----------
    title : str
    facts : mapping of str to object
        Data, protocol, commit, versions; JSON-able.
    verdict, overlap : str
        Sentences.
    results : sequence of RowResult
    n_records, n_train : int
        Judged records, and labelled records of a training part.
    not_run : mapping of row to reason
    pretraining_minutes : mapping of encoder to float
    spent : Spent
        On all rows, seeds and pretrainings of the table, also those of an earlier start.
    labels : mapping of row to sequence of LabelPoint
    robustness : mapping of row to mapping of family to mapping of level to float
    pictures : sequence of Picture
    limits : sequence of str
        What the numbers do not show.
    simulated : bool
    """

    title: str
    facts: Mapping[str, Any]
    verdict: str
    overlap: str
    results: Sequence[RowResult]
    n_records: int
    n_train: int
    not_run: Mapping[str, str] = field(default_factory=dict)
    pretraining_minutes: Mapping[str, float] = field(default_factory=dict)
    spent: Spent = Spent()
    labels: Mapping[str, Sequence[LabelPoint]] = field(default_factory=dict)
    robustness: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    limits: Sequence[str] = ()
    simulated: bool = False


def write_outcome(outcome: Outcome, out: Path) -> Path:
    """Write the three files.

    Parameters
    ----------
    outcome : Outcome
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
    classes = list(outcome.results[0].per_class.index) if outcome.results else []
    write_csv(out / "results.csv", [*_COLUMNS, *(f"auc {c}" for c in classes)], _lines(outcome))
    text = json.dumps(finite(_numbers(outcome)), indent=1, allow_nan=False)
    write_text(out / "results.json", text + "\n")
    write_text(out / "report.html", render(outcome))
    return out / "report.html"


def render(outcome: Outcome) -> str:
    """The page."""
    parts = []
    if outcome.simulated:
        parts.append(html.paragraph(SIMULATED, style="warning"))
    parts.append(html.paragraph(outcome.verdict, style="verdict"))
    parts.append(html.paragraph(f"Pretraining and judged records: {outcome.overlap}."))
    parts += _table(outcome)
    if outcome.labels:
        parts += _labels(outcome)
    parts += _calibration(outcome)
    if outcome.robustness:
        parts.append(html.heading("Disturbed recordings"))
        caption = (
            "Change of macro AUC, in hundredths, when the test records are disturbed and the "
            "models are not; in brackets the AUC without disturbance."
        )
        title = {r.name: r.title for r in outcome.results}
        figure = plot_robustness({title.get(n, n): t for n, t in outcome.robustness.items()})
        parts.append(html.picture(figure, what="heat map of robustness", caption=caption))
    for own in outcome.pictures:
        parts.append(html.heading(own.heading))
        parts.append(html.picture(own.figure, what=own.heading, caption=own.caption))
    parts.append(html.heading("What this does not show"))
    parts.append(html.bullets(outcome.limits))
    parts.append(html.heading("Data and settings"))
    parts.append(html.table(("", ""), [(k, _plain(v)) for k, v in outcome.facts.items()]))
    return html.page(outcome.title, parts)


def finite(value: Any) -> Any:
    """The same with None for NaN and infinities, which JSON lacks."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


_COLUMNS = (
    "row",
    "seed",
    "auc",
    "auc_low",
    "auc_high",
    "difference",
    "difference_low",
    "difference_high",
    "auprc",
    "f1",
    "accuracy",
    "brier",
    "brier_scaled",
    "ece",
    "ece_scaled",
    "minutes",
    "cpu_minutes",
)


def _lines(outcome: Outcome) -> list[list[object]]:
    """One line a row for all its seeds, then one a seed."""
    lines: list[list[object]] = []
    for r in outcome.results:
        d = r.difference
        gap = ["", "", ""] if d is None else [d.point, d.low, d.high]
        fixed = [r.auprc, r.f1, "" if r.accuracy is None else r.accuracy]
        fixed += [r.brier, r.brier_scaled, r.ece, r.ece_scaled, r.minutes, r.cpu_minutes]
        line = [r.name, "all", r.auc.point, r.auc.low, r.auc.high, *gap, *fixed]
        lines.append([*line, *r.per_class["auc"].tolist()])
        empty = [""] * (len(line) - 3 + len(r.per_class))
        lines += [[r.name, k, a, *empty] for k, a in zip(r.seeds, r.seed_auc, strict=True)]
    return lines


def _numbers(outcome: Outcome) -> dict[str, Any]:
    return {
        "title": outcome.title,
        "simulated": outcome.simulated,
        "facts": dict(outcome.facts),
        "verdict": outcome.verdict,
        "overlap": outcome.overlap,
        "n_records": outcome.n_records,
        "n_train": outcome.n_train,
        "rows": [result.numbers() for result in outcome.results],
        "not_run": dict(outcome.not_run),
        "pretraining_minutes": dict(outcome.pretraining_minutes),
        "spent": asdict(outcome.spent),
        "label_efficiency": {n: [asdict(p) for p in c] for n, c in outcome.labels.items()},
        "robustness": {name: dict(found) for name, found in outcome.robustness.items()},
        "limits": list(outcome.limits),
    }


def _table(outcome: Outcome) -> list[str]:
    exclusive = any(r.accuracy is not None for r in outcome.results)
    header = ["model", "macro AUC (95 %)", "difference (95 %)", "seeds", "AUPRC", "F1"]
    header += [*["accuracy"] * exclusive, "Brier", "ECE", "ECE scaled", "min a seed"]
    best = [r.title for r in outcome.results if r.kind == "classical" and r.difference is None]
    rows = []
    for r in outcome.results:
        seeds = ", ".join(f"{value:.3f}" for value in r.seed_auc)
        gap = "" if r.difference is None else _interval(r.difference, "+.3f")
        share = [] if r.accuracy is None else [r.accuracy]
        numbers = [r.auprc, r.f1, *share, r.brier, r.ece, r.ece_scaled]
        cells = [f"{value:.3f}" for value in numbers]
        rows.append([r.title, _interval(r.auc, ".3f"), gap, seeds, *cells, f"{r.minutes:.1f}"])
    names = [r.name for r in outcome.results]
    forest = plot_intervals(
        [r.title for r in outcome.results],
        [r.auc.point for r in outcome.results],
        [(r.auc.low, r.auc.high) for r in outcome.results],
        seeds=[r.seed_auc for r in outcome.results],
        reference=best[0] if best else None,
        ordinary=[r.title for r in outcome.results if r.kind != "jepa"],
    )
    to = "No classical row was run, so there are no differences."
    if best:
        to = (
            f"Differences are to the strongest classical row ({best[0]}), paired on the same "
            "resamples of patients; that row was chosen on these records, in its favour."
        )
    fixed = "F1 and scaled probabilities use thresholds and temperatures fixed on other records."
    if exclusive:
        fixed = (
            "Every record has exactly one class, which the models were told (softmax); F1 and "
            "accuracy are of the most likely class, scaled probabilities use temperatures fixed "
            "on other records."
        )
    note = f"{outcome.n_records:,} judged records. {to} {fixed}"
    parts = [html.heading("Table"), html.table(header, rows), html.paragraph(note, style="note")]
    parts.append(html.picture(forest, what=f"macro AUC of {', '.join(names)}"))
    if outcome.not_run:
        parts.append(html.bullets([f"not run: {k} ({v})" for k, v in outcome.not_run.items()]))
    if outcome.pretraining_minutes:
        spent = [f"{k}: {v:.1f} min" for k, v in outcome.pretraining_minutes.items()]
        parts.append(
            html.paragraph(
                f"Pretraining, shared by rows (number of runs): {'; '.join(spent)} each."
            )
        )
    if outcome.spent.wall_s:
        wall, cpu = outcome.spent.wall_s / 60, outcome.spent.cpu_s / 60
        whole = f"The whole table took {wall:.1f} minutes, {cpu:.1f} minutes of processor time."
        parts.append(html.paragraph(whole))
    return parts + _classes(outcome.results)


def _classes(results: Sequence[RowResult]) -> list[str]:
    """AUC, AUPRC and F1 of each class, a line a class: there may be 71 of them."""
    if not results:
        return []
    parts = [html.heading("Each class")]
    header = ["class", "positives", *(r.title for r in results)]
    for column, name in (("auc", "AUC"), ("auprc", "AUPRC"), ("f1", "F1")):
        columns = [results[0].per_class["n_positive"].astype(str)]
        columns += [r.per_class[column].map(_number) for r in results]
        rows = list(zip(results[0].per_class.index, *columns, strict=True))
        parts += [html.paragraph(f"{name}:"), html.table(header, rows)]
    return parts


def _labels(outcome: Outcome) -> list[str]:
    title = {r.name: r.title for r in outcome.results}
    curves = {
        title.get(n, n): [(p.fraction, p.auc) for p in points]
        for n, points in outcome.labels.items()
    }
    none = sorted({p.fraction for c in outcome.labels.values() for p in c if not p.auc})
    caption = "Mean over draws of patients and the middle 90 % of the draws; nested, stratified."
    if none:
        parts = ", ".join(f"{100 * f:g} %" for f in none)
        caption += f" Not measured at {parts}: no subset holds two positives of every class."
    figure = plot_label_efficiency(curves, n_records=outcome.n_train)
    return [
        html.heading("Few labels"),
        html.picture(figure, what="label efficiency", caption=caption),
    ]


def _calibration(outcome: Outcome) -> list[str]:
    shown = [r for r in outcome.results if r.kind in ("jepa", "classical")][:6]
    if not shown:
        return []
    figure = plot_reliability(
        {
            "as said": {r.title: r.reliability for r in shown},
            "after temperature scaling": {r.title: r.reliability_scaled for r in shown},
        }
    )
    caption = (
        "Temperatures are fixed on validation scores. Below, the number of answers; shares of "
        f"fewer than {MIN_ANSWERS} are not drawn."
    )
    return [
        html.heading("Calibration"),
        html.picture(figure, what="reliability curves", caption=caption),
    ]


def _interval(result: BootstrapResult, form: str) -> str:
    return f"{result.point:{form}} ({result.low:{form}} to {result.high:{form}})"


def _number(value: Any) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(finite(value), sort_keys=True)
