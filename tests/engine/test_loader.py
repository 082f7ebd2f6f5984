"""From step numbers to batches: workers, slices, and workers that fail."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from biojepa.engine.loader import StepLoader
from biojepa.engine.plan import ShuffledPlan
from biojepa.engine.randomness import BatchKey
from biojepa.errors import ConfigError, DataError, TrainingError


class Records:
    """Each record is its number; noise comes from the key."""

    def __len__(self) -> int:
        return 23

    def fetch(self, indices: np.ndarray, key: BatchKey) -> np.ndarray:
        noise = key.generator("noise").random(key.size)[key.rows]
        return np.stack([indices, noise], axis=1)


@dataclass
class Failing(Records):
    """Fails on one record, the way `how` says."""

    how: str
    bad: int

    def fetch(self, indices: np.ndarray, key: BatchKey) -> np.ndarray:
        if self.bad in indices:
            if self.how == "exit":
                os._exit(3)
            if self.how == "ours":
                raise DataError("record 5: expected 12 leads, got 3")
            raise RuntimeError("a bug of the reader")
        return super().fetch(indices, key)


def collate(samples: np.ndarray, key: BatchKey) -> torch.Tensor:
    return torch.as_tensor(samples)


def loader(data=None, **options) -> StepLoader:
    return StepLoader(data or Records(), collate, ShuffledPlan(23, 8, seed=0), seed=0, **options)


def test_workers_change_no_batch() -> None:
    alone = list(loader(accumulate=2).iterate(1, 6))
    shared = list(loader(accumulate=2, workers=2).iterate(1, 6))
    assert len(alone) == len(shared) == 5
    for a, b in zip(alone, shared, strict=True):
        assert len(a) == 2
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_starting_later_gives_the_same_batches() -> None:
    late = next(iter(loader().iterate(4, 9)))[0]
    assert torch.equal(late, list(loader().iterate(0, 5))[4][0])


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (2, 1), (4, 1), (2, 2), (3, 2)])
def test_slices_of_all_ranks_and_micro_batches_make_the_global_batch(ranks, accumulate) -> None:
    whole = loader().batch(3)
    parts = [
        loader(rank=rank, world_size=ranks, accumulate=accumulate).batch(3, micro)
        for micro in range(accumulate)
        for rank in range(ranks)
    ]
    assert torch.equal(torch.cat(parts), whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_fewer_records_than_slices_is_an_error_that_names_the_ways_out() -> None:
    with pytest.raises(ConfigError, match="raise batch_size"):
        loader(world_size=5, accumulate=2).batch(0)


def step_and_batch_of(record: int) -> tuple[int, list[int]]:
    plan = ShuffledPlan(23, 8, seed=0)
    step = next(s for s in range(9) if record in plan.indices(s))
    return step, plan.indices(step).tolist()


def test_a_dead_worker_is_an_error_that_names_its_records() -> None:
    step, records = step_and_batch_of(5)
    began = time.monotonic()
    with pytest.raises(TrainingError, match="worker died") as caught:
        list(loader(Failing("exit", 5), workers=1).iterate(0, 9))
    assert time.monotonic() - began < 60
    assert f"step {step}, records {records}" in str(caught.value)


def test_our_errors_leave_a_worker_as_they_are() -> None:
    with pytest.raises(DataError, match="^record 5: expected 12 leads, got 3$"):
        list(loader(Failing("ours", 5), workers=2).iterate(0, 9))


def test_a_bug_in_a_worker_is_not_called_a_dead_worker() -> None:
    with pytest.raises(RuntimeError, match="a bug of the reader") as caught:
        list(loader(Failing("bug", 5), workers=1).iterate(0, 9))
    assert not isinstance(caught.value, TrainingError)


def test_workers_leave_the_callers_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(loader(workers=1).iterate(0, 2))
    assert torch.equal(torch.get_rng_state(), before)
