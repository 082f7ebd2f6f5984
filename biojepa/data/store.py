"""Reading a signal store: many recordings on disk, any of them in microseconds.

Samples are 16-bit codes in contiguous HDF5 datasets (`biojepa.data._store_layout`), read through
one memory map per shard. Opening reads no samples and parses no labels; the memory it takes does
not grow with the number of samples, and only by the page cache with the number of records.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from biojepa.data._shard import Shard
from biojepa.data._store_layout import TEXTS, read_manifest
from biojepa.data.quantise import dequantise
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError

if TYPE_CHECKING:
    import pandas as pd


class SignalStore:
    """Recordings of one channel layout, of any rates and lengths, read at random.

    Parameters
    ----------
    path : path-like
        Folder that `StoreWriter` or `prepare_store` wrote.
    verify : bool
        Compare the SHA-256 of every shard first (reads everything once).

    Attributes
    ----------
    channels : tuple of str
    unit : str
        Unit of what `read` returns, usually `"mV"`.
    fingerprint : str
        SHA-256 over the hashes of the shards: names the data that a run was trained on.
    recipe : dict
        What `StoreWriter` was told of the preparation.

    Raises
    ------
    FormatError
        If the folder is no store, or a shard is damaged, cut, or points outside its own file.

    Notes
    -----
    A store pickles as its path: a loader's workers map the files again, and refuse a store that
    was changed in the meantime.
    """

    def __init__(self, path: str | PathLike[str], *, verify: bool = False) -> None:
        self.path = Path(path)
        manifest = read_manifest(self.path)
        self.channels = manifest.channels
        self.unit = manifest.unit
        self.recipe = manifest.recipe
        self.fingerprint = manifest.fingerprint()
        n_channels = len(self.channels)
        self._shards = [
            Shard(self.path / entry.file, entry, n_channels, verify=verify)
            for entry in manifest.shards
        ]
        self._ends = list(accumulate(entry.n_records for entry in manifest.shards))
        self._n_records = self._ends[-1] if self._ends else 0

    def __len__(self) -> int:
        """Number of records."""
        return self._n_records

    def read(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """One record, or a stretch of it.

        Parameters
        ----------
        index : int
            Record, 0 <= index < len(store); negative counts from the end.
        start, stop : int
            First sample and one past the last; the whole record by default.

        Returns
        -------
        ndarray of float32, shape (n_channels, stop - start)
            In `unit`; NaN where samples are missing. A copy, the caller's to change.

        Raises
        ------
        IndexError
            If there is no such record.
        DataError
            If the stretch is empty or not inside the record, or the store is closed.
        """
        shard, row = self._locate(index)
        n_times = shard.n_times.item(row)
        stop = n_times if stop is None else stop
        out = np.empty((len(self.channels), max(stop - start, 0)), np.float32)
        self._read_into(out, shard, row, n_times, start, stop)
        return out

    def read_batch(
        self,
        indices: Sequence[int] | np.ndarray,
        starts: Sequence[int] | np.ndarray | None = None,
        n_times: int | None = None,
    ) -> np.ndarray:
        """Several records, or a stretch of equal length of each.

        Parameters
        ----------
        indices : sequence of int
        starts : sequence of int, optional
            First sample of each stretch; 0 by default.
        n_times : int, optional
            Samples of each stretch; by default all that follow `starts`, which must then be
            equally many in all records.

        Returns
        -------
        ndarray of float32, shape (len(indices), n_channels, n_times)

        Raises
        ------
        DataError
            If the lengths differ, or a stretch is not inside its record.
        """
        located = [self._locate(int(index)) for index in indices]
        first = [0] * len(located) if starts is None else [int(start) for start in starts]
        if len(first) != len(located):
            raise DataError(f"expected {len(located)} starts, one per record, got {len(first)}")
        lengths = [shard.n_times.item(row) for shard, row in located]
        if n_times is None:
            rest = {length - start for length, start in zip(lengths, first, strict=True)}
            if len(rest) > 1:
                raise DataError(
                    f"the records have unequal lengths ({min(rest)} to {max(rest)} samples): "
                    "pass n_times= to cut them alike, or read them one by one"
                )
            n_times = rest.pop() if rest else 0
        out = np.empty((len(located), len(self.channels), max(n_times, 0)), np.float32)
        for k, (shard, row) in enumerate(located):
            self._read_into(out[k], shard, row, lengths[k], first[k], first[k] + n_times)
        return out

    def recording(self, index: int) -> Recording:
        """One record with everything that the store knows of it."""
        shard, row = self._locate(index)
        text = {name: shard.text(name, row) for name in TEXTS}
        try:
            labels, notes = json.loads(text["labels"] or "{}"), json.loads(text["notes"] or "[]")
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{shard.path}: labels of record {index} are not JSON") from error
        return Recording(
            values=self.read(index),
            channels=self.channels,
            rate_hz=shard.rate_hz.item(row),
            unit=self.unit,
            record_id=text["record_id"],
            subject_id=text["subject_id"] or None,
            labels=labels,
            source=text["source"],
            sha256=text["source_sha256"],
            notes=tuple(notes),
        )

    def record_id(self, index: int) -> str:
        """Name of one record; all of them are `record_ids`."""
        shard, row = self._locate(index)
        return shard.text("record_id", row)

    def gain(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Size of a step and offset of each channel of a record, in `unit`.

        Returns
        -------
        gain, offset : ndarray of float32, shape (n_channels,)
            `value = code * gain + offset`; `read` is within half a gain of what was written.
        """
        shard, row = self._locate(index)
        return shard.gain[row].copy(), shard.offset[row].copy()

    @cached_property
    def lengths(self) -> np.ndarray:
        """Samples of each record: int64, shape (n_records,)."""
        return np.concatenate([np.empty(0, np.int64), *(s.n_times for s in self._open_shards())])

    @cached_property
    def rates_hz(self) -> np.ndarray:
        """Sampling rate of each record in hertz: float64, shape (n_records,)."""
        return np.concatenate([np.empty(0), *(s.rate_hz for s in self._open_shards())])

    @cached_property
    def record_ids(self) -> np.ndarray:
        """Name of each record: object array of str."""
        return self._texts("record_id")

    @cached_property
    def subject_ids(self) -> np.ndarray:
        """Patient or subject of each record: object array of str, None where unknown."""
        found = self._texts("subject_id")
        found[found == ""] = None
        return found

    @cached_property
    def records(self) -> pd.DataFrame:
        """The table of all records, read when first asked for.

        Columns `record_id`, `subject_id`, `rate_hz`, `n_times`, `n_missing`, `labels` (JSON),
        `source`, `source_sha256`, `notes` (JSON).
        """
        import pandas as pd

        missing = [np.empty(0, np.int64), *(shard.n_missing for shard in self._open_shards())]
        return pd.DataFrame(
            {
                "record_id": self.record_ids,
                "subject_id": self.subject_ids,
                "rate_hz": self.rates_hz,
                "n_times": self.lengths,
                "n_missing": np.concatenate(missing),
                **{name: self._texts(name) for name in TEXTS[2:]},
            }
        )

    def close(self) -> None:
        """Give the mapped files back; the store cannot be read afterwards."""
        self._shards = []

    def __enter__(self) -> SignalStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple:
        return _reopen, (str(self.path), self.fingerprint)

    def __repr__(self) -> str:
        return f"SignalStore({str(self.path)!r}: {len(self):,} records, {len(self.channels)} leads)"

    def _open_shards(self) -> list[Shard]:
        if self._ends and not self._shards:
            raise DataError(f"the store {self.path} is closed: open it again")
        return self._shards

    def _locate(self, index: int) -> tuple[Shard, int]:
        """The shard and the row in it of a record."""
        shards = self._open_shards()
        wanted = index + self._n_records if index < 0 else index
        if not 0 <= wanted < self._n_records:
            raise IndexError(f"record {index} of a store of {self._n_records:,} records")
        k = bisect_right(self._ends, wanted)
        return shards[k], int(wanted - (self._ends[k - 1] if k else 0))

    def _read_into(
        self, out: np.ndarray, shard: Shard, row: int, n_times: int, start: int, stop: int
    ) -> None:
        """Fill `out`, shape (n_channels, stop - start), from one record."""
        if not 0 <= start < stop <= n_times:
            raise DataError(
                f"expected 0 <= start < stop <= {n_times}, the length of the record, got "
                f"start={start}, stop={stop}"
            )
        n_channels = len(self.channels)
        first = shard.start.item(row)
        codes = shard.samples[first : first + n_channels * n_times].reshape(n_channels, n_times)
        dequantise(
            codes[:, start:stop],
            shard.gain[row],
            shard.offset[row],
            out=out,
            has_missing=shard.n_missing.item(row) > 0,
        )

    def _texts(self, name: str) -> np.ndarray:
        found = np.empty(self._n_records, dtype=object)
        first = 0
        for shard, last in zip(self._open_shards(), self._ends, strict=True):
            found[first:last] = shard.texts(name)
            first = last
        return found


def _reopen(path: str, fingerprint: str) -> SignalStore:
    """Open a store in another process, and see that it is still the same."""
    store = SignalStore(path)
    if store.fingerprint != fingerprint:
        raise FormatError(
            f"the store {path} was changed since it was opened: open it again before the run"
        )
    return store
