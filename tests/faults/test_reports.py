"""Rows R1 and R2: ids that a spreadsheet or browser would run, and classes that have no score."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.cli.feature_files import open_feature_file
from biojepa.data.skips import SkipReport
from biojepa.errors import FormatError
from biojepa.evaluation import html
from biojepa.evaluation.bootstrap import bootstrap_metric
from biojepa.evaluation.metrics import auprc, brier, macro_auc, per_class_auc
from biojepa.evaluation.protocol import make_protocol
from biojepa.evaluation.report import Outcome, write_outcome
from biojepa.evaluation.rows import run_row
from biojepa.evaluation.table import make_table
from tests.evaluation.toys import CHANCE, cohort, row
from tests.faults.rows import Row, fine, in_one_child

NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]\d+)?")
IDS = {
    "formula": "=HYPERLINK(1)",
    "plus": "+1",
    "minus": "-2+3",
    "at": "@SUM(A1)",
    "tab": "\t=1",
    "newline": "\n=1",
    "blank": "  =1",
    "wide": "\uff1d1",
    "script": "<script>alert(1)</script>",
    "quote": '"><img src=x>',
    "pipe": "a|b",
    "nul": "a\0b",
    "surrogate": "a\udcff",
}


def runs(cell: str) -> bool:
    """Whether a spreadsheet would take a cell for a formula."""
    return cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\n", "\r", "\uff1d"))


def skipped(name: str) -> Callable[[Path], Callable]:
    """The list of skipped files."""

    def make(root: Path) -> Callable:
        def call() -> bool:
            report = SkipReport(1)
            report.add(name, FormatError(f"{name}: is cut"))
            report.to_csv(root / "skipped.csv")
            with open(root / "skipped.csv", newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            return len(rows) == 2 and not any(runs(cell) for cell in rows[1])

        return call

    return make


def features(name: str) -> Callable[[Path], Callable]:
    """The table of features."""

    def make(root: Path) -> Callable:
        def call() -> bool:
            with open_feature_file(root / "f.csv") as file:
                file.write([name], np.array([[-1.5, 2.0]], dtype=np.float32))
            with open(root / "f.csv", newline="", encoding="utf-8") as text:
                rows = list(csv.reader(text))
            return len(rows) == 2 and not runs(rows[1][0]) and float(rows[1][1]) == -1.5

        return call

    return make


def page(name: str) -> Callable[[Path], Callable]:
    """Every builder of the page."""

    def call() -> bool:
        parts = [html.paragraph(name), html.heading(name), html.bullets([name])]
        parts.append(html.table([name], [[name]]))
        text = html.page(name, parts)
        return "<script" not in text and "<img" not in text

    return lambda root: call


def whole_report(names: tuple[str, str, str]) -> Callable[[Path], Callable]:
    """The report of a benchmark whose classes have such names, one of them without a positive."""
    data = cohort(120)
    y = data.y.copy()
    y[:, 2] = 0
    data = replace(data, classes=names, y=y)
    protocol = make_protocol(data.y, data.groups)
    rows = [CHANCE, row("simple", "classical", 2.0)]
    scores = {r.name: {0: run_row(r, data, protocol, 0)} for r in rows}
    outcome = Outcome(
        title=names[0],
        facts={names[0]: names[1]},
        verdict=names[0],
        overlap="overlap: 0 known",
        results=make_table(rows, scores, data, protocol, n_resamples=20),
        n_records=120,
        n_train=96,
    )

    def make(root: Path) -> Callable:
        def call() -> dict:
            text = write_outcome(outcome, root / "out").read_text(encoding="utf-8")
            numbers = json.loads((root / "out" / "results.json").read_text(encoding="utf-8"))
            with open(root / "out" / "results.csv", newline="", encoding="utf-8") as file:
                cells = [cell for line in csv.reader(file) for cell in line if cell]
            formulas = [
                c for c in cells if runs(c) and not c.lstrip("-").replace(".", "").isdigit()
            ]
            per_class = numbers["rows"][1]["per_class"][names[2]]
            return {
                "formulas": formulas,
                "script": "<script" in text,
                "no score": per_class["auc"],
                "positives": per_class["n_positive"],
            }

        return call

    return make


def called(function: Callable, *arguments: Any, **options: Any) -> Callable[[Path], Callable]:
    """A plain call."""
    return lambda root: lambda: function(*arguments, **options)


def listed(y: Any, scores: Any) -> str:
    """What is said of each class."""
    return per_class_auc(y, scores, ["a", "b"]).to_csv()


Y = np.array([[0, 0], [1, 0], [0, 0], [1, 0]])
SCORES = np.array([[0.1, 0.2], [0.9, 0.3], [0.2, 0.1], [0.8, 0.4]])
WITH_NAN = np.where(np.arange(8).reshape(4, 2) == 3, np.nan, SCORES)
METRICS = {"auc": macro_auc, "auprc": auprc, "brier": brier}
ROWS: dict[str, Row] = {
    **{f"R1-{what}-skips": fine(skipped(name), "True") for what, name in IDS.items()},
    **{f"R1-{what}-features": fine(features(name), "True") for what, name in IDS.items()},
    **{f"R1-{what}-page": fine(page(name), "True") for what, name in IDS.items()},
    "R1-report": fine(
        whole_report(("=A()", "<script>1</script>", "@c")), r"'formulas': \[\], 'script': False"
    ),
    "R2-report": fine(whole_report(("a", "b", "c")), "'no score': None, 'positives': 0"),
    "R2-no-positive": fine(called(macro_auc, Y, SCORES), r"^1\.0$"),
    "R2-no-positive-listed": fine(called(listed, Y, SCORES), "b,,0,4,0"),
    "R2-no-positive-refused": Row(
        called(macro_auc, Y, SCORES, rule="all"), "refused", r"none in columns \[1\]"
    ),
    **{
        f"R2-one-class-{name}": Row(called(metric, Y[:, 1], SCORES[:, 1]), "refused", "positive")
        for name, metric in METRICS.items()
        if name != "brier"
    },
    **{
        f"R2-nan-scores-{name}": Row(called(metric, Y, WITH_NAN), "refused", "NaN in 1 of 4")
        for name, metric in METRICS.items()
    },
    "R2-ties": fine(called(macro_auc, [0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]), r"^0\.5$"),
    "R2-no-record": Row(called(macro_auc, [], []), "refused", "same records"),
    "R2-unknown-labels": Row(
        called(macro_auc, [np.nan] * 3, [0.1, 0.2, 0.3]), "refused", "positive"
    ),
    "R2-logits-as-probabilities": Row(called(brier, Y, SCORES * 9), "refused", "between 0 and 1"),
    "R2-bootstrap": fine(
        lambda root: lambda: bootstrap_metric(Y, SCORES, n_resamples=20, random_state=0).point,
        r"^1\.0$",
    ),
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_report_ends_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])
