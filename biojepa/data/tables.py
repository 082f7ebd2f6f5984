"""Recordings from text tables: `.csv`, `.tsv`, `.txt`, one record per file, one column per lead.

Understands a byte-order mark, `;` with decimal commas, units in the header row (`II [mV]`, `II_mV`)
or in a row of their own below it, a time column (which gives the rate) and a sample counter.
Columns may have different units; those that are no voltage are left out. Every bad cell is named by
row and column.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.arrays import read_npy as read_npy
from biojepa.data.arrays import read_npz as read_npz
from biojepa.data.assemble import Decoded, ReadOptions, assemble
from biojepa.data.recording import Recording
from biojepa.data.units import canonical_unit
from biojepa.errors import DataError, FormatError, LeadError

MAX_TABLE_BYTES = 512 << 20
MAX_ROWS = 5_000_000  # ours: 83 minutes at 1000 Hz
MAX_COLUMNS = 1000
MIN_RATE_HZ = 20.0  # ours: a time column that gives less is in another unit

_WITH_UNIT = re.compile(r"(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]\s*")
_UNIT_AFTER = re.compile(r"(.*\S)[_ ](mV|uV|\u00b5V|\u03bcV|V)")
_TIME_UNITS = {"s", "sec", "second", "seconds", "ms", "msec", "millisecond", "milliseconds"}
_TIME = {
    "time",
    "elapsed time",
    "t",
    "s",
    "sec",
    "seconds",
    "ms",
    "millisecond",
    "milliseconds",
    "timestamp",
}
_MS = {"ms", "msec", "millisecond", "milliseconds"}
_COUNTER = {"", "index", "sample", "samples", "sample_index", "n"}


@dataclass(frozen=True)
class Table:
    """A text table of numbers.

    Parameters
    ----------
    names : list of str or None
        Of the columns, without units; None if there is no header row.
    units : list of (str or None)
    numbers : ndarray of float64, shape (n_rows, n_columns)
    sha256 : str
        Of the file.
    """

    names: list[str] | None
    units: list[str | None]
    numbers: np.ndarray
    sha256: str


def read_table(path: str | os.PathLike[str], *, max_bytes: int = MAX_TABLE_BYTES) -> Table:
    """Read the numbers of a text table; empty cells and `nan` are NaN.

    Raises
    ------
    FormatError
        If a cell is not a number, a row has another number of cells, or the table is binary.
    DataError
        If the file is larger than `max_bytes`.
    """
    where = shown(path)
    size = file_size(path)
    if size > max_bytes:
        raise DataError(f"{where}: {size} bytes are more than max_bytes={max_bytes}; raise it")
    raw = read_bytes(path, size)
    lines, numbers = _lines(raw, where)
    delimiter = _delimiter(lines[0])
    names = _cells(lines[0], delimiter)
    has_header = _is_header(names, delimiter, f"{where}, row {numbers[0]}")
    body, body_numbers = (lines[1:], numbers[1:]) if has_header else (lines, numbers)
    if not body:
        raise FormatError(f"{where}: expected rows of numbers below the header row, got none")
    units: list[str | None] = [None] * len(names)
    if has_header:
        names, units = map(list, zip(*(_split_unit(name) for name in names), strict=True))
        below = _units_row(_cells(body[0], delimiter), len(names))
        if below is not None:
            units = [low or high for low, high in zip(below, units, strict=True)]
            body, body_numbers = body[1:], body_numbers[1:]
    if not body:
        raise FormatError(f"{where}: expected rows of numbers below the units, got none")
    table = _numbers(body, body_numbers, delimiter, len(names), where)
    return Table(names if has_header else None, units, table, hashlib.sha256(raw).hexdigest())


def read_csv(
    path: str | os.PathLike[str],
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    max_bytes: int = MAX_TABLE_BYTES,
    scale_check: bool = True,
) -> Recording:
    """Read one recording from a text table.

    Parameters
    ----------
    path : path
    leads : sequence of str, optional
        Names of the lead columns in the order of the file; replaces the header row's names and is
        needed if there is no header row.
    rate_hz : float, optional
        Samples per second; needed if no time column gives it.
    unit : str, optional
        Unit of the numbers, replaces that of the header row; millivolt if neither says.
    max_bytes : int
        Largest file that is read.
    scale_check : bool
        Refuse numbers whose peak-to-peak cannot be an ECG's.

    Returns
    -------
    Recording
        Empty cells and `nan` are NaN.

    Raises
    ------
    FormatError
        If a cell is not a number, a row has another number of cells, or the table is binary.
    LeadError
        If names are missing, twice, or not as many as lead columns.
    DataError
        If the rate is missing or contradicts the time column, the file is too large, or the scale
        is implausible.
    """
    where = shown(path)
    found = read_table(path, max_bytes=max_bytes)
    table, units = found.numbers, found.units
    names = found.names or [""] * len(units)
    notes: list[str] = []
    keep = list(range(len(names)))
    if found.names is not None:
        column = next((i for i, name in enumerate(names) if _is_time(name)), None)
        if column is not None:
            in_ms = _is_ms(names[column], units[column])
            rate_hz = _rate(table[:, column], in_ms, names[column], rate_hz, where)
            keep.remove(column)
        for i in [i for i in keep if names[i].strip().lower() in _COUNTER]:
            if np.array_equal(np.diff(table[:, i]), np.ones(len(table) - 1)):
                keep.remove(i)
                notes.append(f"column {names[i]!r} counts the rows and was left out")
    if not keep:
        raise LeadError(f"{where}: expected columns of leads beside time and counter, got none")
    decoded = Decoded(
        values=np.ascontiguousarray(table[:, keep].T),
        names=[names[i] for i in keep] if found.names is not None else None,
        units=_filled([units[i] for i in keep]),
        rate_hz=rate_hz,
        record_id=Path(path).stem,
        sha256=found.sha256,
        notes=tuple(notes),
    )
    options = ReadOptions(leads=leads, rate_hz=None, unit=unit, scale_check=scale_check)
    return assemble(decoded, path, options)


def _lines(raw: bytes, where: str) -> tuple[list[str], list[int]]:
    """Lines with content, and their numbers in the file."""
    if b"\0" in raw:
        raise FormatError(f"{where}: expected a text table in UTF-8, got binary data or UTF-16")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines, numbers = [], []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if line.strip() and not line.startswith("#"):
            lines.append(line)
            numbers.append(number)
    if not lines:
        raise FormatError(f"{where}: expected a table, the file is empty")
    if len(lines) > MAX_ROWS + 1:
        raise FormatError(f"{where}: expected at most {MAX_ROWS} rows, got {len(lines)}; cut it")
    return lines, numbers


def _delimiter(line: str) -> str | None:
    """Tab, semicolon, comma, or None for blanks."""
    return next((mark for mark in "\t;," if mark in line), None)


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return [cell.strip() for cell in line.split(delimiter)]


def _parse(cell: str, delimiter: str | None) -> float:
    """Value of a cell; ValueError if it is none."""
    text = cell.strip().strip('"')
    if text == "" or text.lower() in ("nan", "na"):
        return math.nan
    if "_" in text:
        raise ValueError(text)
    return float(text if delimiter == "," else text.replace(",", "."))


def _is_header(cells: list[str], delimiter: str | None, at: str) -> bool:
    """Names, or numbers (and gaps)? A mixture is refused."""
    is_text = []
    for cell in cells:
        try:
            if not math.isnan(_parse(cell, delimiter)):
                is_text.append(False)
        except ValueError:
            is_text.append(True)
    if any(is_text) and not all(is_text):
        raise FormatError(
            f"{at}: expected a row of names or a row of numbers, got both: "
            f"{', '.join(cells)[:80]!r}"
        )
    return any(is_text)


def _numbers(
    lines: list[str], numbers: list[int], delimiter: str | None, n_columns: int, where: str
) -> np.ndarray:
    """Numbers of all rows, shape (n_rows, n_columns); names the first cell that is none."""
    if n_columns > MAX_COLUMNS:
        raise FormatError(f"{where}: expected at most {MAX_COLUMNS} columns, got {n_columns}")
    table = np.empty((len(lines), n_columns))
    for row, (number, line) in enumerate(zip(numbers, lines, strict=True)):
        cells = line.split(delimiter)
        if len(cells) != n_columns:
            raise FormatError(
                f"{where}, row {number}: expected {n_columns} cells, got {len(cells)}"
            )
        try:
            if "_" in line:  # 1_000 is a number to Python only
                raise ValueError(line)
            table[row] = cells  # NumPy parses a row of plain numbers at once
        except ValueError:
            for column, cell in enumerate(cells):
                try:
                    table[row, column] = _parse(cell, delimiter)
                except ValueError:
                    raise FormatError(
                        f"{where}, row {number}, column {column + 1}: expected a number, got "
                        f"{cell.strip()[:40]!r}"
                    ) from None
    return table


def _split_unit(name: str) -> tuple[str, str | None]:
    """Name and unit of `II [mV]`, `II (mV)`, `II_mV` and `II mV`."""
    parts = _WITH_UNIT.fullmatch(name) or _UNIT_AFTER.fullmatch(name)
    return (parts[1], parts[2] or None) if parts else (name, None)


def _filled(units: list[str | None]) -> list[str | None]:
    """A unit that some columns state, and no other, holds for those that say nothing."""
    stated = {unit for unit in units if unit is not None}
    return [unit or next(iter(stated)) for unit in units] if len(stated) == 1 else units


def _units_row(cells: list[str], n_columns: int) -> list[str | None] | None:
    """Units of the columns if a row holds nothing else, else None."""
    bare = [cell.strip("'\"[]() ") for cell in cells]
    if len(bare) != n_columns or not any(bare):
        return None
    for unit in bare:
        if unit and unit.lower() not in _TIME_UNITS:
            try:
                canonical_unit(unit)
            except DataError:
                return None
    return [unit or None for unit in bare]


def _is_time(name: str) -> bool:
    text = name.strip().lower()
    return text in _TIME or re.fullmatch(r"(time|t)[_ ](s|sec|ms)", text) is not None


def _is_ms(name: str, unit: str | None) -> bool:
    return (unit or name.lower().replace("_", " ").split()[-1]).strip().lower() in _MS


def _rate(time: np.ndarray, in_ms: bool, name: str, rate_hz: float | None, where: str) -> float:
    """Rate of a regular time column: no sample more than half a step off its place."""
    seconds = time / 1000 if in_ms else time
    if len(time) < 2 or not np.isfinite(time).all() or not seconds[-1] > seconds[0]:
        raise DataError(f"{where}: column {name!r} is no rising time; drop it and pass rate_hz=...")
    rate = (len(time) - 1) / (seconds[-1] - seconds[0])
    off = np.abs((seconds - seconds[0]) * rate - np.arange(len(time))).max()
    if off > 0.5:
        raise DataError(
            f"{where}: column {name!r} is not regular ({off:.1f} samples off at most): resample "
            "the leads to a regular grid first"
        )
    if abs(rate - round(rate)) < 1e-3 * rate and round(rate) > 0:
        rate = float(round(rate))  # times are written with few digits
    if rate_hz is not None:
        if abs(rate - rate_hz) > 0.01 * rate_hz:
            raise DataError(
                f"{where}: column {name!r} gives {rate:.4g} Hz, rate_hz={rate_hz:g} was given; "
                "drop one of them"
            )
        return float(rate_hz)
    if rate < MIN_RATE_HZ:
        raise DataError(
            f"{where}: column {name!r} gives {rate:.4g} Hz; if it is in milliseconds, call it "
            "'time [ms]', else pass rate_hz=..."
        )
    return float(rate)
