"""Tables of several tasks, and their files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from biojepa.evaluation.protocol import make_protocol
from biojepa.evaluation.rows import LabelledSignals, Row, run_row
from biojepa.evaluation.task_report import TaskOutcome, write_task_outcome
from biojepa.evaluation.tasks import AUC, MAE, R, Task, task_table, task_verdict


class Told:
    """Says what it is told, plus noise."""

    def __init__(self, truth, noise, seed):
        self.truth, self.noise, self.rng = truth, noise, np.random.default_rng(seed)

    def fit(self, X, y, *, groups=None):
        return self

    def decision_function(self, X):
        return (self.truth[X] + self.noise * self.rng.standard_normal(len(X)))[:, None]


@pytest.fixture(scope="module")
def task():
    age = np.linspace(5, 40, 60)
    people = np.array([f"p{i}" for i in range(60)])
    data = LabelledSignals(np.arange(60), age[:, None], people, ("age",))
    return Task("age", "age", data, make_protocol(age, people), (MAE, R), unit="years")


@pytest.fixture(scope="module")
def table(task):
    age = task.data.y[:, 0]
    rows = [
        Row("poor", "poor baseline", "classical", lambda s, X: Told(age, 12.0, s), 1),
        Row("fair", "fair baseline", "classical", lambda s, X: Told(age, 6.0, s), 1),
        Row("good", "JEPA", "jepa", lambda s, X: Told(age, 1.0, s)),
        Row("never", "not run", "jepa", lambda s, X: Told(age, 1.0, s)),
    ]
    scores = {
        row.name: {s: run_row(row, task.data, task.protocol, s) for s in range(row.n_seeds or 2)}
        for row in rows[:3]
    }
    return task_table(task, rows, scores, transductive=("good",), n_resamples=200)


def test_the_strongest_baseline_is_the_one_with_the_least_error(table):
    assert [r.name for r in table if r.difference is None] == ["fair"]
    poor, _, good = table
    assert poor.difference.low > 0 > good.difference.high
    assert good.value.low < good.value.point < good.value.high
    assert good.others["r"] > 0.95
    assert good.p < 0.01
    assert good.value.point == pytest.approx(np.mean(good.seed_values))


def test_the_verdict_knows_that_less_error_is_better(task, table):
    assert "JEPA is better than fair baseline" in task_verdict(task, table, ("good",))
    assert "poor baseline is worse than" in task_verdict(task, table, ("absent", "poor"))
    assert "no verdict" in task_verdict(task, table, ("fair",))


def test_labels_as_judged_may_have_a_column_a_site():
    site = np.repeat([0, 1], 30)
    y = (np.arange(60) % 2).astype(float)
    people = np.arange(60).astype(str)
    data = LabelledSignals(np.arange(60), y[:, None], people, ("group",))
    judged = np.where(site[:, None] == [0, 1], y[:, None], np.nan)
    task = Task("g", "g", data, make_protocol(y, people), (AUC,), judged=judged, blocks=site)
    row = Row("site", "site", "chance", lambda s, X: Told(site.astype(float), 0.0, s), 1)
    scores = {"site": {0: run_row(row, data, task.protocol, 0)}}
    (found,) = task_table(task, [row], scores, n_resamples=50)
    assert found.value.point == 0.5
    assert found.p == 1.0


def test_the_files_hold_the_numbers_and_the_page_needs_nothing_else(task, table, tmp_path):
    verdict = task_verdict(task, table, ("good",))
    outcome = TaskOutcome("t", {"a": 1}, [(task, table, verdict)], "Nobody.", {"x": "<b>"})
    page = write_task_outcome(outcome, tmp_path).read_text(encoding="utf-8")
    assert "(transductive)" in page
    assert verdict in page
    assert "<b>" not in page
    numbers = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    good = numbers["tasks"]["age"]["rows"][2]
    assert good["transductive"]
    assert good["value"]["point"] == table[2].value.point
    lines = list(
        csv.DictReader((tmp_path / "results.csv").read_text(encoding="utf-8").splitlines())
    )
    values = [float(w["value"]) for w in lines if w["row"] == "good" and w["measure"] == "mae"]
    assert values == [table[2].value.point, *table[2].seed_values]
    assert outcome.rows("age")["good"] is table[2]
