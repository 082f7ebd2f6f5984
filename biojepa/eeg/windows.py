"""Windows of EEG for pretraining: which there are, and where each starts.

Records in memory are prepared once. Those of a store are read when they are asked for, with some
seconds on both sides that the filters need; each epoch takes other starts.

Letters: B batch, C channels, T samples at the model's rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from biojepa.data.records import StoreRecords
from biojepa.eeg.inputs import EEGInputs, MixedInputs
from biojepa.eeg.preprocess import Prepared
from biojepa.engine.plan import GroupedPlan
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import DataError

MARGIN_S = 4.0  # ours: two periods of the slowest rhythm that the published filter lets through


class Windows(Protocol):
    """What a model can be pretrained on."""

    def __len__(self) -> int:
        """Number of windows."""

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """Windows (B, C, T) of one montage; where each starts is drawn from `key`."""

    def plan(self, batch_size: int, seed: int) -> GroupedPlan | None:
        """Batches of one montage each; None if there is one only."""


class EEGWindows:
    """Windows of one montage.

    Parameters
    ----------
    inputs : EEGInputs
    n_times : int
        T.
    """

    def __init__(self, inputs: EEGInputs, n_times: int) -> None:
        self.inputs, self.n_times = inputs, n_times
        self.in_memory = not isinstance(inputs.source.records, StoreRecords)

    def __len__(self) -> int:
        return len(self.prepared) if self.in_memory else int(self._ends[-1])

    def plan(self, batch_size: int, seed: int) -> GroupedPlan | None:
        """None: any windows go together."""
        return None

    @cached_property
    def prepared(self) -> list[Prepared]:
        """All records, or the pieces of what is continuous."""
        return list(self.inputs.iterate())

    @cached_property
    def _ends(self) -> NDArray[np.int_]:
        """Windows of a store up to the end of each record."""
        return np.cumsum(self.inputs.n_rows())

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """Windows (B, C, T) of these; where each starts is drawn from `key`."""
        places = key.generator("crop").random(key.size)[key.rows]
        make = self._held if self.in_memory else self._read
        windows = [make(int(i), u) for i, u in zip(indices, places, strict=True)]
        short = min(w.values.shape[-1] for w in windows)
        if short < self.n_times:
            raise DataError(
                f"expected records of at least {self.n_times} samples at the model's rate, got "
                f"{short}: leave the short ones out, or take a shorter window"
            )
        values = torch.from_numpy(np.stack([w.values for w in windows]))
        valid = np.stack([w.valid for w in windows])
        there = None if valid.all() else torch.from_numpy(valid)
        return Signals(values, self.inputs.positions, there)

    def _held(self, index: int, u: float) -> Prepared:
        whole = self.prepared[index]
        start = int(u * (max(0, whole.values.shape[-1] - self.n_times) + 1))
        return Prepared(whole.values[:, start : start + self.n_times], whole.valid)

    def _read(self, index: int, u: float) -> Prepared:
        """A window of a store: its share of the record says about where, `u` exactly where."""
        record = int(np.searchsorted(self._ends, index, side="right"))
        first = int(self._ends[record - 1]) if record else 0
        share = (index - first + u) / (int(self._ends[record]) - first)
        length, rate_hz = self.inputs.source.records.length(record)
        own_hz = self.inputs.preprocess.rate_hz
        n_times = int(np.ceil(self.n_times * rate_hz / own_hz))
        start = min(int(share * length), max(0, length - n_times))
        margin = int(MARGIN_S * rate_hz)
        before = max(0, start - margin)
        piece = self.inputs.read(record, before, min(length, start + n_times + margin))
        at = round((start - before) * own_hz / rate_hz)
        at = max(0, min(at, piece.values.shape[-1] - self.n_times))
        return Prepared(piece.values[:, at : at + self.n_times], piece.valid)


class MixedWindows:
    """Windows of several montages, those of one after those of the other.

    Parameters
    ----------
    parts : sequence of EEGWindows
    """

    def __init__(self, parts: Sequence[EEGWindows]) -> None:
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @cached_property
    def _ends(self) -> NDArray[np.int_]:
        return np.cumsum([0, *(len(part) for part in self.parts)])

    def plan(self, batch_size: int, seed: int) -> GroupedPlan:
        """Batches of one montage each."""
        groups = np.repeat(np.arange(len(self.parts)), np.diff(self._ends))
        return GroupedPlan(groups.tolist(), batch_size, seed)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """Windows (B, C, T) of these, which are of one montage."""
        part = int(np.searchsorted(self._ends, indices[0], side="right")) - 1
        return self.parts[part].fetch(indices - self._ends[part], key)


def pretraining_windows(inputs: EEGInputs | MixedInputs, n_times: int) -> Windows:
    """Windows of one montage or several."""
    parts = [EEGWindows(part, n_times) for part in inputs.parts]
    return parts[0] if len(parts) == 1 else MixedWindows(parts)
