"""The fMRI benchmark: every row of every task by one protocol, then the report.

What is done is kept in the output folder (`pretrained/`, `scores/`), so that a benchmark that was
stopped goes on. An encoder has never seen, labelled or not, the people that it is judged on;
`transductive=True` pretrains once on everybody instead, and says so in every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.report import Picture
from biojepa.evaluation.rows import Row, ScoreFolder, Scores, run_row
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.task_report import TaskOutcome, write_task_outcome
from biojepa.evaluation.tasks import TaskRow, task_table, task_verdict
from biojepa.fmri.benchmark_encoders import Encoders
from biojepa.fmri.benchmark_rows import HEAD_STEPS, HEADLINE, TRAINED, RowMaker, choose_rows
from biojepa.fmri.benchmark_tasks import BrainTask, held_out, make_tasks
from biojepa.fmri.cohort import BrainCohort
from biojepa.plotting.predicted import plot_predicted

Say = Callable[[str], None]
PICTURED = ("confounds", "fc-ridge", "random-init", "jepa-linear", "jepa-finetune", "fc-jepa")
CONTRASTS = (  # what pretraining, and what the network, adds to what
    ("jepa-pooled", "random-pooled"),
    ("jepa-linear", "random-init"),
    ("jepa-linear", "fc-ridge"),
    ("jepa-finetune", "jepa-linear"),
    ("fc-jepa", "fc-random"),
    ("fc-jepa", "fc-ridge"),
)
PRETRAINED = ("jepa-pooled", "jepa-linear", *TRAINED, "fc-jepa")


@dataclass(frozen=True)
class BenchmarkSettings:
    """How much is run.

    Parameters
    ----------
    rows : tuple of str or None
        Names or kinds; None for all.
    n_seeds : int
        Of pretraining, of random weights and of networks trained on labels.
    preset : str
    steps : int or None
        Of pretraining, in place of the preset's.
    head_steps : int or None
        Of networks trained on labels; None for fifty passes over the runs.
    trained_tasks : tuple of str or None
        Ends of the names of the tasks that networks are trained for; None for all.
    transductive : bool
        Pretrain once, on everybody.
    n_resamples : int
        Of people, and of permutations.
    """

    rows: tuple[str, ...] | None = None
    n_seeds: int = 3
    preset: str = "small"
    steps: int | None = None
    head_steps: int | None = HEAD_STEPS
    trained_tasks: tuple[str, ...] | None = ("age", "adult")
    transductive: bool = False
    n_resamples: int = 1000

    @classmethod
    def quick(cls) -> BenchmarkSettings:
        """A quarter of an hour on two cores: one seed, short training on labels, of age alone."""
        return cls(n_seeds=1, steps=120, trained_tasks=("age",))


def run_benchmark(
    cohorts: Mapping[str, BrainCohort],
    out: Path,
    *,
    settings: BenchmarkSettings = BenchmarkSettings(),
    say: Say = print,
) -> TaskOutcome:
    """Run everything and write `report.html`, `results.csv` and `results.json`.

    Parameters
    ----------
    cohorts : mapping of name to BrainCohort
        All are pretrained on; those with phenotypes are judged.
    out : Path
        Folder; an earlier benchmark in it is gone on with.
    settings : BenchmarkSettings
    say : callable
        Takes lines on what is done.

    Returns
    -------
    TaskOutcome

    Raises
    ------
    ConfigError
        If a row is unknown.
    """
    began, code = Spent.now(), code_state()  # as it is when it starts
    tasks = make_tasks(cohorts)
    held = [frozenset[str]()] if settings.transductive else held_out(tasks)
    encoders = Encoders(
        cohorts,
        held,
        out,
        preset=settings.preset,
        steps=settings.steps,
        transductive=settings.transductive,
        say=say,
    )
    found: list[tuple[Any, list[TaskRow], str]] = []
    not_run: dict[str, str] = {}
    earlier = Spent()
    for own in tasks:
        say(own.task.title)
        maker = RowMaker(own, encoders, head_steps=settings.head_steps)
        rows = choose_rows(maker.rows(), settings.rows)
        ends = settings.trained_tasks
        if ends is not None and not own.task.name.endswith(ends):
            left = [row.name for row in rows if row.name in TRAINED]
            rows = [row for row in rows if row.name not in TRAINED]
            if left:
                not_run[f"{', '.join(left)} of {own.task.name}"] = "minutes a fold"
        scores, kept = _score_rows(rows, own, encoders, settings, say)
        earlier += kept
        seen = PRETRAINED if settings.transductive else ()
        table = task_table(
            own.task,
            rows,
            scores,
            transductive=seen,
            contrasts=CONTRASTS,
            n_resamples=settings.n_resamples,
        )
        found.append((own.task, table, task_verdict(own.task, table, HEADLINE)))
        say(f"  {found[-1][2]}")
    outcome = TaskOutcome(
        title="biojepa benchmark: phenotypes from fMRI",
        facts=_facts(cohorts, settings, encoders, code),
        tasks=found,
        overlap=_overlap(settings, held),
        not_run=not_run,
        pretraining=encoders.total(),
        spent=Spent.now() - began + earlier + (encoders.total() - encoders.spent),
        pictures=_pictures(found),
        limits=_limits(cohorts, settings, found),
        simulated=all(cohort.simulated for cohort in cohorts.values()),
    )
    say(f"report: {write_task_outcome(outcome, out)}")
    return outcome


def _score_rows(
    rows: Sequence[Row],
    own: BrainTask,
    encoders: Encoders,
    settings: BenchmarkSettings,
    say: Say,
) -> tuple[dict[str, dict[int, Scores]], Spent]:
    """Scores of all rows and seeds, and what those of an earlier start had taken."""
    task = own.task
    context = {
        "data": own.cohort.fingerprint(),
        "task": task.name,
        "labels": task.data.fingerprint(),
        "protocol": task.protocol.text,
        "transductive": settings.transductive,
    }
    folder = ScoreFolder(encoders.folder / "scores" / task.name, context)
    scores: dict[str, dict[int, Scores]] = {}
    earlier = Spent()
    for row in rows:
        for seed in range(min(settings.n_seeds, row.n_seeds or settings.n_seeds)):
            found = folder.get(row, seed)
            if found is None:
                say(f"  {row.name}, seed {seed}")
                before = encoders.spent
                found = run_row(row, task.data, task.protocol, seed)
                pretraining = encoders.spent - before  # shared by rows, counted apart
                found = replace(found, spent=found.spent - pretraining)
                folder.put(row, seed, found)
            else:
                earlier += found.spent
            scores.setdefault(row.name, {})[seed] = found
    return scores, earlier


def _facts(
    cohorts: Mapping[str, BrainCohort],
    settings: BenchmarkSettings,
    encoders: Encoders,
    code: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "pretrained on": {
            c.title: {
                "runs": len(c),
                "seconds a frame": sorted({round(1 / r.rate_hz, 3) for r in c.runs}),
                "frames": sorted({r.n_times for r in c.runs}),
                "sha256": encoders.data[name],
            }
            for name, c in cohorts.items()
        },
        "settings": asdict(settings),
        "preset": encoders.settings | {"data": "see above"},
        **code,
    }


def _overlap(settings: BenchmarkSettings, held: Sequence[frozenset[str]]) -> str:
    if settings.transductive:
        return (
            "Transductive: pretraining has seen the runs of those who are judged, without their "
            "labels."
        )
    return (
        f"Nobody who is judged was seen in pretraining, labelled or not: {len(held)} pretrainings "
        "a seed, each without the people of one fold or site."
    )


def _pictures(found: Sequence[tuple[Any, Sequence[TaskRow], str]]) -> list[Picture]:
    pictures = []
    for task, rows, _ in found:
        if not task.unit:
            continue
        test = task.protocol.test
        shown = [r for name in PICTURED for r in rows if r.name == name]
        if not shown:
            continue
        figure = plot_predicted(
            task.data.y[test, 0],
            {r.title: r.predictions for r in shown},
            notes={r.title: f"MAE {r.value.point:.2f}, r {r.others['r']:.2f}" for r in shown},
            what=task.data.classes[0],
            unit=task.unit,
        )
        caption = (
            "Each dot a person, predicted by a model that never saw the person; mean of seeds."
        )
        pictures.append(Picture(f"Predicted and true: {task.title}", caption, figure))
    return pictures


def _limits(
    cohorts: Mapping[str, BrainCohort],
    settings: BenchmarkSettings,
    found: Sequence[tuple[Any, Sequence[TaskRow], str]],
) -> list[str]:
    sizes = ", ".join(f"{len(np.unique(c.subjects))} ({c.name})" for c in cohorts.values())
    limits = [
        f"People: {sizes}. So few people leave wide intervals, and pretraining on so few says "
        "nothing of pretraining on the tens of thousands of the publication.",
        "Intervals and p are over people of these sets, for the models as fitted; they do not "
        "cover other scanners, other years, or another draw of folds.",
        "The strongest simple baseline was chosen on the judged people, in its favour.",
        "Permutation deals labels anew against out-of-fold predictions; nothing is fitted again.",
        f"Seeds of pretraining and of random weights: {settings.n_seeds}; no test is made of them.",
    ]
    if any(name.startswith("development") for name in cohorts):
        limits.append(
            "Development fMRI: children and adults watched one film at one site; age groups differ "
            "in movement, which the confounds row knows in part."
        )
    if "abide" in cohorts:
        limits.append(
            "ABIDE: 70 people of three sites, one of which has patients only and is left out of "
            "the AUC within sites."
        )
    return limits
