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

    def iterate(self) -> Iterator[Preprocessed]:
        """All records in order; arrays of one length go through in chunks."""
        records = self.records
        if isinstance(records, ArrayRecords) and isinstance(records.values, np.ndarray):
            for start in range(0, len(records), CHUNK):
                block = [records.read(i) for i in range(start, min(start + CHUNK, len(records)))]
                values, present = self._arrange(np.stack([r.values for r in block]), block[0])
                out = self.preprocess.batch(values, records.rate_hz, present=present)
                for i in range(len(block)):
                    yield Preprocessed(out.values[i], out.valid[i], out.log_scale[i])
        else:
            for index in range(len(records)):
                yield self.read(index)

    def n_times(self, index: int) -> int:
        """Samples of a record at the model's rate."""
        return self.preprocess.n_times_out(*self.records.length(index))

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
        Prepare everything once (arrays), or each window when it is asked for (stores, files).
    """

    def __init__(self, inputs: ECGInputs, n_times: int, *, in_memory: bool) -> None:
        self.inputs, self.n_times = inputs, n_times
        self.prepared = [p.values for p in inputs.iterate()] if in_memory else None

    def __len__(self) -> int:
        return len(self.inputs)

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Signals:
        """Windows (B, C, n_times) of these records; where each starts is drawn from `key`."""
        places = key.generator("crop").random(key.size)[key.rows]
        windows = [self._window(int(i), u) for i, u in zip(indices, places, strict=True)]
        lengths = np.array([w.shape[1] for w in windows])
        out = np.zeros((len(windows), windows[0].shape[0], self.n_times), dtype=np.float32)
        for row, window in zip(out, windows, strict=True):
            row[:, : window.shape[1]] = window
        if (lengths == self.n_times).all():
            return Signals(torch.from_numpy(out))
        valid = np.arange(self.n_times) < lengths[:, None]
        valid = np.broadcast_to(valid[:, None], out.shape).copy()
        return Signals(torch.from_numpy(out), valid=torch.from_numpy(valid))

    def _window(self, index: int, u: float) -> np.ndarray:
        if self.prepared is not None:
            whole = self.prepared[index]
            start = int(u * (max(0, whole.shape[1] - self.n_times) + 1))
            return whole[:, start : start + self.n_times]
        length, rate_hz = self.inputs.records.length(index)
        wanted = int(np.ceil(self.n_times * rate_hz / self.inputs.preprocess.rate_hz))
        start = int(u * (max(0, length - wanted) + 1))
        piece = self.inputs.read(index, start, min(length, start + wanted))
        return piece.values[:, : self.n_times]
