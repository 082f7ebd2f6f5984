"""A benchmark of several questions on the same people: numbers and classes, one table each.

A task has its own labels, splits and metric. Its rows are those of `rows`, fitted by `run_row`; for
numbers, `decision_function` is the prediction. Each row gets an interval over subjects, the paired
difference to the strongest simple baseline, and a permutation p.

Letters: n records, C columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.evaluation.bootstrap import BootstrapResult, Metric
from biojepa.evaluation.metrics import Floats, auprc, macro_auc
from biojepa.evaluation.permutation import permutation_p
from biojepa.evaluation.protocol import Protocol
from biojepa.evaluation.regression import mean_absolute_error, pearson_r, r_squared
from biojepa.evaluation.rows import Kind, LabelledSignals, Row, Scores
from biojepa.evaluation.seeds import bootstrap_seeds, side_by_side
from biojepa.evaluation.verdict import verdict


@dataclass(frozen=True)
class Measure:
    """A metric with its name.

    Parameters
    ----------
    name, title : str
        For files and for people.
    function : callable
        A mean over columns.
    larger_is_better : bool
    """

    name: str
    title: str
    function: Metric
    larger_is_better: bool = True


MAE = Measure("mae", "mean absolute error", mean_absolute_error, larger_is_better=False)
R = Measure("r", "r", pearson_r)
R2 = Measure("r2", "R²", r_squared)
AUC = Measure("auc", "AUC", macro_auc)
AUPRC = Measure("auprc", "AUPRC", auprc)


@dataclass(frozen=True)
class Task:
    """A question.

    Parameters
    ----------
    name, title : str
    data : LabelledSignals
        For the rows: `X` is whatever they take, `y` (n, 1).
    protocol : Protocol
    measures : sequence of Measure
        The first is the one that intervals, p and verdict are of.
    judged : ndarray, shape (n, C), optional
        Labels as they are judged, if not `data.y`: AUC within sites has a column a site, NaN for
        the records of others.
    blocks : ndarray, shape (n,), optional
        Permutations stay within them.
    unit : str
        Of numbers.
    note : str
        What to know when reading the table.
    """

    name: str
    title: str
    data: LabelledSignals
    protocol: Protocol
    measures: tuple[Measure, ...]
    judged: Floats | None = None
    blocks: NDArray[Any] | None = None
    unit: str = ""
    note: str = ""

    @property
    def labels(self) -> Floats:
        """Labels as they are judged, (n, C)."""
        return self.data.y if self.judged is None else self.judged


@dataclass(frozen=True)
class TaskRow:
    """A line of a task's table.

    Parameters
    ----------
    name, title : str
    kind : str
    seeds : tuple of int
    seed_values : tuple of float
        First measure of each seed.
    value : BootstrapResult
        First measure, mean over seeds.
    difference : BootstrapResult or None
        To the strongest classical row, paired; None for that row itself.
    others : dict of str to float
        The other measures.
    p : float
        Of the permutation test on the mean over seeds.
    minutes, cpu_minutes : float
        Of fitting and scoring a seed.
    transductive : bool
        Whether somebody who is judged was seen, without labels, in pretraining.
    predictions : ndarray, shape (n_test,)
        Mean over seeds, first column; in the order of `protocol.test`.
    over : dict of str to BootstrapResult
        First measure above that of other rows, by their names; paired.
    """

    name: str
    title: str
    kind: Kind
    seeds: tuple[int, ...]
    seed_values: tuple[float, ...]
    value: BootstrapResult
    difference: BootstrapResult | None
    others: dict[str, float]
    p: float
    minutes: float
    cpu_minutes: float
    transductive: bool
    predictions: Floats
    over: dict[str, BootstrapResult] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """As plain values for JSON."""
        plain = ["name", "title", "kind", "seeds", "seed_values", "others", "p", "minutes"]
        plain += ["cpu_minutes", "transductive"]
        return {
            **{key: getattr(self, key) for key in plain},
            "value": self.value.summary(),
            "difference": None if self.difference is None else self.difference.summary(),
            "over": {name: gap.summary() for name, gap in self.over.items()},
        }


def task_table(
    task: Task,
    rows: Sequence[Row],
    scores: Mapping[str, Mapping[int, Scores]],
    *,
    transductive: Sequence[str] = (),
    contrasts: Sequence[tuple[str, str]] = (),
    n_resamples: int = 1000,
    random_state: int = 0,
) -> list[TaskRow]:
    """Results of all rows of a task, in their order.

    Parameters
    ----------
    task : Task
    rows : sequence of Row
    scores : mapping of row name to mapping of seed to Scores
        Rows without scores are left out.
    transductive : sequence of str
        Rows whose pretraining has seen those who are judged.
    contrasts : sequence of (str, str)
        A row and another that it is set against, beside the strongest baseline.
    n_resamples : int
        Of subjects, and of permutations.
    random_state : int

    Returns
    -------
    list of TaskRow

    Raises
    ------
    DataError
        If nothing can be judged.
    """
    test, first = task.protocol.test, task.measures[0]
    y, groups = task.labels[test], task.data.groups[test]
    done = [row for row in rows if scores.get(row.name)]
    runs = {
        row.name: [_as_judged(s.values[test], y.shape[1]) for s in scores[row.name].values()]
        for row in done
    }
    point = {
        name: float(np.mean([first.function(y, s) for s in own])) for name, own in runs.items()
    }
    best = strongest_classical(point, done, larger_is_better=first.larger_is_better)
    options: dict[str, Any] = {
        "metric": first.function,
        "groups": groups,
        "n_resamples": n_resamples,
        "random_state": random_state,
    }
    results = []
    for row in done:
        own, spent = runs[row.name], [s.spent for s in scores[row.name].values()]
        other = None if best in (None, row.name) else runs[best]
        results.append(
            TaskRow(
                name=row.name,
                title=row.title,
                kind=row.kind,
                seeds=tuple(scores[row.name]),
                seed_values=tuple(float(first.function(y, s)) for s in own),
                value=bootstrap_seeds(y, own, **options),
                difference=None if other is None else bootstrap_seeds(y, own, other, **options),
                others={
                    m.name: float(np.mean([m.function(y, s) for s in own]))
                    for m in task.measures[1:]
                },
                p=permutation_p(
                    np.tile(y, (1, len(own))),
                    side_by_side(own, len(own)),
                    metric=first.function,
                    larger_is_better=first.larger_is_better,
                    groups=groups,
                    blocks=None if task.blocks is None else task.blocks[test],
                    n_permutations=n_resamples,
                    random_state=random_state,
                ),
                minutes=float(np.mean([s.wall_s for s in spent])) / 60,
                cpu_minutes=float(np.mean([s.cpu_s for s in spent])) / 60,
                transductive=row.name in transductive,
                predictions=np.mean([s[:, 0] for s in own], axis=0),
                over={
                    name: bootstrap_seeds(y, own, runs[name], **options)
                    for one, name in contrasts
                    if one == row.name and name in runs
                },
            )
        )
    return results


def strongest_classical(
    value: Mapping[str, float], rows: Sequence[Row], *, larger_is_better: bool
) -> str | None:
    """The classical row with the best value: chosen on the judged records, in its favour."""
    names = [row.name for row in rows if row.kind == "classical" and row.name in value]
    sign = 1 if larger_is_better else -1
    return max(names, key=lambda name: sign * value[name], default=None)


def task_verdict(task: Task, results: Sequence[TaskRow], headline: Sequence[str]) -> str:
    """The sentence on the first of the rows named `headline` that was run."""
    by_name = {r.name: r for r in results}
    own = next((by_name[name] for name in headline if name in by_name), None)
    best = [r for r in results if r.kind == "classical" and r.difference is None]
    if own is None or not best or own.difference is None:
        return f"{task.title}: no verdict, it takes a JEPA row and a classical row."
    n, people = own.value.n_records, own.value.n_groups
    what = f"{task.title} ({n:,} runs of {people:,} people)"
    metric = task.measures[0].title + (f" ({task.unit})" if task.unit else "")
    return verdict(
        own.title,
        best[0].title,
        own.difference,
        what=what,
        metric=metric,
        larger_is_better=task.measures[0].larger_is_better,
    ).replace("over patients", "over people")


def _as_judged(scores: Floats, n_columns: int) -> Floats:
    """Scores (n, 1) repeated for every column that is judged."""
    return np.repeat(scores, n_columns, axis=1) if scores.shape[1] == 1 else scores
