"""One shard of a signal store, opened read-only and memory-mapped.

HDF5 can point outside its own file (external links, external storage, virtual datasets) and can
declare more than it holds. So a shard is mapped only if every dataset is a plain contiguous block
of the expected type that lies inside the file; nothing else in it is looked at.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

import h5py
import numpy as np

from biojepa.data._foreign import HDF5_ERRORS, raised_in
from biojepa.data._store_layout import COLUMNS, TEXTS, ShardEntry
from biojepa.errors import FormatError


class Shard:
    """The columns of one shard as read-only arrays over the mapped file.

    Parameters
    ----------
    path : Path
    entry : ShardEntry
        What the manifest says of the file.
    n_channels : int
    verify : bool
        Also compare the SHA-256 of the whole file.

    Raises
    ------
    FormatError
        If the file is not the shard that the manifest describes.
    """

    def __init__(self, path: Path, entry: ShardEntry, n_channels: int, *, verify: bool) -> None:
        self.path = path
        _check_file(path, entry, verify)
        columns = _map_columns(path, entry.n_bytes)
        self.samples = columns["samples"]
        self.start = columns["start"]
        self.n_times = columns["n_times"]
        self.rate_hz = columns["rate_hz"]
        self.n_missing = columns["n_missing"]
        self._texts = {name: (columns[name], columns[f"{name}_end"]) for name in TEXTS}

        n = entry.n_records
        per_record = (self.start, self.n_times, self.rate_hz, self.n_missing)
        if any(len(column) != n for column in per_record) or any(
            len(columns[name]) != n * n_channels for name in ("gain", "offset")
        ):
            raise FormatError(f"{path}: its tables do not have {n} records x {n_channels} channels")
        self.gain = columns["gain"].reshape(n, n_channels)
        self.offset = columns["offset"].reshape(n, n_channels)
        self._check_blocks(n_channels)
        for name in TEXTS:
            self._check_text(name, n)
        if verify and not (np.isfinite(self.gain).all() and np.isfinite(self.offset).all()):
            raise FormatError(f"{path}: a gain or offset is not finite: prepare the store anew")

    def text(self, name: str, row: int) -> str:
        """One text of one record."""
        raw, end = self._texts[name]
        first = int(end[row - 1]) if row else 0
        return self._decode(raw[first : int(end[row])].tobytes())

    def texts(self, name: str) -> list[str]:
        """One text of every record."""
        raw, end = self._texts[name]
        whole, first, found = raw.tobytes(), 0, []
        for last in end.tolist():
            found.append(self._decode(whole[first:last]))
            first = last
        return found

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise FormatError(f"{self.path}: a text is not UTF-8: prepare it anew") from error

    def _check_blocks(self, n_channels: int) -> None:
        """Check that the records lie end to end in `samples`; the first must start at 0."""
        total = len(self.samples)
        start, n_times = self.start, self.n_times
        whole = (
            ((n_times > 0) & (n_times <= total) & (start >= 0) & (start <= total)).all()
            and start[0] == 0
            and (start[1:] == start[:-1] + n_channels * n_times[:-1]).all()
            and start[-1] + n_channels * n_times[-1] == total
            and (np.isfinite(self.rate_hz) & (self.rate_hz > 0)).all()
            and ((self.n_missing >= 0) & (self.n_missing <= n_channels * n_times)).all()
        )
        if not whole:
            raise FormatError(
                f"{self.path}: the records do not fill its {total:,} samples end to end, or a rate "
                "or count is impossible: prepare the store anew"
            )

    def _check_text(self, name: str, n_records: int) -> None:
        raw, end = self._texts[name]
        whole = (
            len(end) == n_records
            and end[0] >= 0
            and (end[1:] >= end[:-1]).all()
            and end[-1] == len(raw)
        )
        if not whole:
            raise FormatError(f"{self.path}: the texts of {name} do not end where they should")


def hash_file(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_file(path: Path, entry: ShardEntry, verify: bool) -> None:
    """The file is there, is no link, and has the size (and hash) of the manifest."""
    try:
        if path.is_symlink() or not path.is_file():
            raise FormatError(f"expected the shard {path}, found no plain file: prepare it anew")
        size = path.stat().st_size
        if size != entry.n_bytes:
            raise FormatError(
                f"{path} has {size:,} bytes, the manifest says {entry.n_bytes:,}: it was cut or "
                "its writer was killed; delete it and prepare the store anew"
            )
        if verify and hash_file(path) != entry.sha256:
            raise FormatError(f"{path} does not have the SHA-256 of the manifest: it was changed")
    except FormatError:
        raise
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error}") from error


def _map_columns(path: Path, n_bytes: int) -> dict[str, np.ndarray]:
    """Find every dataset's place through HDF5, then map the file once."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.userblock_size:
                raise FormatError(f"{path} has a user block: it was not written by biojepa")
            places = {name: _place(file, name, dtype, n_bytes) for name, dtype in COLUMNS.items()}
        with open(path, "rb") as raw:
            mapped = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
    except HDF5_ERRORS as error:
        ours = not isinstance(error, OSError) and not raised_in(error, "h5py")
        if isinstance(error, FormatError) or ours:
            raise
        raise FormatError(
            f"{path} cannot be read as HDF5 ({error}): it was damaged or its writer was killed; "
            "delete it and prepare the store anew"
        ) from error
    return {
        name: np.frombuffer(mapped, COLUMNS[name], count, offset)
        if count
        else np.empty(0, COLUMNS[name])
        for name, (offset, count) in places.items()
    }


def _place(file: h5py.File, name: str, dtype: str, n_bytes: int) -> tuple[int, int]:
    """Byte offset and number of values of one dataset, if it may be mapped."""
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        kind = "is missing" if link is None else f"is a {type(link).__name__}"
        raise FormatError(f"{file.filename}: {name} {kind}, expected data in the file itself")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
        raise FormatError(f"{file.filename}: {name} is not a 1-D dataset")
    if dataset.dtype != np.dtype(dtype):
        raise FormatError(f"{file.filename}: {name} is {dataset.dtype}, expected {dtype}")
    plist = dataset.id.get_create_plist()
    if (
        plist.get_layout() != h5py.h5d.CONTIGUOUS
        or plist.get_nfilters()
        or plist.get_external_count()
    ):
        raise FormatError(
            f"{file.filename}: {name} is chunked, filtered, virtual or stored in another file, "
            "expected one contiguous block"
        )
    if not dataset.size:
        return 0, 0
    offset = dataset.id.get_offset()
    if offset is None or offset < 0 or offset + dataset.nbytes > n_bytes:
        raise FormatError(
            f"{file.filename}: {name} declares {dataset.nbytes:,} bytes that are not in the file "
            f"of {n_bytes:,} bytes: it was cut or its writer was killed"
        )
    return int(offset), int(dataset.size)
