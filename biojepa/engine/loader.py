"""From step number to batches: plan -> records -> samples -> collator.

The loader's unit is the step. Each micro-batch of each rank is a slice of the step's global batch;
a loader worker is told (step, micro-batch) and derives everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from torch.utils.data import DataLoader, Dataset

from biojepa.engine.plan import StepPlan
from biojepa.engine.randomness import BatchKey, torch_generator
from biojepa.errors import ConfigError, TrainingError


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

    def iterate(self, start: int, stop: int) -> Iterator[list]:
        """The micro-batches of each step from `start` up to `stop`, in order.

        Raises
        ------
        TrainingError
            If a loader worker dies; the message names the step and its records.
        """
        accumulate = self.source.accumulate
        numbers = range(start * accumulate, stop * accumulate)
        if self.workers == 0:
            for step in range(start, stop):
                yield [self.batch(step, micro) for micro in range(accumulate)]
            return
        loader = DataLoader(
            self.source,
            batch_size=None,
            sampler=numbers,
            num_workers=self.workers,
            generator=torch_generator(0, "loader"),  # keeps the caller's global state
            worker_init_fn=_quiet_worker,
            timeout=0,
        )
        stream = iter(loader)
        for step in range(start, stop):
            try:
                yield [next(stream) for _ in range(accumulate)]
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                records = self.source.plan.indices(step).tolist()
                raise TrainingError(
                    f"a loader worker died at or after step {step}, while reading records among "
                    f"{records[:8]}...: read them with workers=0 to see the cause, or check that "
                    "the machine has memory left"
                ) from error


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

    def __getitem__(self, number: int) -> Any:
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
        rows = np.array_split(np.arange(len(indices)), slices)[place]
        key = BatchKey(self.seed, step, rows, len(indices))
        return self.collator(self.data.fetch(indices[rows], key), key)


def _quiet_worker(worker: int) -> None:
    """Leave signals to the main process, which finishes its step first."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
