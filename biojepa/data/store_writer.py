"""Writing a signal store, shard by shard, so that a kill loses at most the shard in progress.

The records of the shard in progress are appended to plain temporary files, one per column. When
the shard is full they are copied in blocks into one HDF5 file under a temporary name, which is
synced, renamed and then listed in the manifest. Memory does not grow with the number of records;
the disk must hold the shard in progress twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence, Set
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import h5py
import numpy as np

from biojepa.data._shard import Shard, hash_file
from biojepa.data._store_layout import (
    COLUMNS,
    MANIFEST,
    SHARD_PATTERN,
    TEXTS,
    Manifest,
    ShardEntry,
    read_manifest,
    sync_folder,
    write_manifest,
)
from biojepa.data._write_lock import WriteLock
from biojepa.data.encode import EncodedRecord, encode_record
from biojepa.data.recording import Recording
from biojepa.errors import BiojepaError, DataError, LeadError, RunError

# below what malloc takes from the system apart, whose later return leaves holes in the heap
_BLOCK_BYTES = 2**16
_TEMPORARY = re.compile(r"(shard-\d{5,9}\.\w+|manifest\.json)\.tmp")


class StoreWriter:
    """Write recordings into a store; continue one that was interrupted.

    Parameters
    ----------
    path : path-like
        Folder of the store; made if it is not there.
    channels : sequence of str
        The layout that every recording must have, in this order.
    shard_records : int
        Records per shard.
    unit : str
        Unit of the store. Recordings in `"V"`, `"mV"` and `"uV"` are converted to each other.
    recipe : dict, optional
        What was done to the recordings (JSON-able). Continuing with another one is refused.

    Attributes
    ----------
    done_sources : set of str
        Sources of the records in finished shards: what a caller that continues leaves out.
        Records without a source are named by their `record_id`.
    unsure_sources : set of str
        Those of them of which records may be missing: of several records, or the last one.

    Raises
    ------
    RunError
        If the folder holds other files, a store of another layout, unit or recipe, is being
        written by another process, or cannot be written (full disk, no permission).

    Notes
    -----
    Use it in a `with` block: it ends with `finish()`, or after an error with the finished shards
    only.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        channels: Sequence[str],
        shard_records: int = 4_000,
        unit: str = "mV",
        recipe: dict | None = None,
    ) -> None:
        self.path = Path(path)
        self.channels = tuple(channels)
        self.unit = unit
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise LeadError(f"expected different channel names, got {list(self.channels)}")
        if shard_records < 1:
            raise DataError(f"expected shard_records >= 1, got {shard_records}")
        self._shard_records = shard_records
        self._spools: dict[str, BinaryIO] = {}
        self._text_ends = dict.fromkeys(TEXTS, 0)
        self._n_pending = 0
        self._n_samples = 0
        self._lock: WriteLock | None = None
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = WriteLock(self.path)
            try:
                self._manifest = self._start(json.loads(json.dumps(recipe or {})))
            except BaseException:
                self.close()
                raise
        self.done_sources: set[str] = set()
        self.unsure_sources: set[str] = set()
        self._find_done()

    def __len__(self) -> int:
        """Records so far, those of the shard in progress included."""
        return sum(entry.n_records for entry in self._manifest.shards) + self._n_pending

    def add(self, recording: Recording, *, gain: float | np.ndarray | None = None) -> None:
        """Append one recording.

        Parameters
        ----------
        recording : Recording
            With the store's channels, in its order.
        gain : float or ndarray, shape (n_channels,), optional
            The recorder's step in the store's unit. Values on that grid (or on one of the usual
            1, 5, 0.5 or 2 microvolt, which are tried anyway) are kept without loss.

        Raises
        ------
        LeadError
            If the channels are not those of the store.
        DataError
            If the recording is empty, infinite, in another unit, or has no rate.
        RunError
            If the disk is full or the folder cannot be written; the finished shards stay.
        """
        self.add_encoded(
            encode_record(recording, channels=self.channels, unit=self.unit, gain=gain)
        )

    def add_encoded(self, record: EncodedRecord) -> None:
        """Append what `encode_record` made, perhaps in another process."""
        if self._lock is None:
            raise RunError(f"the writer of {self.path} is closed: open another one to continue")
        with self._or_discard():
            if not self._spools:
                self._open_spools()
            codes = record.codes
            self._append("samples", codes.codes)
            self._append("start", np.array([self._n_samples], "<i8"))
            self._append("n_times", np.array([codes.codes.shape[1]], "<i8"))
            self._append("rate_hz", np.array([record.rate_hz], "<f8"))
            self._append("n_missing", np.array([codes.n_missing], "<i8"))
            self._append("gain", codes.gain)
            self._append("offset", codes.offset)
            for name in TEXTS:
                self._spools[name].write(record.texts[name])
                self._text_ends[name] += len(record.texts[name])
                self._append(f"{name}_end", np.array([self._text_ends[name]], "<i8"))
            self._n_samples += codes.codes.size
            self._n_pending += 1
            if self._n_pending >= self._shard_records:
                self._write_shard()

    def done_record_ids(self, sources: Set[str]) -> dict[str, set[str]]:
        """Names of the records of some sources in the shards that were finished before."""
        found: dict[str, set[str]] = {source: set() for source in sources}
        for shard in self._finished_shards() if sources else ():
            pairs = zip(shard.texts("source"), shard.texts("record_id"), strict=True)
            for source, record_id in ((s or r, r) for s, r in pairs):
                if source in found:
                    found[source].add(record_id)
        return found

    def finish(self) -> None:
        """Write the records that are left as a last, shorter shard, and close."""
        if self._n_pending:
            with self._or_discard():
                self._write_shard()
        self.close()

    def close(self) -> None:
        """Close without the records of the shard in progress."""
        self._discard_spools()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()

    def _start(self, recipe: dict) -> Manifest:
        """Clear what a killed writer left; read the manifest or begin one."""
        wanted = Manifest(self.channels, self.unit, recipe)
        found = {item.name for item in self.path.iterdir()} - {WriteLock.NAME}
        if MANIFEST not in found:
            foreign = sorted(name for name in found if not _TEMPORARY.fullmatch(name))
            if foreign:
                raise RunError(
                    f"{self.path} holds files that are no signal store ({foreign[0]!r}, ...): "
                    "choose an empty or new folder"
                )
            write_manifest(self.path, wanted)
            return wanted
        manifest = read_manifest(self.path)
        for name in ("channels", "unit", "recipe"):
            old, new = getattr(manifest, name), getattr(wanted, name)
            if old != new:
                raise RunError(
                    f"the store {self.path} was begun with {name}={old}, not {new}: "
                    "continue with the same or choose another folder"
                )
        listed = {entry.file for entry in manifest.shards}
        for name in found:
            unlisted = SHARD_PATTERN.fullmatch(name) and name not in listed
            if unlisted or _TEMPORARY.fullmatch(name):
                (self.path / name).unlink()
        return manifest

    def _find_done(self) -> None:
        last = ""
        for shard in self._finished_shards():
            pairs = zip(shard.texts("source"), shard.texts("record_id"), strict=True)
            for last in (source or record_id for source, record_id in pairs):
                if last in self.done_sources:
                    self.unsure_sources.add(last)
                self.done_sources.add(last)
        if last:
            self.unsure_sources.add(last)

    def _finished_shards(self) -> Iterator[Shard]:
        for entry in self._manifest.shards:
            yield Shard(self.path / entry.file, entry, len(self.channels), verify=False)

    @contextlib.contextmanager
    def _or_discard(self) -> Iterator[None]:
        """Leave finished shards only, whatever goes wrong inside."""
        try:
            with disk_errors(self.path, self._pending_bytes):
                yield
        except BaseException:
            self.close()
            raise

    def _pending_bytes(self) -> int:
        """Size of the shard in progress, and so roughly what must be free to finish it."""
        return 2 * self._n_samples + sum(self._text_ends.values()) + 200 * self._n_pending

    def _spool_path(self, column: str) -> Path:
        return self.path / f"{self._next_shard()}.{column}.tmp"

    def _next_shard(self) -> str:
        return f"shard-{len(self._manifest.shards):05d}"

    def _open_spools(self) -> None:
        for column in COLUMNS:
            size = _BLOCK_BYTES if column == "samples" else 2**14
            self._spools[column] = open(self._spool_path(column), "w+b", buffering=size)  # noqa: SIM115

    def _append(self, column: str, values: np.ndarray) -> None:
        # tobytes first: a buffer is written whole whatever the layout of the array
        self._spools[column].write(np.asarray(values, COLUMNS[column]).tobytes())

    def _discard_spools(self) -> None:
        """Drop the shard in progress; a full disk may refuse the last flush, which is fine."""
        for column, spool in self._spools.items():
            with contextlib.suppress(OSError):
                spool.close()
            with contextlib.suppress(OSError):
                self._spool_path(column).unlink()
        if self._spools:
            with contextlib.suppress(OSError):
                (self.path / f"{self._next_shard()}.h5.tmp").unlink()
        self._spools = {}
        self._text_ends = dict.fromkeys(TEXTS, 0)
        self._n_pending = self._n_samples = 0

    def _write_shard(self) -> None:
        """Turn the shard in progress into a finished one, listed in the manifest."""
        temporary = self.path / f"{self._next_shard()}.h5.tmp"
        final = self.path / f"{self._next_shard()}.h5"
        for spool in self._spools.values():
            spool.flush()
        _reserve(temporary, sum(spool.tell() for spool in self._spools.values()))
        assemble_shard(temporary, self._spools)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        entry = ShardEntry(
            final.name, hash_file(temporary), temporary.stat().st_size, self._n_pending
        )
        os.replace(temporary, final)
        sync_folder(self.path)
        manifest = self._manifest.with_shard(entry)
        write_manifest(self.path, manifest)
        self._discard_spools()
        self._manifest = manifest


def assemble_shard(path: Path, columns: dict[str, BinaryIO]) -> None:
    """Copy one open file per column into the contiguous datasets of an HDF5 file."""
    block = bytearray(_BLOCK_BYTES)
    with h5py.File(path, "w", alignment_threshold=1, alignment_interval=64) as file:
        for name, dtype in COLUMNS.items():
            source, size = columns[name], np.dtype(dtype).itemsize
            n_values = source.seek(0, os.SEEK_END) // size
            source.seek(0)
            dataset = file.create_dataset(name, shape=(n_values,), dtype=dtype)
            for first in range(0, n_values, _BLOCK_BYTES // size):
                # into the same memory each time
                n_bytes = source.readinto(block)  # type: ignore[attr-defined]
                values = np.frombuffer(block, dtype, n_bytes // size)
                dataset[first : first + len(values)] = values


@contextlib.contextmanager
def disk_errors(path: Path, n_bytes: object = None) -> Iterator[None]:
    """Say which folder could not be written, and how much was to be written."""
    try:
        yield
    except BiojepaError:
        raise
    except OSError as error:
        needed = f" ({n_bytes():,} bytes to write)" if callable(n_bytes) else ""
        raise RunError(
            f"{path} cannot be written{needed}: {error}; free space or check the permissions, "
            "then run again: finished shards are kept"
        ) from error


def _reserve(path: Path, n_bytes: int) -> None:
    """See that the disk has room before HDF5 begins, which cannot close a file it cannot write."""
    margin = 2**16
    if hasattr(os, "posix_fallocate"):
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes + margin)
    elif shutil.disk_usage(path.parent).free < n_bytes + margin:
        raise OSError(f"{n_bytes + margin:,} bytes are needed, more than the disk has free")
