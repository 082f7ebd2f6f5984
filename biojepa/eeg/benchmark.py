"""The BCI benchmark: every row within and across subjects, then the report.

What is done is kept in the output folder (`pretrained/`, `scores/`), so that a benchmark that was
stopped goes on. No subject who is judged was seen in pretraining, but for the row that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.eeg.benchmark_data import BCIData, BCITask
from biojepa.eeg.benchmark_encoders import FoldEncoders
from biojepa.eeg.benchmark_jobs import Fits, Table, fit_in_processes, one_thread
from biojepa.eeg.benchmark_rows import HEAD_STEPS, HEADLINE, PAIRS, choose_rows, make_rows
from biojepa.errors import DataError, MissingDependencyError
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.rows import Scores
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.subjects import (
    SubjectProtocol,
    SubjectResult,
    across_subjects,
    chance_bound,
    strongest_classical,
    subject_results,
    subject_verdict,
    within_subjects,
)
from biojepa.evaluation.subjects_report import SubjectOutcome, SubjectTable, write_subject_outcome

Say = Callable[[str], None]
STEPS = 100  # ours: of pretraining; more did not fit into the minutes of a table


@dataclass(frozen=True)
class BCISettings:
    """How much is run.

    Parameters
    ----------
    rows : tuple of str or None
        Names or kinds; None for all.
    n_seeds : int
        Of pretraining and of what is trained on labels.
    preset : str
        Of pretraining and of random weights.
    steps : int
        Of pretraining.
    head_steps : int
        Of networks trained on labels.
    patience : int or None
        Epochs without a lower loss on a held-out fifth before these stop, published as 50; None
        trains on all trials to the end.
    encoder : Path or None
        A model to use in place of pretraining on the other subjects.
    evaluations : tuple of {"within", "across"}
    """

    rows: tuple[str, ...] | None = None
    n_seeds: int = 5
    preset: str = "small"
    steps: int = STEPS
    head_steps: int = HEAD_STEPS
    patience: int | None = None
    encoder: Path | None = None
    evaluations: tuple[str, ...] = ("within", "across")


def run_bci_benchmark(
    data: BCIData,
    out: Path,
    *,
    settings: BCISettings = BCISettings(),
    jobs: int = 1,
    say: Say = print,
) -> SubjectOutcome:
    """Run everything and write `report.html`, `results.csv` and `results.json`.

    Parameters
    ----------
    data : BCIData
    out : Path
        Folder; an earlier benchmark in it is gone on with.
    settings : BCISettings
    jobs : int
        Processes; the results are the same with any number.
    say : callable
        At the top of a module, if there are several processes. Takes lines on what is done.

    Returns
    -------
    SubjectOutcome

    Raises
    ------
    ConfigError
        If a row is unknown.
    LeakageError
        If a given encoder has seen a judged subject.
    DataError
        If there is nothing to judge.
    """
    fits = _fits(data, out, settings, say)
    if not fits.tables:
        raise DataError(f"{data.title}: expected an evaluation, none of {settings.evaluations} ran")
    say(f"{data.title}: {len(data.subjects)} subjects, {len(data.channels)} channels")
    not_run = {}
    if "across" in settings.evaluations and len(data.subjects) == 1:
        not_run["across subjects"] = "it takes two subjects"
    if jobs > 1:
        fit_in_processes(_fits, (data, out, settings, say), jobs=jobs)
    tables, spent = [], Spent()
    for number, table in enumerate(fits.tables):
        with one_thread():
            scores, left_out = _score(fits, number, settings, say)
        not_run |= left_out
        spent = sum((s.spent for runs in scores.values() for s in runs.values()), spent)
        trials = table.task.trials
        results = subject_results(table.rows, scores, trials.y, trials.subject, data.metric)
        tables.append(_table(data, table, results))
        say(tables[-1].verdict)
    times = fits.encoders.times()
    outcome = SubjectOutcome(
        title=f"biojepa benchmark: {data.title}",
        facts=_facts(data, settings),
        overlap=fits.encoders.overlap,
        tables=tables,
        not_run=not_run,
        pretraining=times,
        spent=sum(times.values(), spent),
        limits=_limits(data, settings),
        simulated=data.simulated,
    )
    say(f"report: {write_subject_outcome(outcome, out)}")
    return outcome


def _fits(data: BCIData, out: Path, settings: BCISettings, say: Say) -> Fits:
    """Everything that the settings ask for."""
    encoders = FoldEncoders(
        data,
        out,
        preset=settings.preset,
        steps=settings.steps,
        given=settings.encoder,
        say=say,
    )
    tables = []
    for task in data.tasks:
        rows = make_rows(
            data, task, encoders, head_steps=settings.head_steps, patience=settings.patience
        )
        for name in settings.evaluations:
            protocol = _protocol(data, task, name)
            if protocol is not None:
                tables.append(Table(task, protocol, choose_rows(rows, settings.rows)))
    return Fits(data, encoders, tables, settings.n_seeds)


def _protocol(data: BCIData, task: BCITask, name: str) -> SubjectProtocol | None:
    trials = task.trials
    if name == "within":
        return within_subjects(trials.subject, trials.block, blocks=data.blocks)
    return across_subjects(trials.subject) if len(data.subjects) > 1 else None


def _score(
    fits: Fits, number: int, settings: BCISettings, say: Say
) -> tuple[dict[str, dict[int, Scores]], dict[str, str]]:
    """Scores of every row and seed of a table, and why a row has none."""
    table = fits.tables[number]
    scores: dict[str, dict[int, Scores]] = {}
    not_run: dict[str, str] = {}
    for row in table.rows:
        for seed in table.seeds(row, fits.n_seeds):
            found = fits.found(number, row, seed)
            if found is None:
                try:
                    found = fits.score(number, row, seed)
                except (MissingDependencyError, DataError) as error:
                    if settings.rows is not None and row.name in settings.rows:
                        raise
                    say(f"  {row.name} not run: {error}")
                    not_run[row.name] = str(error)
                    break
                say(
                    f"{table.task.name}, {table.protocol.name}: {row.name}, seed {seed}, "
                    f"{found.spent.cpu_s:.1f} s"
                )
            scores.setdefault(row.name, {})[seed] = found
    return scores, not_run


def _table(data: BCIData, table: Table, results: list[SubjectResult]) -> SubjectTable:
    task, protocol, trials, metric = table.task, table.protocol, table.task.trials, data.metric
    bound = max(
        chance_bound(trials.y[trials.subject == name], metric) for name in np.unique(trials.subject)
    )
    own = next((r for r in results if r.name == HEADLINE), None)
    own = own or next((r for r in results if r.kind == "jepa"), None)
    best = strongest_classical(results)
    what = f"{data.title}, {task.name}, {protocol.name} subjects"
    verdict = f"{what}: no verdict, which takes a JEPA row and a classical row."
    if own is not None and best is not None:
        verdict = subject_verdict(own, best, what=what, metric=metric, bound=bound)
    return SubjectTable(
        task=task.name,
        evaluation=protocol.name,
        text=protocol.text,
        metric=metric,
        bound=bound,
        chance=0.5 if metric == "auc" else float(np.bincount(trials.y).max() / len(trials)),
        results=results,
        verdict=verdict,
        pairs=PAIRS,
    )


def _facts(data: BCIData, settings: BCISettings) -> dict[str, Any]:
    return {
        "data": data.title,
        "subjects": list(data.subjects),
        "trials": {
            task.name: dict(
                zip(task.trials.classes, np.bincount(task.trials.y).tolist(), strict=True)
            )
            for task in data.tasks
        },
        "channels": ", ".join(data.channels),
        "rate_hz": data.rate_hz,
        "trial_s": data.tasks[0].trials.X.shape[-1] / data.rate_hz,
        "sha256 of the data": data.fingerprint(),
        "sha256": dict(data.sha256),
        "settings": asdict(settings)
        | {"encoder": None if settings.encoder is None else str(settings.encoder)},
        **code_state(),
    }


def _limits(data: BCIData, settings: BCISettings) -> list[str]:
    n = len(data.subjects)
    before = "" if settings.encoder else f"Pretraining of {settings.steps} steps, "
    found = [
        f"{n} subject{'s' if n > 1 else ''}: differences are shown for each, and nothing is said "
        "about other people.",
        f"{before}{settings.head_steps} steps on labels; the paper took up to 500,000 steps and "
        "500 epochs with early stopping, on 40 people.",
        "The strongest baseline of a table was chosen on the judged trials, which favours it.",
        f"{settings.n_seeds} seed{'s' if settings.n_seeds > 1 else ''} of weights and training; "
        "the baselines have none.",
    ]
    if data.paradigm == "mi":
        found.append("The local encoder is blind to the power of a channel, where imagery shows.")
    if data.paradigm == "ssvep":
        found.append("TRCA takes lights with the same phase in every trial.")
    return found
