"""Tables of records that come with a database (CSV), read row by row and looked up by number.

A table of some hundred thousand rows is kept as the text of its rows, end to end: a tenth of what
one dict a row takes.
"""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from biojepa.data._paths import shown
from biojepa.errors import DataError, FormatError

_SEPARATOR = "\x1f"


def iter_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, one after the other.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that must be there.

    Yields
    ------
    row : int
        Number in the file; the header is 1.
    cells : dict of str

    Raises
    ------
    DataError
        If the file or a column is missing.
    FormatError
        If it is not UTF-8 text of comma-separated values, or a row does not fit the header.
    """
    if not path.is_file():
        raise DataError(
            f"expected {path.name} in {shown(path.parent)}, got no such file: pass the folder "
            "that holds the database as it was downloaded"
        )
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            missing = [name for name in required if name not in header]
            if missing:
                raise DataError(
                    f"expected the columns {', '.join(missing)} in {shown(path)}, got "
                    f"{', '.join(header[:8])}: the table must be the published one"
                )
            for row, cells in enumerate(reader, start=2):
                if len(cells) != len(header):
                    raise FormatError(
                        f"{shown(path)}, row {row}: expected {len(header)} cells as the header "
                        f"has, got {len(cells)}"
                    )
                yield row, dict(zip(header, cells, strict=True))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{shown(path)} cannot be read as UTF-8 CSV: {error}") from error


class NumberedRows:
    """A table whose rows are looked up by the whole number in one column.

    Parameters
    ----------
    path : Path
    key : str
        Column of that number.
    required : sequence of str
        Further columns that must be there.

    Raises
    ------
    DataError
        As `iter_rows`, or if a number is no whole number or stands in two rows.
    """

    def __init__(self, path: Path, key: str, required: Sequence[str] = ()) -> None:
        self.path = path
        self.columns: tuple[str, ...] = ()
        keys, ends, rows, text = array("q"), array("q"), array("q"), bytearray()
        for row, cells in iter_rows(path, [key, *required]):
            self.columns = self.columns or tuple(cells)
            keys.append(_whole(cells[key], f"{shown(path)}, row {row}: {key}"))
            text += _SEPARATOR.join(cells.values()).encode()
            ends.append(len(text))
            rows.append(row)
        order = np.argsort(np.frombuffer(keys, np.int64), kind="stable")
        self._keys = np.frombuffer(keys, np.int64)[order]
        self._order, self._ends, self._rows, self._text = order, ends, rows, bytes(text)
        twice = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        if len(twice):
            raise DataError(
                f"{shown(path)}, row {rows[int(order[twice[0] + 1])]}: expected each {key} once, "
                f"got {self._keys[twice[0]]} again: remove the doubled rows"
            )

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, number: int) -> tuple[int, dict[str, str]] | None:
        """Row number and cells of a number; None if it is not in the table."""
        place = int(np.searchsorted(self._keys, number))
        if place == len(self._keys) or self._keys[place] != number:
            return None
        i = int(self._order[place])
        raw = self._text[self._ends[i - 1] if i else 0 : self._ends[i]].decode()
        return self._rows[i], dict(zip(self.columns, raw.split(_SEPARATOR), strict=True))


def as_value(cell: str) -> object:
    """A cell as it was meant: true or false, a number, None if empty, else the text."""
    text = cell.strip()
    if text.lower() in ("", "nan"):
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def subject(cell: str, where: str) -> str | None:
    """The patient as text of a whole number (15709.0 is 15709); None if the cell is empty."""
    return None if cell.strip().lower() in ("", "nan") else str(_whole(cell, where))


def table_state(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    """Path, size and time of a file: the same until it is changed."""
    info = os.stat(path)
    return os.fspath(path), info.st_size, info.st_mtime_ns


def _whole(cell: str, where: str) -> int:
    try:
        number = float(cell)
    except ValueError:
        number = float("nan")
    if not (number.is_integer() and abs(number) < 2**53):
        raise DataError(f"{where}: expected a whole number, got {cell[:60]!r}")
    return int(number)
