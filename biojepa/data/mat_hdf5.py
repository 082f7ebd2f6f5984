"""Strict reader of the variables in MATLAB 7.3 files, which are HDF5.

HDF5 can point outside its own file and declare more than it holds: only hard links are followed,
only datasets stored in the file itself are read, and their size is checked first. Cells and
objects, which are references, are left out.
"""

from __future__ import annotations

import os

import h5py
import numpy as np

from biojepa.data._foreign import HDF5_ERRORS, raised_in
from biojepa.data.mat_binary import MAX_DEPTH, MAX_VARIABLES, Variable
from biojepa.errors import DataError, FormatError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_RATIO, _FREE_BYTES = 200, 16 << 20  # as for other compressed files
_DECLINED = "#"  # MATLAB's own groups, #refs# and #subsystem#


def read_mat73(path: str | os.PathLike[str], *, max_bytes: int, where: str) -> dict[str, Variable]:
    """Variables of a version 7.3 file.

    Parameters
    ----------
    path : path
    max_bytes : int
        Largest variable.
    where : str
        For the messages.

    Returns
    -------
    dict
        Arrays with MATLAB's axes, texts, and dicts (structs).

    Raises
    ------
    FormatError
        If the file is damaged, or leads out of itself.
    DataError
        If a variable is larger than `max_bytes`.
    """
    try:
        with h5py.File(path, "r") as file:
            return _group(file, max_bytes, where, 0)
    except HDF5_ERRORS as error:
        if isinstance(error, FormatError) or not raised_in(error, "h5py"):
            raise
        raise FormatError(
            f"{where}: expected a MATLAB 7.3 (HDF5) file, it is damaged or its writer was killed "
            f"({str(error)[:120]})"
        ) from None


def _group(group: h5py.Group, max_bytes: int, where: str, depth: int) -> dict[str, Variable]:
    if depth > MAX_DEPTH or len(group) > MAX_VARIABLES:
        raise FormatError(f"{where}: structs are deeper or wider than any recording's")
    found: dict[str, Variable] = {}
    for name in group:
        if not isinstance(name, str):  # h5py gives bytes that are no UTF-8 as they are
            raise FormatError(f"{where}: a variable has the name {name!r}; the file is damaged")
        if name.startswith(_DECLINED):
            continue
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FormatError(f"{where}: {name!r} is a link, which is not followed")
        item = group[name]
        if isinstance(item, h5py.Group):
            found[name] = _group(item, max_bytes, where, depth + 1)
        elif isinstance(item, h5py.Dataset):
            value = _dataset(item, name, max_bytes, where)
            if value is not None:
                found[name] = value
    return found


def _dataset(item: h5py.Dataset, name: str, max_bytes: int, where: str) -> Variable | None:
    if item.dtype.kind not in "fiu" or item.shape is None or item.attrs.get("MATLAB_empty", 0):
        return None
    if item.external or item.is_virtual:
        raise FormatError(f"{where}: {name!r} is stored in another file, which is not read")
    if item.nbytes > max_bytes:
        raise DataError(
            f"{where}: {name!r} declares {item.nbytes} bytes, more than max_bytes={max_bytes}; "
            "raise max_bytes if the file is meant to be this large"
        )
    stored = item.id.get_storage_size()
    if item.nbytes > max(_FREE_BYTES, _RATIO * stored) or (item.nbytes and not stored):
        raise FormatError(
            f"{where}: {name!r} declares {item.nbytes} bytes and holds {stored}: that is no "
            "recording, it is not read"
        )
    values = np.asarray(item[()]).T  # MATLAB stores columns first
    kind = item.attrs.get("MATLAB_class", b"")
    if kind in (b"char", "char"):
        return "".join(chr(int(c)) for c in values.ravel(order="F")[:10_000])
    return np.atleast_2d(values)
