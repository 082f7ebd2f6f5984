"""From files to a signal store: read, arrange, quantise, write; continue where it stopped.

The readers and the arrangement of leads and rates come in as functions, so this file knows no
format. Order is the order of the paths, whatever the number of processes.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import connection, get_context, parent_process
from os import PathLike
from pathlib import Path

from biojepa.data.encode import EncodedRecord, encode_record
from biojepa.data.path_list import PathList
from biojepa.data.recording import Recording
from biojepa.data.skips import SkipReport
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.errors import BiojepaError, ConfigError, DataError, RunError

Read = Callable[[str], Recording | Iterable[Recording]]
Arrange = Callable[[Recording], Recording]
Select = Callable[[Recording], str]
_CHUNK = 8  # files per task: 8 records of 12 x 5000 codes are 1 MB on the way back
_CHUNKS_AHEAD = 3  # per worker


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare_store` did.

    Parameters
    ----------
    path : Path
        Folder of the store; `skipped.csv` lies in it.
    n_files : int
        Files that were asked for.
    n_written, n_resumed : int
        Records written now, and found already there.
    skipped : SkipReport
        The files and records that were left out, and what was noted of others.
    fingerprint : str
        Identity of the data, see `SignalStore`.
    """

    path: Path
    n_files: int
    n_written: int
    n_resumed: int
    skipped: SkipReport
    fingerprint: str

    def __str__(self) -> str:
        text = f"{self.path}: {self.n_written:,} records written, {self.n_resumed:,} were there"
        if self.skipped.skips:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.skipped.counts().items())
            text += f", {len(self.skipped):,} left out ({reasons}), see skipped.csv"
        for reason, n in self.skipped.unselected.items():
            text += f", {n:,} not selected ({reason})"
        return text


def prepare_store(
    paths: Iterable[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    read: Read,
    channels: Sequence[str],
    arrange: Arrange | None = None,
    select: Select | None = None,
    workers: int = 0,
    on_error: str = "skip",
    max_bad_fraction: float = 0.05,
    resume: bool = True,
    progress: Callable[[int, int], None] | None = None,
    unit: str = "mV",
    shard_records: int = 4_000,
    recipe: dict | None = None,
) -> PrepareReport:
    """Write the recordings of many files into one store.

    Parameters
    ----------
    paths : iterable of path-like
        Files of one or more recordings; the store keeps their order.
    out : path-like
        Folder of the store.
    read : callable
        Path (str) to a `Recording`, or to several (an iterator is read one by one).
    channels : sequence of str
        Layout of the store.
    arrange : callable, optional
        `Recording` to `Recording` with the store's channels (and the rate that is wanted).
    select : callable, optional
        `Recording` to the reason why it is left out on purpose, `""` to keep it. What is left out
        so is counted by reason and is no bad file.
    workers : int
        Processes that read; 0 reads in this one. With workers, all records of a file are in
        memory (as 16-bit codes) at once, `read`, `arrange` and `select` must be
        functions of a module (or `functools.partial` of such), and a script needs the usual
        `if __name__ == "__main__":`.
    on_error : {"skip", "raise"}
        What to do with a file or record that cannot be used. What is skipped is listed in
        `skipped.csv`.
    max_bad_fraction : float
        Larger shares of skipped files are an error in the end, see `SkipReport.check`.
    resume : bool
        Continue a store that is there; False refuses one that holds records.
    progress : callable, optional
        Called with (files done, files in all) after each file.
    unit, shard_records, recipe
        See `StoreWriter`.

    Returns
    -------
    PrepareReport

    Raises
    ------
    DataError
        If no path or the same path twice is given, too many files are bad, or (`on_error="raise"`)
        the first bad file's own error.
    RunError
        If the folder cannot be written or a worker died.
    ConfigError
        If a setting is out of range.
    """
    if on_error not in ("skip", "raise"):
        raise ConfigError(f'expected on_error="skip" or "raise", got {on_error!r}')
    if workers < 0 or not 0 <= max_bad_fraction <= 1:
        raise ConfigError(
            f"expected workers >= 0 and 0 <= max_bad_fraction <= 1, got {workers} and "
            f"{max_bad_fraction}"
        )
    files = paths if isinstance(paths, PathList) else PathList(paths)
    _check_paths(files)
    report = SkipReport()
    folder = Path(out)
    with StoreWriter(
        folder, channels=channels, shard_records=shard_records, unit=unit, recipe=recipe
    ) as writer:
        n_resumed = len(writer)
        if not resume and n_resumed:
            raise RunError(
                f"{folder} already holds {n_resumed:,} records: pass resume=True to continue, "
                "or choose another folder"
            )
        report.n_files = n_resumed
        unsure = writer.unsure_sources.intersection(files)
        known = writer.done_record_ids(unsure)
        todo = files
        if writer.done_sources:
            done = writer.done_sources
            todo = PathList(path for path in files if path not in done or path in unsure)
        task = _Task(read, arrange, select, tuple(channels), unit, known)
        n_before = len(files) - len(todo)
        try:
            for n_done, (path, results) in enumerate(_results(task, todo, workers), n_before + 1):
                for result in results:
                    if isinstance(result, _Unselected):
                        report.unselected[result.reason] += 1
                        continue
                    report.n_files += 1
                    if isinstance(result, EncodedRecord):
                        writer.add_encoded(result)
                        if result.texts["notes"]:
                            report.add_notes(path, tuple(json.loads(result.texts["notes"])))
                    elif on_error == "raise":
                        raise result
                    else:
                        report.add(path, result)
                if progress is not None:
                    progress(n_done, len(files))
        finally:
            report.to_csv(folder / "skipped.csv")
        report.check(max_bad_fraction)
        n_written = len(writer) - n_resumed
        if not len(writer):
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in report.unselected.items())
            raise DataError(f"no recording was selected ({reasons}): select others, or all")
    with SignalStore(folder) as store:
        fingerprint = store.fingerprint
    return PrepareReport(folder, len(files), n_written, n_resumed, report, fingerprint)


@dataclass(frozen=True)
class _Unselected:
    """A recording that is left out on purpose."""

    reason: str


Result = EncodedRecord | _Unselected | BiojepaError


@dataclass(frozen=True)
class _Task:
    """What is done with each file; `known` has the records of a file that are stored already."""

    read: Read
    arrange: Arrange | None
    select: Select | None
    channels: tuple[str, ...]
    unit: str
    known: dict[str, set[str]]

    def __call__(self, path: str) -> Iterator[Result]:
        """The records of one file, or the errors that say why there are none."""
        known = self.known.get(path, set())
        try:
            given = self.read(path)
            for recording in [given] if isinstance(given, Recording) else given:
                if recording.record_id not in known:
                    yield self._encode(path, recording)
        except BiojepaError as error:
            yield error
        except OSError as error:
            yield DataError(f"{path} cannot be read: {error}")

    def _encode(self, path: str, recording: Recording) -> Result:
        try:
            reason = "" if self.select is None else self.select(recording)
            if reason:
                return _Unselected(reason)
            if self.arrange is not None:
                recording = self.arrange(recording)
            # the path is what tells a finished file from one to do when the work is continued
            recording = replace(recording, source=path)
            return encode_record(recording, channels=self.channels, unit=self.unit)
        except BiojepaError as error:
            return error


def _results(task: _Task, files: PathList, workers: int) -> Iterator[tuple[str, Iterable[Result]]]:
    """Every file's results, in order, with a bounded number of files in memory."""
    if workers == 0:
        for path in files:
            yield path, task(path)
        return
    _check_importable(task)
    chunks = (files[first : first + _CHUNK] for first in range(0, len(files), _CHUNK))
    pending: deque[tuple[list[str], Future]] = deque()
    pool = ProcessPoolExecutor(
        min(workers, max(1, len(files))), get_context("spawn"), _start_worker, (task,)
    )
    try:
        for chunk in chunks:
            pending.append((chunk, pool.submit(_run_chunk, chunk)))
            if len(pending) >= workers * _CHUNKS_AHEAD:
                yield from _next_chunk(pending)
        while pending:
            yield from _next_chunk(pending)
    finally:
        pool.shutdown(cancel_futures=True)


def _next_chunk(
    pending: deque[tuple[list[str], Future]],
) -> Iterator[tuple[str, list[Result]]]:
    chunk, future = pending.popleft()
    try:
        found = future.result()
    except BrokenProcessPool as error:
        raise RunError(
            f"a worker process died at or soon after {chunk[0]} (killed, or out of memory): "
            "run again to continue, with fewer workers or workers=0 to find the file"
        ) from error
    yield from zip(chunk, found, strict=True)


_task_of_worker: _Task | None = None


def _start_worker(task: _Task) -> None:
    """Set a worker up: Ctrl-C is the parent's to handle, and no worker outlives the parent."""
    global _task_of_worker
    _task_of_worker = task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End this process when its parent ends; for a thread of its own."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run_chunk(chunk: list[str]) -> list[list[Result]]:
    if _task_of_worker is None:
        raise RunError("this worker process was not set up: it must come from prepare_store")
    return [list(_task_of_worker(path)) for path in chunk]


def _check_paths(files: PathList) -> None:
    if not files:
        raise DataError("expected at least one file, got none: check the folder or the pattern")
    twice = files.first_repeated()
    if twice is not None:
        raise DataError(f"{twice} is listed twice: every file may be in a store once")


def _check_importable(task: _Task) -> None:
    """A worker imports its functions by name: say so before a pool fails in its own words."""
    for given in (task.read, task.arrange, task.select):
        function: object = given
        while isinstance(function, partial):
            function = function.func
        name = getattr(function, "__qualname__", "")
        if "<lambda>" in name or "<locals>" in name:
            raise ConfigError(
                f"with workers > 0, read, arrange and select must be functions at the top of a "
                f"module, got {name}: move it there, or use workers=0"
            )
