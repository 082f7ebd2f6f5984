"""The BCI benchmark: every row within and across subjects, then the report.

What is done is kept in the output folder (`pretrained/`, `scores/`), so that a benchmark that was
stopped goes on. No subject who is judged was seen in pretraining, but for the row that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.eeg.benchmark_data import BCIData, BCITask
from biojepa.eeg.benchmark_encoders import FoldEncoders
from biojepa.eeg.benchmark_rows import HEAD_STEPS, HEADLINE, PAIRS, choose_rows, make_rows
from biojepa.errors import DataError, MissingDependencyError
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.rows import ScoreFolder, Scores
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.subjects import (
    SubjectProtocol,
    SubjectResult,
    SubjectRow,
    across_subjects,
    chance_bound,
    run_subject_row,
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
    encoder : Path or None
        A model to use in place of pretraining on the other subjects.
    evaluations : tuple of {"within", "across"}
    """

    rows: tuple[str, ...] | None = None
    n_seeds: int = 5
    preset: str = "small"
    steps: int = STEPS
    head_steps: int = HEAD_STEPS
    encoder: Path | None = None
    evaluations: tuple[str, ...] = ("within", "across")


def run_bci_benchmark(
    data: BCIData,
    out: Path,
    *,
    settings: BCISettings = BCISettings(),
    say: Say = print,
) -> SubjectOutcome:
    """Run everything and write `report.html`, `results.csv` and `results.json`.

    Parameters
    ----------
    data : BCIData
    out : Path
        Folder; an earlier benchmark in it is gone on with.
    settings : BCISettings
    say : callable
        Takes lines on what is done.

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
    encoders = FoldEncoders(
        data,
        out,
        preset=settings.preset,
        steps=settings.steps,
        given=settings.encoder,
        say=say,
    )
    say(f"{data.title}: {len(data.subjects)} subjects, {len(data.channels)} channels")
    tables, spent, not_run = [], Spent(), {}
    for task in data.tasks:
        rows = choose_rows(
            make_rows(data, task, encoders, head_steps=settings.head_steps), settings.rows
        )
        for name in settings.evaluations:
            protocol = _protocol(data, task, name)
            if protocol is None:
                not_run[f"{task.name}, {name} subjects"] = "it takes two subjects"
                continue
            scores, left_out = _score(rows, data, task, protocol, encoders, settings, say)
            not_run |= left_out
            spent = sum((s.spent for runs in scores.values() for s in runs.values()), spent)
            results = subject_results(rows, scores, task.trials.y, task.trials.subject, data.metric)
            tables.append(_table(data, task, protocol, results))
            say(tables[-1].verdict)
    if not tables:
        raise DataError(f"{data.title}: expected an evaluation, none of {settings.evaluations} ran")
    times = encoders.times()
    outcome = SubjectOutcome(
        title=f"biojepa benchmark: {data.title}",
        facts=_facts(data, settings),
        overlap=encoders.overlap,
        tables=tables,
        not_run=not_run,
        pretraining=times,
        spent=sum(times.values(), spent),
        limits=_limits(data, settings),
        simulated=data.simulated,
    )
    say(f"report: {write_subject_outcome(outcome, out)}")
    return outcome


def _protocol(data: BCIData, task: BCITask, name: str) -> SubjectProtocol | None:
    trials = task.trials
    if name == "within":
        return within_subjects(trials.subject, trials.block, blocks=data.blocks)
    return across_subjects(trials.subject) if len(data.subjects) > 1 else None


def _score(
    rows: Sequence[SubjectRow],
    data: BCIData,
    task: BCITask,
    protocol: SubjectProtocol,
    encoders: FoldEncoders,
    settings: BCISettings,
    say: Say,
) -> tuple[dict[str, dict[int, Scores]], dict[str, str]]:
    context = {
        "data": data.fingerprint(),
        "task": task.name,
        "protocol": protocol.text,
    }
    folder = ScoreFolder(encoders.folder / "scores", context)
    scores: dict[str, dict[int, Scores]] = {}
    not_run: dict[str, str] = {}
    for row in rows:
        for seed in range(min(settings.n_seeds, row.n_seeds or settings.n_seeds)):
            found = folder.get(row, seed)
            if found is None:
                before = encoders.spent
                try:
                    found = run_subject_row(row, task.trials.X, task.trials.y, protocol, seed)
                except (MissingDependencyError, DataError) as error:
                    if settings.rows is not None and row.name in settings.rows:
                        raise
                    say(f"  {row.name} not run: {error}")
                    not_run[row.name] = str(error)
                    break
                shared = encoders.spent - before  # by other rows too: counted apart
                found = replace(found, spent=found.spent - shared)
                folder.put(row, seed, found)
                say(
                    f"{task.name}, {protocol.name}: {row.name}, seed {seed}, "
                    f"{found.spent.cpu_s:.1f} s"
                )
            scores.setdefault(row.name, {})[seed] = found
    return scores, not_run


def _table(
    data: BCIData, task: BCITask, protocol: SubjectProtocol, results: list[SubjectResult]
) -> SubjectTable:
    trials, metric = task.trials, data.metric
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
    found = [
        f"{n} subject{'s' if n > 1 else ''}: differences are shown for each, and nothing is said "
        "about other people.",
        f"Pretraining of {settings.steps} steps and {settings.head_steps} steps on labels; the "
        "paper took up to 500,000 and 500 epochs with early stopping on 40 people.",
        "The strongest baseline of a table was chosen on the judged trials, which favours it.",
        f"{settings.n_seeds} seed{'s' if settings.n_seeds > 1 else ''} of weights and training; "
        "the baselines have none.",
    ]
    if data.paradigm == "mi":
        found.append("The local encoder is blind to the power of a channel, where imagery shows.")
    if data.paradigm == "ssvep":
        found.append("TRCA takes lights with the same phase in every trial.")
    return found
