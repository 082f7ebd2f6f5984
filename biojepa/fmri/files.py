"""Region series from files: `.npy`, `.csv`, `.tsv`, `.txt`, `.1D`, `.mat`, and CIFTI parcels.

Sizes are compared with the file and with `max_bytes` before memory is taken; nothing is unpickled.
Images need an atlas: see `images` and `surface`. Letters: R regions, T frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import file_size, read_bytes, record_path, shown
from biojepa.data.mat_reader import read_variables
from biojepa.data.npy_header import MAX_HEADER_BYTES, parse_npy_header
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError
from biojepa.fmri.records import Orientation, SeriesRecords, open_runs

DEFAULT_MAX_BYTES = 4 << 30
MAX_TEXT_BYTES = 512 << 20
TEXT = (".csv", ".tsv", ".txt", ".1d")
SUFFIXES = (".npy", ".mat", *TEXT, ".ptseries.nii")
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None, ".1d": None}
_TIME = {"", "time", "frame", "index", "volume", "t"}


def open_paths(
    paths: Any,
    *,
    tr_s: float,
    regions: Sequence[str] | None,
    orientation: Orientation,
) -> SeriesRecords:
    """Runs in files and folders, in the order of their names.

    Parameters
    ----------
    paths : path, or sequence of paths
        Files, or folders that are searched for them.
    tr_s : float
        Repetition time of files that do not say theirs, seconds.
    regions : sequence of str or None
        Names of the regions, where the files have none.
    orientation : {"auto", "time-region", "region-time"}
        Of the tables in the files.

    Raises
    ------
    FormatError
        If a file is damaged, hostile or of another kind.
    DataError
        If there is no file, or the axes are the other way round.
    """
    given = [paths] if isinstance(paths, str | PathLike) else list(paths)
    files = [file for path in given for file in find_series(record_path(path))]
    if not files:
        raise DataError(
            f"expected files of region series ({', '.join(SUFFIXES)}), found none in "
            f"{', '.join(map(str, given[:3]))}"
        )
    runs: list[Recording] = []
    for file in files:
        table, names, own_tr = read_table(file)
        opened = open_runs(
            [table],
            tr_s=own_tr or tr_s,
            regions=regions if names is None else names,
            orientation="time-region" if orientation == "auto" else orientation,
        )
        run = opened.read(0)
        digest = hashlib.sha256(np.ascontiguousarray(table, dtype="<f4").tobytes()).hexdigest()
        runs.append(replace(run, record_id=stem(file), source=str(file), sha256=digest))
    _check_alike(runs, orientation)
    return SeriesRecords(runs)


def read_table(
    path: str | PathLike, *, key: str | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[NDArray, list[str] | None, float | None]:
    """The two-dimensional table of numbers in a file.

    Parameters
    ----------
    path : path
    key : str, optional
        Variable of a `.mat` file; needed if it holds several tables.
    max_bytes : int
        Largest table that is read.

    Returns
    -------
    table : ndarray, shape (rows, columns)
    names : list of str or None
        Names of the columns, if the file has a header row (or parcel names).
    tr_s : float or None
        Repetition time, if the file says it, seconds.

    Raises
    ------
    FormatError
        If the file is damaged, hostile, larger than `max_bytes`, or holds no such table.
    DataError
        If a MATLAB file unpacks to more than a recording would.
    """
    file = Path(path)
    name = file.name.lower()
    size = file_size(file)
    where = shown(file)
    if name.endswith((".nii", ".nii.gz", ".gii")):
        from biojepa.fmri.surface import read_parcels

        return read_parcels(file, max_bytes=max_bytes)
    if size > max_bytes:
        raise FormatError(f"{where}: {size} bytes, more than max_bytes={max_bytes}")
    if name.endswith(".npy"):
        table: NDArray = _read_npy(file, size, max_bytes)
        names = None
    elif name.endswith(".mat"):
        table, names = _read_mat(file, key, max_bytes), None
    elif file.suffix.lower() in TEXT:
        table, names = _read_text(file, size)
    else:
        raise FormatError(f"{where}: expected one of {', '.join(SUFFIXES)}")
    table = np.squeeze(table) if table.ndim == 3 and 1 in table.shape else table
    if table.ndim != 2 or 0 in table.shape or table.dtype.kind not in "fiu":
        raise FormatError(
            f"{where}: expected a table of real numbers (time, regions), got {table.dtype} of "
            f"shape {table.shape}"
        )
    return table, names, None


def stem(path: Path) -> str:
    """Name of a file without its suffixes that tell a format."""
    name = path.name
    for suffix in (".gz", ".nii", ".gii", ".ptseries", ".dtseries", ".func"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name if name != path.name else path.stem


def find_series(path: Path) -> list[Path]:
    """The files of region series in a folder, by name; a file is returned as it is."""
    if not path.is_dir():
        return [path]
    found = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    return sorted(p for p in found if p.name.lower().endswith(SUFFIXES))


def _check_alike(runs: Sequence[Recording], orientation: Orientation) -> None:
    """Refuse files whose rows are alike and whose columns differ, unless regions have names."""
    if orientation != "auto" or any(run.channels for run in runs):
        return
    lengths, regions = {run.n_times for run in runs}, {len(run.values) for run in runs}
    if len(regions) > 1 and len(lengths) == 1:
        raise DataError(
            f"expected files of (time, regions) with the same regions, got {lengths.pop()} rows in "
            f"all and {min(regions)} to {max(regions)} columns: pass orientation='region-time' (or "
            "'time-region' if they are of several atlases)"
        )


def _read_npy(file: Path, size: int, max_bytes: int) -> NDArray:
    where = shown(file)
    header = parse_npy_header(read_bytes(file, min(size, MAX_HEADER_BYTES)), where=where)
    if size - header.data_offset < header.n_bytes:
        raise FormatError(
            f"{where}: expected {header.n_bytes} bytes for an array of shape {header.shape}, got "
            f"{size - header.data_offset}; the file is cut"
        )
    if header.n_bytes > max_bytes:
        raise FormatError(f"{where}: declares {header.n_bytes} bytes, over max_bytes={max_bytes}")
    order: Any = "F" if header.fortran_order else "C"
    mapped = np.memmap(
        file, header.dtype, "r", offset=header.data_offset, shape=header.shape, order=order
    )
    table = np.array(mapped)
    return table.astype(np.float32) if table.dtype == np.float16 else table


def _read_mat(file: Path, key: str | None, max_bytes: int) -> NDArray:
    variables, _ = read_variables(file, max_bytes=max_bytes)
    tables = {
        name: value
        for name, value in variables.items()
        if isinstance(value, np.ndarray) and value.ndim == 2 and max(value.shape) > 1
    }
    if key is None and len(tables) == 1:
        key = next(iter(tables))
    if key not in tables:
        raise FormatError(
            f"{shown(file)}: expected one table of numbers"
            + ("" if key is None else f" named {key!r}")
            + f", got {', '.join(tables) or 'none'}: pass key="
        )
    table = tables[key]
    return table.astype(table.dtype.newbyteorder("="))


def _read_text(file: Path, size: int) -> tuple[NDArray[np.float64], list[str] | None]:
    where = shown(file)
    if size > MAX_TEXT_BYTES:
        raise FormatError(f"{where}: expected a table below {MAX_TEXT_BYTES >> 20} MB, got {size}")
    try:
        text = read_bytes(file, size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: expected text, got other bytes ({error.reason})") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise FormatError(f"{where}: expected rows of numbers, got none")
    separator = _SEPARATORS[file.suffix.lower()]
    if separator == "," and "," not in lines[0]:
        separator = ";" if ";" in lines[0] else "\t" if "\t" in lines[0] else None
    rows = [[cell.strip().strip('"') for cell in line.split(separator)] for line in lines]
    names: list[str] | None = None
    if any(_number(cell) is None for cell in rows[0]):
        names, rows = rows[0], rows[1:]
    if len({len(row) for row in rows}) != 1 or (names and rows and len(names) != len(rows[0])):
        raise FormatError(f"{where}: expected as many cells in every row, got unequal rows")
    table = np.empty((len(rows), len(rows[0]) if rows else 0))
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            number = _number(cell)
            if number is None:
                raise FormatError(
                    f"{where}: expected a number in row {r + 1}, column {c + 1}, got {cell[:40]!r}"
                )
            table[r, c] = number
    if names and names[0].lower() in _TIME:
        names, table = names[1:], table[:, 1:]
    return table, names


def _number(cell: str) -> float | None:
    if cell.lower() in ("", "nan", "na", "n/a"):
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return None
