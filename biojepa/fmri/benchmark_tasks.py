"""The questions of the fMRI benchmark: age, adult or child, sex, diagnosis with site control.

Folds are drawn once a cohort and shared by its tasks, so that one pretraining a fold, without
anyone of that fold, serves them all. Rows get the places of runs in their cohort as `X`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data.splits import patient_folds
from biojepa.evaluation.metrics import Floats, macro_auc
from biojepa.evaluation.protocol import N_SPLITS, Protocol, Split
from biojepa.evaluation.rows import LabelledSignals
from biojepa.evaluation.tasks import AUC, AUPRC, MAE, R2, Measure, R, Task
from biojepa.fmri.cohort import BrainCohort

NOBODY = np.empty(0, dtype=np.int64)
LEAST = 8  # ours: of the rarer class, below which a task is not asked


@dataclass(frozen=True)
class BrainTask:
    """A task and whose it is.

    Parameters
    ----------
    task : Task
    cohort : BrainCohort
    controls : tuple of str
        Columns of the table for the confounds-only row.
    numbers : bool
        Numbers are predicted, not classes.
    """

    task: Task
    cohort: BrainCohort
    controls: tuple[str, ...]
    numbers: bool = False


def make_tasks(cohorts: Mapping[str, BrainCohort]) -> list[BrainTask]:
    """The tasks that these cohorts allow, in the order of the report."""
    found = []
    for cohort in cohorts.values():
        if cohort.name.endswith("-basc"):  # the same people in another atlas: for pretraining
            continue
        folds = _folds(cohort)
        if folds is None:
            continue
        if "adult" in cohort.table:
            found.append(_age(cohort, folds))
            found += _classes(cohort, folds, "adult", "adult or child", ("sex",))
            found += _classes(cohort, folds, "sex", "sex", ("age",))
        if "group" in cohort.table:
            found += _diagnosis(cohort, folds)
    return found


def held_out(tasks: list[BrainTask]) -> list[frozenset[str]]:
    """Sets of subjects, one a pretraining: each test part of each task lies within one of them."""
    folds: list[set[str]] = [set() for _ in range(N_SPLITS)]
    others: list[frozenset[str]] = []
    for own in tasks:
        subjects, splits = own.cohort.subjects, own.task.protocol.splits
        outside = [frozenset(np.delete(subjects, split.train)) for split in splits]
        if len(splits) == N_SPLITS and _is_partition(own):
            for fold, part in zip(folds, outside, strict=True):
                fold |= part
        else:
            others += [part for part in outside if part not in others]
    return [frozenset(fold) for fold in folds if fold] + others


def _is_partition(own: BrainTask) -> bool:
    return len(own.task.protocol.test) == len(own.cohort) and not own.task.name.endswith("-site")


def _folds(cohort: BrainCohort) -> tuple[Split, ...] | None:
    """Five folds by subject, alike in age or in site and group."""
    table = cohort.table
    if "group" in table and "adult" not in table:
        strata = np.array([f"{s}/{g}" for s, g in zip(table["site"], table["group"], strict=True)])
    elif "age" in table:
        strata = table["age"].to_numpy(float)
    else:
        return None
    drawn = patient_folds(cohort.subjects, strata, n_splits=N_SPLITS, random_state=0)
    return tuple(Split(train, test, NOBODY) for train, test in drawn)


def _data(cohort: BrainCohort, y: Floats, name: str) -> LabelledSignals:
    places: Any = np.arange(len(cohort))  # rows look the runs up
    return LabelledSignals(places, y[:, None], cohort.subjects, (name,))


def _protocol(splits: tuple[Split, ...], text: str) -> Protocol:
    return Protocol(
        splits, text + "; every run is predicted by models that have not seen its subject"
    )


_FIVE = f"{N_SPLITS} folds by subject (seed 0)"


def _age(cohort: BrainCohort, folds: tuple[Split, ...]) -> BrainTask:
    age = cohort.column("age").astype(float)
    task = Task(
        f"{cohort.name}-age",
        f"age, {cohort.title}",
        _data(cohort, age, "age"),
        _protocol(folds, _FIVE),
        (MAE, R, R2),
        blocks=_sites(cohort),
        unit="years",
    )
    return BrainTask(task, cohort, ("sex", "site"), numbers=True)


def _classes(
    cohort: BrainCohort,
    folds: tuple[Split, ...],
    name: str,
    title: str,
    controls: tuple[str, ...],
) -> list[BrainTask]:
    column = cohort.column(name)
    y = (column == "F").astype(float) if name == "sex" else column.astype(float)
    if min(y.sum(), (1 - y).sum()) < LEAST:
        return []
    task = Task(
        f"{cohort.name}-{name}",
        f"{title}, {cohort.title}",
        _data(cohort, y, name),
        _protocol(folds, _FIVE),
        (AUC, AUPRC),
        blocks=_sites(cohort),
    )
    return [BrainTask(task, cohort, (*controls, "site"))]


def _diagnosis(cohort: BrainCohort, folds: tuple[Split, ...]) -> list[BrainTask]:
    """Within five folds, and for sites that were never seen; judged within sites both times."""
    y = cohort.column("group").astype(float)
    site = cohort.column("site").astype(str)
    sites = np.unique(site)
    judged = np.where(site[:, None] == sites[None], y[:, None], np.nan)
    both = [s for s in sites if LEAST <= y[site == s].sum() <= (site == s).sum() - LEAST]
    data = _data(cohort, y, "group")
    measures = (Measure("auc_within_site", "AUC within sites", macro_auc), POOLED)
    note = (
        "AUC within sites is the mean over sites that have both groups: knowing the site is worth "
        "nothing in it (out of fold even less than 0.5, since a fold with more patients leaves "
        "fewer to the others). The pooled AUC shows what the site alone earns. Labels are permuted "
        "within sites."
    )
    controls = ("age", "sex", "motion", "site")
    five = Task(
        f"{cohort.name}-group",
        f"diagnosis, {cohort.title}",
        data,
        _protocol(
            folds, f"{_FIVE}, alike in site and group" if "adult" not in cohort.table else _FIVE
        ),
        measures,
        judged=judged,
        blocks=site,
        note=note,
    )
    if len(both) < 2:
        return [BrainTask(five, cohort, controls)]
    splits = tuple(
        Split(np.flatnonzero(site != s), np.flatnonzero(site == s), NOBODY) for s in both
    )
    out = Task(
        f"{cohort.name}-group-site",
        f"diagnosis at sites never seen, {cohort.title}",
        data,
        _protocol(splits, f"each of the sites {', '.join(both)} in turn, fitted on all others"),
        measures,
        judged=judged,
        blocks=site,
        note=note,
    )
    return [BrainTask(five, cohort, controls), BrainTask(out, cohort, controls)]


def _pooled_auc(y_true: NDArray, y_score: NDArray) -> float:
    """AUC over all records, from a column a site."""
    return macro_auc(np.nanmax(y_true, axis=1), np.asarray(y_score)[:, 0])


POOLED = Measure("auc_pooled", "AUC pooled over sites", _pooled_auc)


def _sites(cohort: BrainCohort) -> NDArray | None:
    site = cohort.column("site").astype(str)
    return site if len(np.unique(site)) > 1 else None
