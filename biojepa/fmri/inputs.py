"""From a user's runs to what the model sees: atlas, then the stored preprocessing, then windows.

Letters: B batch, R regions, T frames at the model's TR, G gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from biojepa.data.crops import random_start
from biojepa.data.records import Records
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import DataError
from biojepa.fmri.atlas import Atlas, arrange, match
from biojepa.fmri.preprocess import BrainPreprocess, PreparedRun


@dataclass
class BrainInputs:
    """Runs as the model sees them.

    Parameters
    ----------
    records : Records
    preprocess : BrainPreprocess
    atlases : sequence of Atlas
        The first is the model's own.
    """

    records: Records
    preprocess: BrainPreprocess
    atlases: Sequence[Atlas]
    _places: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def atlas(self, index: int) -> int:
        """Place of a run's atlas among `atlases`.

        Raises
        ------
        DataError
            If it is of none.
        """
        if index not in self._places:
            run = self.records.read(index)
            place = match(run, self.atlases)
            if place is None:
                sizes = " or ".join(str(len(a)) for a in self.atlases)
                raise DataError(
                    f"expected runs of {sizes} regions, got {len(run.values)} in run {index}: the "
                    "model has no gradients for them"
                )
            self._places[index] = place
        return self._places[index]

    def read(self, index: int) -> PreparedRun:
        """One run, prepared."""
        run = self.records.read(index)
        values = arrange(run, self.atlases[self.atlas(index)])
        return self.preprocess(values, 1.0 / run.rate_hz)

    def iterate(self, indices: Sequence[int] | None = None) -> Iterator[PreparedRun]:
        """Runs in order, or some of them."""
        for index in range(len(self)) if indices is None else indices:
            yield self.read(index)

    def groups(self) -> NDArray[np.int64]:
        """Atlas of each run."""
        return np.array([self.atlas(i) for i in range(len(self))])

    def positions(self, place: int) -> torch.Tensor | None:
        """Gradients (R, G) of an atlas, for a batch; None for the model's own."""
        return torch.from_numpy(self.atlases[place].gradients) if place else None


class BrainWindows:
    """Random windows for pretraining; a batch holds one atlas.

    Parameters
    ----------
    inputs : BrainInputs
    n_times : int
        Frames of a window at the model's TR; shorter runs are padded and marked.
    in_memory : bool
        Prepare everything once, or a batch's runs when they are asked for.
    """

    def __init__(self, inputs: BrainInputs, n_times: int, *, in_memory: bool) -> None:
        self.inputs, self.n_times = inputs, n_times
        self.prepared = list(inputs.iterate()) if in_memory else None

    def __len__(self) -> int:
        return len(self.inputs)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """Windows (B, R, n_times) of these runs; where each starts is drawn from `key`."""
        places = key.generator("crop").random(key.size)[key.rows]
        whole = self.prepared
        runs = [self.inputs.read(int(i)) if whole is None else whole[int(i)] for i in indices]
        shape = (len(runs), len(runs[0].values), self.n_times)
        values, valid = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
        for row, there, run, u in zip(values, valid, runs, places, strict=True):
            start = random_start(run.values.shape[1], self.n_times, float(u))
            piece = run.values[:, start : start + self.n_times]
            row[:, : piece.shape[1]] = piece
            there[run.valid, : piece.shape[1]] = True
        return Signals(
            torch.from_numpy(values),
            self.inputs.positions(self.inputs.atlas(int(indices[0]))),
            None if valid.all() else torch.from_numpy(valid),
        )
