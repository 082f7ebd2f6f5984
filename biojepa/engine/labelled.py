"""Labelled records in memory, and the random crops of them that supervised training sees.

Letters: n records, B batch, C channels, T samples, K label columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError, DataError

Augment = Callable[[Signals, BatchKey], Signals]


@dataclass(frozen=True)
class SupervisedBatch:
    """Signals and their labels.

    Parameters
    ----------
    signals : Signals
    labels : Tensor, shape (B,) or (B, K)
        NaN (or a negative class index) where unknown.
    """

    signals: Signals
    labels: Tensor

    def __len__(self) -> int:
        return len(self.signals)


@dataclass(frozen=True)
class LabelledRecord:
    """One record: values (C, T), which channels hold anything (C,) or None, and its label."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_] | None
    label: NDArray


class LabelledRecords:
    """A data source of records that are in memory; lengths may differ.

    Parameters
    ----------
    values : sequence of ndarray, shapes (C, T)
        Prepared as the network wants them. Not copied, not changed.
    labels : ndarray, shape (n,) or (n, K)
        Class indices, 0/1 or real numbers; NaN (or a negative index) where unknown.
    valid : sequence of ndarray of bool, shapes (C,), optional
        False for channels that a record does not have.

    Raises
    ------
    DataError
        If there is no record, the numbers of records, labels and `valid` differ, or records
        differ in their channels.
    """

    def __init__(
        self,
        values: Sequence[NDArray],
        labels: NDArray,
        *,
        valid: Sequence[NDArray[np.bool_]] | None = None,
    ) -> None:
        self.values, self.valid, self.labels = values, valid, np.asarray(labels)
        if not len(values):
            raise DataError("expected at least 1 labelled record, got 0")
        if len(self.labels) != len(values) or (valid is not None and len(valid) != len(values)):
            raise DataError(
                f"expected one label a record, got {len(values)} records, {len(self.labels)} "
                f"labels and {'no' if valid is None else len(valid)} lists of valid channels"
            )
        channels = {record.shape[0] for record in values}
        if len(channels) > 1:
            raise DataError(
                f"expected records of the same channels, got records of {sorted(channels)} "
                "channels: arrange them by name first"
            )

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, indices: NDArray, key: BatchKey) -> list[LabelledRecord]:
        """Whole records; the collator cuts them."""
        valid = self.valid
        return [
            LabelledRecord(self.values[i], None if valid is None else valid[i], self.labels[i])
            for i in indices
        ]


@dataclass(frozen=True)
class CropCollator:
    """Cuts a random crop of each record and stacks crops and labels; runs in loader workers.

    Parameters
    ----------
    crop : int or None
        Samples. A shorter record is padded with zeros at its end and marked in `valid`. None
        takes whole records, which then have one length.
    augment : callable (Signals, BatchKey) -> Signals, optional
        Lead dropout and the like.

    Raises
    ------
    ConfigError
        If `crop` is below 1.
    """

    crop: int | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"expected a crop of at least 1 sample, got {self.crop}")

    def __call__(self, samples: Sequence[LabelledRecord], key: BatchKey) -> SupervisedBatch:
        """Where each crop starts is drawn from the key's table for the global batch.

        Raises
        ------
        DataError
            If whole records of different lengths were asked for.
        """
        lengths = np.array([s.values.shape[1] for s in samples])
        crop = int(lengths[0]) if self.crop is None else self.crop
        if self.crop is None and (lengths != crop).any():
            raise DataError(
                f"expected records of one length, got {lengths.min()} to {lengths.max()} samples: "
                "train on crops"
            )
        places = key.generator("crop").random(key.size)[key.rows]
        starts = (places * (np.maximum(lengths - crop, 0) + 1)).astype(np.int64)
        first = samples[0].values
        values = np.zeros((len(samples), first.shape[0], crop), dtype=first.dtype)
        for row, sample, start in zip(values, samples, starts, strict=True):
            piece = sample.values[:, start : start + crop]
            row[:, : piece.shape[1]] = piece
        signals = Signals(torch.from_numpy(values), valid=_valid(samples, lengths, crop))
        if self.augment is not None:
            signals = self.augment(signals, key)
        labels = torch.from_numpy(np.stack([s.label for s in samples]))
        if labels.is_floating_point():
            labels = labels.to(signals.values.dtype)  # MPS has no float64
        return SupervisedBatch(signals, labels)


def _valid(samples: Sequence[LabelledRecord], lengths: NDArray, crop: int) -> Tensor | None:
    """Of channels, (B, C); of channels and times, (B, C, T), if a record was padded; else None."""
    channels = None
    if samples[0].valid is not None:
        channels = np.stack([s.valid for s in samples if s.valid is not None])
    if (lengths >= crop).all():
        return None if channels is None or channels.all() else torch.from_numpy(channels)
    times = np.arange(crop) < lengths[:, None]
    shape = (len(samples), samples[0].values.shape[0], crop)
    valid = np.broadcast_to(times[:, None], shape)
    return torch.from_numpy(valid & (True if channels is None else channels[..., None]))
