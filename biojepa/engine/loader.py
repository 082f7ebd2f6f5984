"""From step number to batches: plan -> records -> samples -> collator.

The loader's unit is the step. Each micro-batch of each rank is a slice of the step's global batch;
a loader worker is told (step, micro-batch) and derives everything else.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from biojepa.engine.plan import StepPlan
from biojepa.engine.randomness import BatchKey, torch_generator
from biojepa.errors import BiojepaError, ConfigError, TrainingError


class DataSource(Protocol):
    """What can be trained on: numbered records, read a batch at a time."""

    def __len__(self) -> int:
        """Number of records."""

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Any:
        """Samples of these records; crops and other draws come from `key`."""


class Collator(Protocol):
    """Light and picklable; runs in loader workers."""

    def __call__(self, samples: Any, key: BatchKey) -> Any:
        """Make a batch of samples; masks and other draws come from `key`."""


class StepLoader:
    """Batches of one rank, from any step on.

    Parameters
    ----------
    data : DataSource
    collator : Collator
    plan : StepPlan
    seed : int
    accumulate : int
        Micro-batches of a step.
    rank, world_size : int
    workers : int
        Loader processes; 0 reads in this one. The batches are the same.

    Raises
    ------
    ConfigError
        If a step has fewer records than ranks times micro-batches.
    """

    def __init__(
        self,
        data: DataSource,
        collator: Collator,
        plan: StepPlan,
        *,
        seed: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
    ) -> None:
        self.source = _StepDataset(data, collator, plan, seed, accumulate, rank, world_size)
        self.workers = workers

    def batch(self, step: int, micro: int = 0) -> Any:
        """One micro-batch of this rank."""
        return self.source[step * self.source.accumulate + micro]

    def iterate(self, start: int, stop: int) -> Generator[list, None, None]:
        """The micro-batches of each step from `start` up to `stop`, in order.

        Close it when leaving early (`contextlib.closing`), so that the workers end.

        Raises
        ------
        TrainingError
            If a loader worker dies; the message names the step and records it was reading.
        BiojepaError
            What reading or collating raised, also in a worker.
        """
        accumulate = self.source.accumulate
        numbers = range(start * accumulate, stop * accumulate)
        if self.workers == 0:
            for step in range(start, stop):
                yield [self.batch(step, micro) for micro in range(accumulate)]
            return
        busy = torch.full((self.workers,), -1).share_memory_()
        loader = DataLoader(
            _InWorker(self.source, busy),
            batch_size=None,
            sampler=numbers,
            num_workers=self.workers,
            generator=torch_generator(0, "loader"),  # keeps the caller's global state
            worker_init_fn=_quiet_worker,
            timeout=0,
        )
        stream: Any = iter(loader)
        try:
            for _ in range(start, stop):
                yield self._next(stream, busy)
        finally:
            # not left to the garbage collector: at exit, workers that leave SIGTERM to the main
            # process would be waited for without end
            stream._shutdown_workers()

    def _next(self, stream: Iterator, busy: torch.Tensor) -> list:
        """One step's micro-batches from the workers."""
        try:
            batches = [next(stream) for _ in range(self.source.accumulate)]
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker (pid"):
                raise
            raise TrainingError(
                f"a loader worker died while reading {self._where(busy)}: read them with "
                "workers=0 to see the cause, or check that the machine has memory left"
            ) from error
        for batch in batches:
            if isinstance(batch, _Failure):
                raise batch.error
        return batches

    def _where(self, busy: torch.Tensor) -> str:
        """The steps and records that workers were reading."""
        source = self.source
        places = [
            f"step {number // source.accumulate}, records {source.records(number)[1].tolist()}"
            for number in busy.tolist()
            if number >= 0
        ]
        return " or ".join(places) or "no record"


class _StepDataset(Dataset):
    """Micro-batch number -> this rank's batch."""

    def __init__(
        self,
        data: DataSource,
        collator: Collator,
        plan: StepPlan,
        seed: int,
        accumulate: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.data, self.collator, self.plan, self.seed = data, collator, plan, seed
        self.accumulate, self.rank, self.world_size = accumulate, rank, world_size

    def records(self, number: int) -> tuple[BatchKey, np.ndarray]:
        """Key and record indices of a micro-batch of this rank."""
        step, micro = divmod(number, self.accumulate)
        indices = self.plan.indices(step)
        slices = self.accumulate * self.world_size
        if len(indices) < slices:
            raise ConfigError(
                f"expected at least {slices} records a step ({self.world_size} processes x "
                f"{self.accumulate} micro-batches), got {len(indices)}: raise batch_size, give "
                "more records, or accumulate less"
            )
        place = micro * self.world_size + self.rank
        rows = np.arange(len(indices) * place // slices, len(indices) * (place + 1) // slices)
        return BatchKey(self.seed, step, rows, len(indices)), indices[rows]

    def __getitem__(self, number: int) -> Any:
        key, indices = self.records(number)
        return self.collator(self.data.fetch(indices, key), key)


@dataclass(frozen=True)
class _Failure:
    """An error of ours on its way out of a worker, without the worker's traceback as its text."""

    error: BiojepaError


class _InWorker(Dataset):
    """The data set as a worker reads it: notes what it is at, and hands our errors over."""

    def __init__(self, source: _StepDataset, busy: torch.Tensor) -> None:
        self.source, self.busy = source, busy

    def __getitem__(self, number: int) -> Any:
        worker = get_worker_info()
        assert worker is not None
        self.busy[worker.id] = number
        try:
            batch = self.source[number]
        except BiojepaError as error:
            return _Failure(error)
        self.busy[worker.id] = -1
        return batch


def _quiet_worker(worker: int) -> None:
    """Leave signals to the main process, which finishes its step first."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
