"""Which records a step sees: step number -> global batch of record indices.

A plan is a pure function of its arguments, so any process can ask for any step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from biojepa.engine.randomness import numpy_generator
from biojepa.errors import ConfigError, DataError


class StepPlan(Protocol):
    """What the loop asks of a plan."""

    steps_per_epoch: int

    def indices(self, step: int) -> np.ndarray:
        """Record indices of the global batch of `step`, shape (batch_size,)."""

    def watched(self, n_records: int) -> np.ndarray:
        """At most so many records, of one layout and always the same, for diagnostics."""


class ShuffledPlan:
    """Each epoch is a fresh permutation; a rest smaller than a batch waits for another epoch.

    Parameters
    ----------
    n_records, batch_size, seed : int
        With fewer records than `batch_size`, a batch is all records.

    Raises
    ------
    DataError
        If there is no record.
    """

    def __init__(self, n_records: int, batch_size: int, seed: int) -> None:
        if n_records < 1:
            raise DataError("expected at least 1 record to train on, got 0")
        self.n_records = n_records
        self.batch_size = min(batch_size, n_records)
        self.seed = seed
        self.steps_per_epoch = n_records // self.batch_size
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def indices(self, step: int) -> np.ndarray:
        """Record indices of one step, shape (batch_size,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = numpy_generator(self.seed, "order", epoch)
            self._order, self._epoch = rng.permutation(self.n_records), epoch
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]

    def watched(self, n_records: int) -> np.ndarray:
        """The first records of a permutation of its own."""
        return numpy_generator(self.seed, "watched").permutation(self.n_records)[:n_records]


class WeightedPlan:
    """Each sample draws a data set by weight, then one of its records, with replacement.

    The way ECG-JEPA samples its ten databases; there are no epochs, one is counted as the
    number of records over the batch size.

    Parameters
    ----------
    sizes : sequence of int
        Records of each data set; record indices run through them in this order.
    weights : sequence of float
        Not negative; need not sum to 1.
    batch_size, seed : int

    Raises
    ------
    ConfigError
        If weights and sizes do not match or a drawn data set is empty.
    """

    def __init__(
        self, sizes: Sequence[int], weights: Sequence[float], batch_size: int, seed: int
    ) -> None:
        share = np.asarray(weights, dtype=np.float64)
        if len(share) != len(sizes) or (share < 0).any() or not share.sum() > 0:
            raise ConfigError(
                f"expected one weight >= 0 for each of {len(sizes)} data sets, got {list(weights)}"
            )
        if any(w > 0 and n < 1 for w, n in zip(share, sizes, strict=True)):
            raise ConfigError(f"expected records in every drawn data set, got sizes {list(sizes)}")
        self.sizes = np.asarray(sizes, dtype=np.int64)
        self.edges = np.cumsum(share / share.sum())
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = max(1, int(self.sizes.sum()) // batch_size)

    def indices(self, step: int) -> np.ndarray:
        """Record indices of one step, shape (batch_size,)."""
        draws = numpy_generator(self.seed, "order", step).random((self.batch_size, 2))
        which = np.minimum(
            np.searchsorted(self.edges, draws[:, 0], side="right"), len(self.edges) - 1
        )
        return self.starts[which] + (draws[:, 1] * self.sizes[which]).astype(np.int64)

    def watched(self, n_records: int) -> np.ndarray:
        """Records drawn without weights from the data sets that have one."""
        drawn = np.diff(self.edges, prepend=0.0) > 0
        spans = [
            np.arange(start, start + size)
            for start, size in zip(self.starts[drawn], self.sizes[drawn], strict=True)
        ]
        return numpy_generator(self.seed, "watched").permutation(np.concatenate(spans))[:n_records]


class GroupedPlan:
    """A batch holds one group only: records of one layout (montage, atlas, length).

    Each epoch shuffles inside every group, cuts batches, and shuffles the batches; the rest of a
    group that fills no batch waits for another epoch, unless the group is smaller than a batch.

    Parameters
    ----------
    groups : sequence, shape (n_records,)
    batch_size, seed : int
    """

    def __init__(self, groups: Sequence, batch_size: int, seed: int) -> None:
        labels = np.unique(np.asarray(groups), return_inverse=True)[1]
        if len(labels) < 1:
            raise DataError("expected at least 1 record to train on, got 0")
        self.members = [np.flatnonzero(labels == g) for g in range(labels.max() + 1)]
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = sum(max(1, len(m) // batch_size) for m in self.members)
        self._epoch = -1
        self._batches: list[np.ndarray] = []

    def indices(self, step: int) -> np.ndarray:
        """Record indices of one step, all of one group; shape (at most batch_size,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = numpy_generator(self.seed, "order", epoch)
            batches = []
            for members in self.members:
                order = rng.permutation(members)
                size = min(self.batch_size, len(order))
                batches += [order[i * size : (i + 1) * size] for i in range(len(order) // size)]
            self._batches = [batches[i] for i in rng.permutation(len(batches))]
            self._epoch = epoch
        return self._batches[place]

    def watched(self, n_records: int) -> np.ndarray:
        """Records of the largest group."""
        largest = max(self.members, key=len)
        return numpy_generator(self.seed, "watched").permutation(largest)[:n_records]
