"""From a user's EEG to what the model sees: places of channels, then the stored preprocessing.

Letters: n records, C channels, T samples at the model's rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from biojepa.data.eeg_records import EEGRecords
from biojepa.data.montage import OnUnknown, Placed, Position, place_channels
from biojepa.data.records import ArrayRecords
from biojepa.eeg.preprocess import EEGPreprocess, Prepared
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import DataError, LeadError

CHUNK = 256  # records prepared at once
NOWHERE: Position = (0.0, 0.0, 0.0)  # a channel without a name


class EEGInputs:
    """EEG as the model sees it.

    Parameters
    ----------
    source : EEGRecords
    preprocess : EEGPreprocess
    model : dict of str to (float, float, float)
        Channels of the model, metres; empty for a new one.
    on_unknown : {"error", "drop"}
    shortest : int
        Samples that a shorter record is padded to, with zeros at its end.
    window : int, optional
        Samples: what is continuous is cut into such pieces, each a record.

    Raises
    ------
    LeadError
        If a channel has no place.

    Notes
    -----
    `placed` is the report: which channels were found, and how.
    """

    def __init__(
        self,
        source: EEGRecords,
        preprocess: EEGPreprocess,
        *,
        model: dict[str, Position],
        on_unknown: OnUnknown = "error",
        shortest: int,
        window: int | None = None,
    ) -> None:
        self.source, self.preprocess = source, preprocess
        self.shortest = shortest
        self.window = window if source.continuous else None
        self.placed = _place(source, model, on_unknown)
        self.positions = torch.tensor(self.placed.positions, dtype=torch.float32)

    def only(self, names: Sequence[str]) -> None:
        """Keep these channels, in this order.

        Raises
        ------
        LeadError
            If one is not there.
        """
        own = self.placed
        missing = [name for name in names if name not in own.names]
        if missing:
            raise LeadError(
                f"expected the channels of training, {', '.join(names)}; {', '.join(missing)} are "
                "missing: the spatial filters need every one of them"
            )
        rows = [own.names.index(name) for name in names]
        self.placed = replace(
            own,
            names=tuple(names),
            index=tuple(own.index[i] for i in rows),
            positions=tuple(own.positions[i] for i in rows),
        )
        self.positions = torch.tensor(self.placed.positions, dtype=torch.float32)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Prepared:
        """One record, or a piece of it, prepared."""
        record = self.source.records.read(index, start, stop)
        return self._pad(self._prepare(record.values, record.rate_hz))

    def iterate(self) -> Iterator[Prepared]:
        """All records in order; what is continuous, piece by piece."""
        records = self.source.records
        if isinstance(records, ArrayRecords) and isinstance(records.values, np.ndarray):
            for start in range(0, len(records), CHUNK):
                block = [records.read(i) for i in range(start, min(start + CHUNK, len(records)))]
                out = self._prepare(np.stack([r.values for r in block]), records.rate_hz)
                for values, valid in zip(out.values, out.valid, strict=True):
                    yield self._pad(Prepared(values, valid))
            return
        for index in range(len(records)):
            yield from self._cut(self.read(index))

    def signals(self) -> Iterator[Signals]:
        """All records in order, each (C, T) with its positions."""
        for record in self.iterate():
            yield self.signal(record)

    def signal(self, record: Prepared) -> Signals:
        """One record with its positions, without batch axis."""
        valid = None if record.valid.all() else torch.from_numpy(record.valid)
        return Signals(torch.from_numpy(record.values), self.positions, valid)

    def _prepare(self, values: np.ndarray, rate_hz: float) -> Prepared:
        picked = values[..., list(self.placed.index), :]
        arbitrary = self.source.arbitrary
        microvolt = picked if arbitrary else np.multiply(picked, 1e3, dtype=np.float64)
        return self.preprocess(microvolt, rate_hz, arbitrary=arbitrary)

    def _pad(self, record: Prepared) -> Prepared:
        missing = self.shortest - record.values.shape[-1]
        if missing <= 0:
            return record
        return Prepared(np.pad(record.values, ((0, 0), (0, missing))), record.valid)

    def _cut(self, record: Prepared) -> Iterator[Prepared]:
        n_times, window = record.values.shape[-1], self.window
        if window is None or n_times <= window:
            yield record
            return
        for start in range(0, n_times - window + 1, window):
            yield Prepared(record.values[:, start : start + window], record.valid)


class EEGWindows:
    """Random windows for pretraining.

    Parameters
    ----------
    inputs : EEGInputs
    n_times : int
        Samples of a window at the model's rate.
    in_memory : bool
        Prepare everything once, or a batch's windows when they are asked for (stores).
    """

    def __init__(self, inputs: EEGInputs, n_times: int, *, in_memory: bool) -> None:
        self.inputs, self.n_times, self.in_memory = inputs, n_times, in_memory

    def __len__(self) -> int:
        return len(self.prepared) if self.in_memory else len(self.inputs.source.records)

    @cached_property
    def prepared(self) -> list[Prepared]:
        """All records, or the pieces of what is continuous."""
        return list(self.inputs.iterate())

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """Windows (B, C, n_times) of these records; where each starts is drawn from `key`."""
        places = key.generator("crop").random(key.size)[key.rows]
        windows = [self._window(int(i), u) for i, u in zip(indices, places, strict=True)]
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

    def _window(self, index: int, u: float) -> Prepared:
        if self.in_memory:
            whole = self.prepared[index]
            start = int(u * (max(0, whole.values.shape[-1] - self.n_times) + 1))
            return Prepared(whole.values[:, start : start + self.n_times], whole.valid)
        length, rate_hz = self.inputs.source.records.length(index)
        n_times = int(np.ceil(self.n_times * rate_hz / self.inputs.preprocess.rate_hz))
        start = int(u * (max(0, length - n_times) + 1))
        piece = self.inputs.read(index, start, min(length, start + n_times))
        return Prepared(piece.values[:, : self.n_times], piece.valid)


def _place(source: EEGRecords, model: dict[str, Position], on_unknown: OnUnknown) -> Placed:
    """Places of the source's channels; nameless ones are those of the model, if as many."""
    if source.names is not None:
        return place_channels(
            source.names, model=model, supplied=source.supplied, on_unknown=on_unknown
        )
    n_channels = source.records.read(0).values.shape[0]
    if len(model) == n_channels:
        names, places = tuple(model), tuple(model.values())
        return Placed(names, tuple(range(n_channels)), places, matched=names)
    if n_channels == 1 and not model:
        return Placed(("ch1",), (0,), (NOWHERE,), matched=("ch1",))
    wanted = f" (or the {len(model)} of the model: {', '.join(model)})" if model else ""
    raise LeadError(
        f"expected the names of {n_channels} channels{wanted}, got none: pass ch_names=[...] in "
        "the order of the array"
    )
