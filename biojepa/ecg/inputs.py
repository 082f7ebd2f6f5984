"""From a user's recordings to what the model sees: lead names, then the stored preprocessing.

Letters: C leads of the model, T samples at the model's rate.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from biojepa.data.leads import arrange_leads
from biojepa.data.recording import Recording
from biojepa.data.records import ArrayRecords, Records
from biojepa.ecg.preprocess import ECGPreprocess, Preprocessed
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import MissingLeadWarning

OnMissing = Literal["error", "drop"]
CHUNK = 256  # records prepared at once


@dataclass
class ECGInputs:
    """Recordings as the model sees them.

    Parameters
    ----------
    records : Records
    preprocess : ECGPreprocess
    on_missing : {"error", "drop"}
        What to do with a lead of the model that a recording does not have.
    channels : sequence of str or None
        Names of the recordings' channels if they have none of their own.
    missing : set of str
        Leads that were masked, filled while reading.
    """

    records: Records
    preprocess: ECGPreprocess
    on_missing: OnMissing = "error"
    channels: Sequence[str] | None = None
    missing: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.records)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Preprocessed:
        """One record, or a piece of it, prepared."""
        record = self.records.read(index, start, stop)
        values, present = self._arrange(record.values, record)
        return self.preprocess(values, record.rate_hz, present=present)

    def read_pieces(self, pieces: Sequence[tuple[int, slice]]) -> list[Preprocessed]:
        """Pieces of records, prepared; those of one length and rate together, which is faster.

        The numbers are those of `read`; the notes are left out.
        """
        records = [self.records.read(i, piece.start, piece.stop) for i, piece in pieces]
        alike: dict[tuple[object, ...], list[int]] = {}
        for place, record in enumerate(records):
            kind = (record.channels, record.rate_hz, record.values.shape)
            alike.setdefault(kind, []).append(place)
        prepared: dict[int, Preprocessed] = {}
        for places in alike.values():
            together = self._prepare_alike([records[place] for place in places])
            prepared.update(zip(places, together, strict=True))
        return [prepared[place] for place in range(len(records))]

    def iterate(self) -> Iterator[Preprocessed]:
        """All records in order; arrays of one length go through in chunks."""
        records = self.records
        if isinstance(records, ArrayRecords) and isinstance(records.values, np.ndarray):
            for start in range(0, len(records), CHUNK):
                block = [records.read(i) for i in range(start, min(start + CHUNK, len(records)))]
                yield from self._prepare_alike(block)
        else:
            for index in range(len(records)):
                yield self.read(index)

    def n_times(self, index: int) -> int:
        """Samples of a record at the model's rate."""
        return self.preprocess.n_times_out(*self.records.length(index))

    def _prepare_alike(self, records: Sequence[Recording]) -> Iterator[Preprocessed]:
        """Prepare records of the same channels, rate and length in one call."""
        values, present = self._arrange(np.stack([r.values for r in records]), records[0])
        out = self.preprocess.batch(values, records[0].rate_hz, present=present)
        for row in zip(out.values, out.valid, out.log_scale, strict=True):
            yield Preprocessed(*row)

    def _arrange(self, values: np.ndarray, record: Recording) -> tuple[np.ndarray, np.ndarray]:
        leads = self.preprocess.leads
        have = record.channels or self.channels or leads
        arranged, present = arrange_leads(values, have, leads, on_missing=self.on_missing)
        lost = {lead for lead, there in zip(leads, present, strict=True) if not there}
        if lost - self.missing:
            self.missing |= lost
            warnings.warn(
                f"masked the leads {', '.join(sorted(lost))}, which the recordings do not have; "
                "features of fewer leads are another measurement: compare only like with like",
                MissingLeadWarning,
                stacklevel=5,
            )
        return arranged, present


class ECGWindows:
    """Random windows for pretraining.

    Parameters
    ----------
    inputs : ECGInputs
    n_times : int
        Samples of a window at the model's rate; shorter records are padded and marked.
    in_memory : bool
        Prepare everything once (arrays), or a batch's windows when they are asked for (stores,
        files).
    stretch : float
        A window covers n_times times a factor drawn from 1 - stretch to 1 + stretch, as far as the
        record goes, and is interpolated to n_times: the same record at other heart rates.
    """

    def __init__(
        self, inputs: ECGInputs, n_times: int, *, in_memory: bool, stretch: float = 0.0
    ) -> None:
        self.inputs, self.n_times, self.stretch = inputs, n_times, stretch
        self.prepared = [p.values for p in inputs.iterate()] if in_memory else None

    def __len__(self) -> int:
        return len(self.inputs)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """Windows (B, C, n_times) of these records; `key` draws where they start and how long."""
        places = key.generator("crop").random(key.size)[key.rows]
        spans = np.full(len(indices), self.n_times)
        if self.stretch:
            u = key.generator("stretch").random(key.size)[key.rows]
            spans = np.rint(self.n_times * (1 + self.stretch * (2 * u - 1))).astype(int)
        wanted = [(int(i), u, int(n)) for i, u, n in zip(indices, places, spans, strict=True)]
        windows = self._windows(wanted)
        out = np.zeros((len(windows), windows[0].shape[0], self.n_times), dtype=np.float32)
        lengths = np.zeros(len(windows), dtype=int)
        for row, (window, span) in enumerate(zip(windows, spans, strict=True)):
            # a record that ends early stands for as much of the window, but for the rounding
            n_times = round(window.shape[1] * self.n_times / span)
            lengths[row] = n_times if window.shape[1] < span else self.n_times
            out[row, :, : lengths[row]] = _interpolate(window, lengths[row])
        if (lengths == self.n_times).all():
            return Signals(torch.from_numpy(out))
        valid = np.arange(self.n_times) < lengths[:, None]
        valid = np.broadcast_to(valid[:, None], out.shape).copy()
        return Signals(torch.from_numpy(out), valid=torch.from_numpy(valid))

    def _windows(self, wanted: Sequence[tuple[int, float, int]]) -> list[np.ndarray]:
        """Windows of n samples of records; each starts at the share u of where it can."""
        whole = self.prepared
        if whole is not None:
            return [whole[i][:, _window(whole[i].shape[1], n, u)] for i, u, n in wanted]
        pieces = []
        for i, u, n in wanted:
            length, rate_hz = self.inputs.records.length(i)
            n_times = int(np.ceil(n * rate_hz / self.inputs.preprocess.rate_hz))
            pieces.append((i, _window(length, n_times, u)))
        read = self.inputs.read_pieces(pieces)
        return [piece.values[:, :n] for piece, (_, _, n) in zip(read, wanted, strict=True)]


def _window(length: int, n_times: int, u: float) -> slice:
    start = int(u * (max(0, length - n_times) + 1))
    return slice(start, min(length, start + n_times))


def _interpolate(values: np.ndarray, n_times: int) -> np.ndarray:
    """The values (C, T) at `n_times` places from the first to the last, linearly."""
    if n_times == values.shape[1]:
        return values
    places = np.linspace(0, values.shape[1] - 1, n_times)
    left = places.astype(int)
    right = np.minimum(left + 1, values.shape[1] - 1)
    share = (places - left).astype(values.dtype)
    return values[:, left] * (1 - share) + values[:, right] * share
