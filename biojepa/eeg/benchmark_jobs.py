"""The fits of the BCI benchmark, one by one or in several processes, with the same results.

Every fit is a pure function of the data, its settings and its seed, runs on one thread, and is kept
in the output folder. Processes fill that folder; who then goes through the table finds all of it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from threading import Thread
from typing import Any

import torch

from biojepa.data.prepare import end_with_parent
from biojepa.eeg.benchmark_data import BCIData, BCITask
from biojepa.eeg.benchmark_encoders import FoldEncoders
from biojepa.errors import DataError, MissingDependencyError, RunError
from biojepa.evaluation.rows import ScoreFolder, Scores
from biojepa.evaluation.subjects import SubjectProtocol, SubjectRow, run_subject_row

Say = Callable[[str], None]


@dataclass(frozen=True)
class Table:
    """One task, evaluated in one way.

    Parameters
    ----------
    task : BCITask
    protocol : SubjectProtocol
    rows : sequence of SubjectRow
    """

    task: BCITask
    protocol: SubjectProtocol
    rows: Sequence[SubjectRow]

    def seeds(self, row: SubjectRow, n_seeds: int) -> range:
        """Of a row, which may need fewer than the benchmark."""
        return range(min(n_seeds, row.n_seeds or n_seeds))


@dataclass(frozen=True)
class Fits:
    """All that is fitted.

    Parameters
    ----------
    data : BCIData
    encoders : FoldEncoders
    tables : sequence of Table
    n_seeds : int
    """

    data: BCIData
    encoders: FoldEncoders
    tables: Sequence[Table]
    n_seeds: int

    @cached_property
    def folders(self) -> list[ScoreFolder]:
        """Where the scores of each table are kept."""
        data = self.data.fingerprint()
        return [
            ScoreFolder(
                self.encoders.folder / "scores",
                {"data": data, "task": table.task.name, "protocol": table.protocol.text},
            )
            for table in self.tables
        ]

    def found(self, number: int, row: SubjectRow, seed: int) -> Scores | None:
        """Scores of a row of a table, if they were kept."""
        return self.folders[number].get(row, seed)

    def score(self, number: int, row: SubjectRow, seed: int) -> Scores:
        """Fit and score a row of a table, and keep it.

        Raises
        ------
        MissingDependencyError, DataError
            If the row cannot be run here.
        """
        table, before = self.tables[number], self.encoders.spent
        trials = table.task.trials
        found = run_subject_row(row, trials.X, trials.y, table.protocol, seed)
        shared = self.encoders.spent - before  # by other rows too: counted apart
        found = replace(found, spent=found.spent - shared)
        self.folders[number].put(row, seed, found)
        return found

    def missing(self) -> list[tuple[int, str, int]]:
        """Table, row and seed of what was not kept yet."""
        return [
            (number, row.name, seed)
            for number, table in enumerate(self.tables)
            for row in table.rows
            for seed in table.seeds(row, self.n_seeds)
            if self.found(number, row, seed) is None
        ]


def fit_in_processes(make: Callable[..., Fits], args: tuple[Any, ...], *, jobs: int) -> None:
    """Fit and keep what is missing, encoders first.

    Parameters
    ----------
    make : callable
        `make(*args) -> Fits`, at the top of a module; every process calls it once.
    args : tuple
        Picklable.
    jobs : int
        Processes.

    Raises
    ------
    RunError
        If a process dies.
    """
    fits = make(*args)
    missing = fits.missing()
    rows = {row.name: row for table in fits.tables for row in table.rows}
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start, (make, args))
    try:
        for kind in ("pretrained", "continued"):  # the second goes on from the first
            seeds = {seed for _, name, seed in missing if kind in _encoders_of(rows[name])}
            wanted = [(kind, s, who) for s in sorted(seeds) for who in fits.data.subjects]
            list(pool.map(_encode, wanted))
        list(pool.map(_score, missing))
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process died (killed, or out of memory): run again to continue, with fewer "
            "jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, so that results do not depend on the machine or the number of processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_fits: Fits | None = None


def _start(make: Callable[..., Fits], args: tuple[Any, ...]) -> None:
    """Set a process up: Ctrl-C is the parent's to handle, and none outlives the parent."""
    global _fits
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _fits = make(*args)


def _encoders_of(row: SubjectRow) -> tuple[str, ...]:
    if row.kind != "jepa":
        return ()
    return ("pretrained", "continued") if row.transductive else ("pretrained",)


def _encode(job: tuple[str, int, str]) -> None:
    kind, seed, subject = job
    try:
        getattr(_own().encoders, kind)(seed, subject)
    except DataError:
        return  # said by the caller, who meets it again


def _score(job: tuple[int, str, int]) -> None:
    number, name, seed = job
    (row,) = (row for row in _own().tables[number].rows if row.name == name)
    try:
        _own().score(number, row, seed)
    except (MissingDependencyError, DataError):
        return  # said by the caller, who meets it again


def _own() -> Fits:
    if _fits is None:
        raise RunError("this process was not set up: it must come from fit_in_processes")
    return _fits
