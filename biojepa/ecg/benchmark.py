"""The ECG benchmark: every row by one protocol, then the studies, then the report.

What is done is kept in the output folder (`pretrained/`, `scores/`), so that a benchmark that was
stopped goes on. Nobody who is judged may have been seen in pretraining; what is not known about
that is said in every result.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from biojepa.ecg.benchmark_data import BenchmarkData, Unlabelled, check_pretraining
from biojepa.ecg.benchmark_encoders import Encoders
from biojepa.ecg.benchmark_rows import RowMaker, choose_rows
from biojepa.ecg.benchmark_saliency import saliency_pictures
from biojepa.ecg.benchmark_words import facts, limits, verdict_of
from biojepa.errors import MissingDependencyError, PlausibilityWarning
from biojepa.evaluation.protocol import Protocol, make_protocol
from biojepa.evaluation.report import Outcome, write_outcome
from biojepa.evaluation.rows import Row, ScoreFolder, Scores, run_row
from biojepa.evaluation.studies import LabelPoint, label_efficiency, robustness
from biojepa.evaluation.table import make_table

Say = Callable[[str], None]
# rows of the two studies: their features are computed once, so that a hundred fits take minutes
STUDIED = ("random-init", "beats-lr", "mae", "jepa-linear", "jepa-scale", "jepa-beats")


@dataclass(frozen=True)
class BenchmarkSettings:
    """How much is run.

    Parameters
    ----------
    rows : tuple of str or None
        Names or groups; None for all that can be run.
    n_seeds : int
        Of pretraining and of what is trained on labels.
    preset : str
        Of pretraining.
    steps : int or None
        Of pretraining, in place of the preset's.
    head_steps : int or None
        Of networks trained on labels, in place of their own.
    label_efficiency, robustness, saliency : bool
    n_draws : int
        Of label efficiency.
    n_resamples : int
        Of patients.
    allow_leakage : bool
        Go on although somebody who is judged was seen in pretraining.
    """

    rows: tuple[str, ...] | None = None
    n_seeds: int = 3
    preset: str = "small"
    steps: int | None = None
    head_steps: int | None = None
    label_efficiency: bool = False
    robustness: bool = False
    saliency: bool = True
    n_draws: int = 20
    n_resamples: int = 1000
    allow_leakage: bool = False


def run_benchmark(
    data: BenchmarkData,
    out: Path,
    *,
    settings: BenchmarkSettings = BenchmarkSettings(),
    pretraining: Unlabelled | None = None,
    say: Say = print,
) -> Outcome:
    """Run everything and write `report.html`, `results.csv` and `results.json`.

    Parameters
    ----------
    data : BenchmarkData
    out : Path
        Folder; an earlier benchmark in it is gone on with.
    settings : BenchmarkSettings
    pretraining : Unlabelled or None
        None: the training part of each split.
    say : callable
        Takes lines on what is done.

    Returns
    -------
    Outcome

    Raises
    ------
    LeakageError
        If somebody who is judged was seen in pretraining.
    ConfigError
        If a row is unknown.
    MissingDependencyError
        If a row that was named needs a package that is not there.
    """
    protocol = make_protocol(data.labelled.y, data.labelled.groups, folds=data.folds)
    judged = np.concatenate([np.r_[s.test, s.validation] for s in protocol.splits])
    overlap = check_pretraining(
        pretraining, data, np.sort(judged), allow_leakage=settings.allow_leakage
    )
    say(f"{data.title}: {len(data):,} records; {protocol.text}")
    say(overlap)
    encoders = Encoders(
        data,
        out,
        preset=settings.preset,
        steps=settings.steps,
        pretraining=pretraining,
        say=say,
    )
    maker = RowMaker(data, encoders, head_steps=settings.head_steps)
    rows = choose_rows(maker.rows(), settings.rows)
    scores, not_run = _score_rows(rows, data, protocol, encoders, settings, say)
    results = make_table(rows, scores, data.labelled, protocol, n_resamples=settings.n_resamples)
    run = [row for row in rows if row.name in scores]
    studied = [row for row in run if row.name in STUDIED]
    labels: dict[str, list[LabelPoint]] = {}
    disturbed: dict[str, dict[str, dict[str, float]]] = {}
    for row in studied:
        if settings.label_efficiency:
            say(f"label efficiency: {row.name}")
            labels[row.name] = label_efficiency(
                row, data.labelled, protocol, n_draws=settings.n_draws
            )
        if settings.robustness:
            say(f"disturbed records: {row.name}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PlausibilityWarning)  # implausible on purpose
                disturbed[row.name] = robustness(row, data.labelled, protocol, rate_hz=data.rate_hz)
    outcome = Outcome(
        title=f"biojepa benchmark: {data.title}",
        facts=facts(data, protocol, asdict(settings), pretraining),
        verdict=verdict_of(results, data, protocol),
        overlap=overlap,
        results=results,
        n_records=len(protocol.test),
        n_train=len(protocol.splits[0].train),
        not_run=not_run,
        pretraining_minutes=encoders.minutes(),
        spent=sum((s.spent for runs in scores.values() for s in runs.values()), encoders.total()),
        labels=labels,
        robustness=disturbed,
        pictures=saliency_pictures(run, data, protocol) if settings.saliency else (),
        limits=limits(data, protocol, settings.n_seeds, pretraining),
        simulated=data.simulated,
    )
    say(f"report: {write_outcome(outcome, out)}")
    say(outcome.verdict)
    return outcome


def _score_rows(
    rows: Sequence[Row],
    data: BenchmarkData,
    protocol: Protocol,
    encoders: Encoders,
    settings: BenchmarkSettings,
    say: Say,
) -> tuple[dict[str, dict[int, Scores]], dict[str, str]]:
    context = {"data": data.labelled.fingerprint(), "protocol": protocol.text}
    folder = ScoreFolder(encoders.folder / "scores", context)
    scores: dict[str, dict[int, Scores]] = {}
    not_run: dict[str, str] = {}
    for row in rows:
        for seed in range(min(settings.n_seeds, row.n_seeds or settings.n_seeds)):
            found = folder.get(row, seed)
            if found is None:
                say(f"{row.name}, seed {seed}")
                before = encoders.spent
                try:
                    found = run_row(
                        row, data.labelled, protocol, seed, allow_leakage=settings.allow_leakage
                    )
                except MissingDependencyError as error:
                    if settings.rows is not None and row.name in settings.rows:
                        raise
                    say(f"  not run: {error}")
                    not_run[row.name] = str(error)
                    break
                pretraining = encoders.spent - before  # shared by rows, counted apart
                found = replace(found, spent=found.spent - pretraining)
                folder.put(row, seed, found)
            scores.setdefault(row.name, {})[seed] = found
    return scores, not_run
