"""Scores subject by subject, for sets of so few people that no test of them means anything.

Within a subject, a model is fitted on some blocks and judged on the others; across subjects, it is
fitted on everybody else. Every trial is judged once and a subject's score is of all its trials.
Differences between two rows are shown for each subject, with their mean and range and without a
claim of significance: six subjects cannot carry one (the smallest two-sided p of a signed-rank test
is 0.03, of five 0.06).

Letters: n trials, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from biojepa.errors import DataError
from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.rows import Kind, Scores
from biojepa.evaluation.spent import Spent

Metric = Literal["accuracy", "auc"]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SubjectFold:
    """One fit, judged on trials of one subject.

    Parameters
    ----------
    subject : str
        Who is judged.
    train, test : ndarray of int
    """

    subject: str
    train: Rows
    test: Rows


@dataclass(frozen=True)
class SubjectProtocol:
    """All fits of an evaluation.

    Parameters
    ----------
    name : {"within", "across"}
    text : str
        For reports.
    folds : tuple of SubjectFold
    """

    name: Literal["within", "across"]
    text: str
    folds: tuple[SubjectFold, ...]


def within_subjects(subject: ArrayLike, block: ArrayLike, *, blocks: str) -> SubjectProtocol:
    """Each block of a subject is judged by a model fitted on the subject's other blocks.

    Parameters
    ----------
    subject, block : array-like, shape (n,)
    blocks : str
        What a block is, for reports.

    Raises
    ------
    DataError
        If a subject has one block only.
    """
    who, where = np.asarray(subject), np.asarray(block)
    folds = []
    for name in np.unique(who):
        own = who == name
        parts = np.unique(where[own])
        if len(parts) < 2:
            raise DataError(f"expected two blocks of subject {name}, got one: {parts[0]}")
        for part in parts:
            test = own & (where == part)
            folds.append(SubjectFold(str(name), np.flatnonzero(own & ~test), np.flatnonzero(test)))
    text = f"within a subject, {blocks} by {blocks}: fitted on the others"
    return SubjectProtocol("within", text, tuple(folds))


def across_subjects(subject: ArrayLike) -> SubjectProtocol:
    """Each subject is judged by a model fitted on all others.

    Raises
    ------
    DataError
        If there is one subject only.
    """
    who = np.asarray(subject)
    names = np.unique(who)
    if len(names) < 2:
        raise DataError("expected two subjects to leave one out, got one")
    folds = tuple(
        SubjectFold(str(name), np.flatnonzero(who != name), np.flatnonzero(who == name))
        for name in names
    )
    return SubjectProtocol("across", "across subjects: fitted on all others", folds)


@dataclass(frozen=True)
class SubjectRow:
    """A row of the table.

    Parameters
    ----------
    name, title : str
    kind : {"chance", "random", "classical", "supervised", "mae", "jepa"}
    make : callable
        `make(seed, fold)` gives a classifier with `fit(X, y)` and `predict_proba` or
        `decision_function`.
    n_seeds : int or None
        At most so many seeds.
    settings : mapping
        All else that the scores depend on, JSON-able.
    transductive : bool
        The judged trials were seen without labels before.
    """

    name: str
    title: str
    kind: Kind
    make: Callable[[int, SubjectFold], Any]
    n_seeds: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    transductive: bool = False


def run_subject_row(
    row: SubjectRow, X: NDArray, y: NDArray, protocol: SubjectProtocol, seed: int
) -> Scores:
    """Fit and score all folds.

    Returns
    -------
    Scores
        Of every trial, (n, K).
    """
    n_classes = int(y.max()) + 1
    values = np.full((len(y), n_classes), np.nan)
    began = Spent.now()
    for fold in protocol.folds:
        model = row.make(seed, fold).fit(X[fold.train], y[fold.train])
        values[fold.test] = _scores(model, X[fold.test], n_classes, row.name)
    return Scores(values, Spent.now() - began)


def subject_scores(
    y: NDArray, scores: NDArray, subject: NDArray, metric: Metric
) -> dict[str, float]:
    """Accuracy, or area under the curve of the second class, of each subject's trials."""
    found = {}
    for name in np.unique(subject):
        own = subject == name
        if metric == "accuracy":
            found[str(name)] = float((scores[own].argmax(axis=1) == y[own]).mean())
        else:
            margin = scores[own, 1] - scores[own, 0]
            found[str(name)] = macro_auc(y[own, None], margin[:, None])
    return found


def chance_bound(y: NDArray, metric: Metric) -> float:
    """What 95 of 100 who guess stay at or below, for trials of these labels.

    The binomial quantile of accuracy, for the answer "the most frequent class" or a fair guess; for
    the area under the curve that of the Mann-Whitney statistic in its normal form.
    """
    count = np.bincount(y)
    count = count[count > 0]
    n = int(count.sum())
    if metric == "accuracy":
        return float(stats.binom.ppf(0.95, n, max(count) / n) / n)
    spread = np.sqrt((n + 1) / (12 * float(np.prod(count, dtype=float))))
    return float(0.5 + stats.norm.ppf(0.95) * spread)


@dataclass(frozen=True)
class Gap:
    """Differences of two rows over the same subjects.

    Parameters
    ----------
    by_subject : mapping of subject to float
    mean, low, high : float
        Mean and range over subjects.
    n_above : int
        Subjects with a positive difference.
    """

    by_subject: Mapping[str, float]
    mean: float
    low: float
    high: float
    n_above: int

    def __str__(self) -> str:
        return (
            f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f}; above in {self.n_above} of "
            f"{len(self.by_subject)})"
        )


@dataclass(frozen=True)
class SubjectResult:
    """What one row reached.

    Parameters
    ----------
    name, title, kind, transductive
        Of the row.
    seeds : tuple of int
    by_subject : mapping of subject to list of float
        Score of each seed.
    minutes, cpu_minutes : float
        Of fitting and scoring a seed; pretraining that rows share is counted apart.
    """

    name: str
    title: str
    kind: Kind
    transductive: bool
    seeds: tuple[int, ...]
    by_subject: Mapping[str, list[float]]
    minutes: float
    cpu_minutes: float

    @property
    def subjects(self) -> dict[str, float]:
        """Mean over seeds."""
        return {name: float(np.mean(values)) for name, values in self.by_subject.items()}

    @property
    def mean(self) -> float:
        """Over subjects and seeds."""
        return float(np.mean(list(self.subjects.values())))

    def over(self, other: SubjectResult) -> Gap:
        """Differences to another row, subject by subject."""
        theirs = other.subjects
        found = {name: value - theirs[name] for name, value in self.subjects.items()}
        values = list(found.values())
        n_above = sum(value > 0 for value in values)
        return Gap(found, float(np.mean(values)), min(values), max(values), n_above)

    def numbers(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self) | {"mean": self.mean}


def subject_results(
    rows: Sequence[SubjectRow],
    scores: Mapping[str, Mapping[int, Scores]],
    y: NDArray,
    subject: NDArray,
    metric: Metric,
) -> list[SubjectResult]:
    """Results of all rows with scores, in their order."""
    results = []
    for row in rows:
        runs = scores.get(row.name)
        if not runs:
            continue
        each = [subject_scores(y, run.values, subject, metric) for run in runs.values()]
        results.append(
            SubjectResult(
                name=row.name,
                title=row.title,
                kind=row.kind,
                transductive=row.transductive,
                seeds=tuple(runs),
                by_subject={name: [found[name] for found in each] for name in each[0]},
                minutes=float(np.mean([run.spent.wall_s for run in runs.values()])) / 60,
                cpu_minutes=float(np.mean([run.spent.cpu_s for run in runs.values()])) / 60,
            )
        )
    return results


def strongest_classical(results: Sequence[SubjectResult]) -> SubjectResult | None:
    """The classical row with the largest mean: chosen on the judged trials, in its favour."""
    classical = [r for r in results if r.kind == "classical"]
    return max(classical, key=lambda r: r.mean, default=None)


def subject_verdict(
    own: SubjectResult, other: SubjectResult, *, what: str, metric: Metric, bound: float
) -> str:
    """What the differences say, also when that is bad news; no claim of significance."""
    gap = own.over(other)
    n = len(gap.by_subject)
    over = sum(value > bound for value in own.subjects.values())
    word = "level with"
    if gap.low > 0 or gap.high < 0:
        word = "above" if gap.low > 0 else "below"
    elif gap.mean:
        word = "on average above" if gap.mean > 0 else "on average below"
    name = {"accuracy": "accuracy", "auc": "AUC"}[metric]
    people = "this one subject" if n == 1 else f"these {n} subjects"
    return (
        f"{what}, {people}: {own.title} reaches {name} {own.mean:.3f} and is {word} {other.title} "
        f"({other.mean:.3f}): difference {gap.mean:+.3f}, from {gap.low:+.3f} to {gap.high:+.3f}, "
        f"above in {gap.n_above} of {n}; {over} of {n} beyond the bound of chance ({bound:.3f}). "
        f"{'One subject cannot' if n == 1 else f'{n} subjects cannot'} carry a claim of "
        "significance, and none is made."
    )


def _scores(model: Any, X: NDArray, n_classes: int, name: str) -> NDArray[np.float64]:
    """Scores (n, K) of a fitted classifier."""
    ask = getattr(model, "predict_proba", None) or model.decision_function
    found = np.asarray(ask(X), dtype=np.float64)
    if found.ndim == 1:
        found = np.stack([-found, found], axis=1)
    if found.shape != (len(X), n_classes):
        raise DataError(
            f"expected scores ({len(X)}, {n_classes}) of the row {name!r}, got {found.shape}: is a "
            "class missing in a training part?"
        )
    return found
