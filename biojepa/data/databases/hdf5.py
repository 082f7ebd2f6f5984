"""Strict opening of HDF5 files that others wrote: data in the file itself, of the stated shape.

External links, external raw storage, virtual data sets and filters beyond HDF5's own are refused,
and every size is judged before anything is read (rows H1 and H2 of the list of bad input).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from biojepa.data._foreign import HDF5_ERRORS, raised_in
from biojepa.data._paths import file_size, shown
from biojepa.errors import FormatError

MAX_CHUNK_BYTES = 256 << 20  # a chunk is decompressed whole
MAX_RATIO = 1000  # of declared to stored bytes; signals compress 2 to 5 times
_FILTERS = {"gzip", "lzf", None}


@contextmanager
def open_datasets(
    path: Path, wanted: Mapping[str, tuple[int | None, ...]]
) -> Iterator[dict[str, h5py.Dataset]]:
    """Open data sets of an HDF5 file after checking them.

    Parameters
    ----------
    path : Path
    wanted : mapping of str to tuple
        Name to shape; None for any length. They must agree in their first axis.

    Yields
    ------
    dict of str to Dataset

    Raises
    ------
    FormatError
        If the file is damaged, cut, or holds something else.
    """
    where = shown(path)
    n_bytes = file_size(path, follow_symlinks=False)
    try:
        with h5py.File(path, "r", locking=False) as file:
            found = {name: _checked(file, name, shape, n_bytes) for name, shape in wanted.items()}
            lengths = {name: len(dataset) for name, dataset in found.items()}
            if len(set(lengths.values())) > 1:
                raise FormatError(f"{where}: expected as many rows in each, got {lengths}")
            yield found
    except HDF5_ERRORS as error:
        if isinstance(error, FormatError) or not raised_in(error, "h5py"):
            raise
        raise FormatError(
            f"{where} cannot be read as HDF5 ({error}): it was cut, damaged, or its writer was "
            "killed; fetch it again"
        ) from error


def _checked(
    file: h5py.File, name: str, shape: tuple[int | None, ...], n_bytes: int
) -> h5py.Dataset:
    where = f"{shown(file.filename)}: {name}"
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        kind = "is missing" if link is None else f"is a {type(link).__name__}"
        raise FormatError(f"{where} {kind}, expected data in the file itself")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu":
        raise FormatError(f"{where} holds no numbers")
    if dataset.ndim != len(shape) or any(
        want is not None and want != n for want, n in zip(shape, dataset.shape, strict=True)
    ):
        text = " x ".join("n" if want is None else str(want) for want in shape)
        raise FormatError(f"{where}: expected a shape of {text}, got {dataset.shape}")
    if dataset.external or dataset.is_virtual:
        raise FormatError(f"{where} is stored in another file, which is not opened")
    if dataset.compression not in _FILTERS or dataset.scaleoffset is not None:
        raise FormatError(f"{where} is compressed by {dataset.compression}, which is not read")
    stored = dataset.id.get_storage_size()
    chunk = 0 if dataset.chunks is None else dataset.dtype.itemsize
    for n in dataset.chunks or ():
        chunk *= n
    too_large = chunk > MAX_CHUNK_BYTES or stored > n_bytes
    if too_large or dataset.nbytes > MAX_RATIO * stored:
        raise FormatError(
            f"{where} declares {dataset.nbytes:,} bytes (chunks of {chunk:,}), of which "
            f"{stored:,} are stored in a file of {n_bytes:,}: its writer was killed, or it is no "
            "file of signals"
        )
    return dataset
