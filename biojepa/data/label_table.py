"""A user's labels as a table: record id, patient id, and the labels of each recording.

The label columns hold 0, 1 or nothing (unknown); or there is one column with the name of a class.
Cells are compared with these literals, nothing is evaluated, and what is wrong is named by row.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.formats import SUPPORTED
from biojepa.errors import DataError, FormatError

MAX_BYTES = 256 << 20
MAX_CLASSES = 1000
RECORD_KEYS = ("record_id", "ecg_id", "record", "filename", "file", "id")
PATIENT_KEYS = ("patient_id", "subject_id", "patient", "subject")
_MISSING = ("", "nan", "na")
_LITERALS = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}
_FRACTION = re.compile(r"[+-]?\d*[.,]\d+")


@dataclass(frozen=True)
class LabelTable:
    """Labels of some recordings, in the order of the table.

    Parameters
    ----------
    record_ids, patient_ids : tuple of str
    classes : tuple of str
    y : ndarray of float, shape (n, n_classes)
        0, 1 or NaN where a label is not known.
    """

    record_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    classes: tuple[str, ...]
    y: NDArray[np.float64]


def read_label_table(path: str | os.PathLike[str]) -> LabelTable:
    """Read labels from a CSV file with `,`, `;` or tab between the cells.

    Parameters
    ----------
    path : path
        With a row of names: `record_id` (or ecg_id, record, filename, file, id), `patient_id` (or
        subject_id, patient, subject), and the labels.

    Returns
    -------
    LabelTable

    Raises
    ------
    FormatError
        If it is no text table, or a row has another number of cells.
    DataError
        If a column is missing or there twice, a record is listed twice, a patient is not known, or
        a label is neither 0, 1 nor empty; with the row.
    """
    where = shown(path)
    rows, numbers = _rows(path, where)
    names = [name.strip() for name in rows[0]]
    at = f"{where}, row {numbers[0]}"
    if len(names) < 3 or len({name.lower() for name in names}) < len(names) or "" in names:
        raise DataError(
            f"{at}: expected the names of at least 3 columns, each once (record_id, patient_id, "
            f"labels; with ',', ';' or tab between them), got {', '.join(names)[:200]!r}"
        )
    record, patient = _column(names, RECORD_KEYS, at), _column(names, PATIENT_KEYS, at)
    body, numbers = rows[1:], numbers[1:]
    if not body:
        raise DataError(f"{where}: expected rows of labels below the row of names, got none")
    for number, row in zip(numbers, body, strict=True):
        if len(row) != len(names):
            raise FormatError(f"{where}, row {number}: expected {len(names)} cells, got {len(row)}")
    record_ids = [record_key(row[record]) for row in body]
    patient_ids = [row[patient].strip() for row in body]
    _check_ids(record_ids, patient_ids, numbers, where)
    rest = [i for i in range(len(names)) if i not in (record, patient)]
    cells = [[row[i].strip() for i in rest] for row in body]
    if len(rest) == 1 and not all(_is_literal(row[0]) for row in cells):
        classes, y = _one_column([row[0] for row in cells], numbers, names[rest[0]], where)
    else:
        classes = tuple(names[i] for i in rest)
        y = np.array(
            [
                [_label(c, classes[i], n, where) for i, c in enumerate(row)]
                for n, row in zip(numbers, cells, strict=True)
            ]
        )
    return LabelTable(tuple(record_ids), tuple(patient_ids), classes, y)


def record_key(name: str) -> str:
    """Record id as readers give it: the name of the file, without folder and known suffix."""
    path = PurePath(name.strip().replace("\\", "/"))
    return path.stem if path.suffix.lower() in (*SUPPORTED, ".dat") else path.name


def _rows(path: str | os.PathLike[str], where: str) -> tuple[list[list[str]], list[int]]:
    size = file_size(path)
    if size > MAX_BYTES:
        raise DataError(f"{where}: {size} bytes are too many for a table of labels")
    raw = read_bytes(path, size)
    if b"\0" in raw:
        raise FormatError(f"{where}: expected a text table in UTF-8, got binary data or UTF-16")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows, numbers = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                numbers.append(reader.line_num)
    except csv.Error as error:
        raise FormatError(f"{where}, row {reader.line_num}: cannot be read ({error})") from None
    if not rows:
        raise FormatError(f"{where}: expected a table of labels, the file is empty")
    return rows, numbers


def _column(names: Sequence[str], keys: Sequence[str], at: str) -> int:
    lower = [name.lower() for name in names]
    found = next((lower.index(key) for key in keys if key in lower), None)
    if found is None:
        raise DataError(
            f"{at}: expected a column {keys[0]} (or {', '.join(keys[1:])}), got {', '.join(names)}"
        )
    return found


def _check_ids(
    record_ids: Sequence[str], patient_ids: Sequence[str], numbers: Sequence[int], where: str
) -> None:
    seen: dict[str, int] = {}
    for record_id, patient_id, number in zip(record_ids, patient_ids, numbers, strict=True):
        if not record_id:
            raise DataError(f"{where}, row {number}: expected a record id, the cell is empty")
        if record_id in seen:
            raise DataError(
                f"{where}, row {number}: record {record_id!r} stands in row {seen[record_id]} "
                "already; keep one of them"
            )
        seen[record_id] = number
        if patient_id.lower() in (*_MISSING, "none", "null"):
            raise DataError(
                f"{where}, row {number}: the patient of record {record_id!r} is not known, so it "
                "could stand on both sides of a test; fill it in or leave the row out"
            )


def _is_literal(cell: str) -> bool:
    return cell.lower() in _MISSING or cell in _LITERALS


def _label(cell: str, column: str, number: int, where: str) -> float:
    if cell.lower() in _MISSING:
        return np.nan
    if cell not in _LITERALS:
        raise DataError(
            f"{where}, row {number}, column {column!r}: expected 0, 1 or nothing, got {cell[:40]!r}"
        )
    return _LITERALS[cell]


def _one_column(
    cells: Sequence[str], numbers: Sequence[int], column: str, where: str
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names of classes as 0/1 columns; an empty cell is unknown in all of them."""
    for cell, number in zip(cells, numbers, strict=True):
        if _FRACTION.fullmatch(cell):
            raise DataError(
                f"{where}, row {number}, column {column!r}: expected the name of a class, got the "
                f"number {cell}"
            )
    classes = tuple(sorted({cell for cell in cells if cell.lower() not in _MISSING}))
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise DataError(
            f"{where}: expected 2 to {MAX_CLASSES} classes in column {column!r}, got {len(classes)}"
        )
    y = np.full((len(cells), len(classes)), np.nan)
    for row, cell in zip(y, cells, strict=True):
        if cell.lower() not in _MISSING:
            row[:] = [cell == name for name in classes]
    return classes, y
