"""CODE-15%: HDF5 parts with `tracings` and `exam_id`, and `exams.csv` with patients and labels.

Shorter exams are padded with zeros at their ends; the padding is cut. The published pretraining
keeps only exams whose leads are all unlike zero at both ends, see `is_padded`.

A part holds some thousand exams, so it is read in stretches of a few: `part.hdf5#0-16`.

References
----------
Ribeiro et al., CODE-15%, Zenodo 4916206.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import shown
from biojepa.data.databases.hdf5 import open_datasets
from biojepa.data.databases.rows import NumberedRows, as_value, subject, table_state
from biojepa.data.leads import STANDARD_12
from biojepa.data.path_list import PathList
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError

TABLE = "exams.csv"
RATE_HZ, N_TIMES = 400.0, 4096
STRETCH = 16  # exams read at once: 3 MB
_PART = re.compile(r"(.+\.(?:hdf5|h5))#(\d+)-(\d+)")
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "tracings": (None, N_TIMES, len(STANDARD_12)),
    "exam_id": (None,),
}


def find_stretches(root: Path) -> PathList:
    """Stretches of all parts, part by part.

    Raises
    ------
    DataError
        If there is no part, or no table beside them.
    FormatError
        If a part is damaged.
    """
    parts = sorted((*root.glob("*.hdf5"), *root.glob("*.h5")), key=_by_number)
    if not parts:
        zipped = len(list(root.glob("*.zip")))
        hint = f", but {zipped} zip archives: unpack them" if zipped else ""
        raise DataError(f"expected parts (*.hdf5) in {shown(root)}, got none{hint}")
    _table(*_table_state(root))
    stretches = PathList()
    for part in parts:
        with open_datasets(part, _SHAPES) as found:
            n_exams = len(found["exam_id"])
        for first in range(0, n_exams, STRETCH):
            stretches.append(f"{part}#{first}-{min(first + STRETCH, n_exams)}")
    return stretches


def read_stretch(path: str, *, root: str) -> Iterator[Recording]:
    """Read the exams of one stretch; `labels` holds their row of `exams.csv`.

    An exam of zeros alone has no record, one that the table does not know no patient.
    """
    asked = _PART.fullmatch(path)
    if asked is None:
        raise FormatError(f"{shown(path)}: expected a stretch of exams such as part.hdf5#0-16")
    part, rows = Path(asked[1]), slice(int(asked[2]), int(asked[3]))
    table = _table(*_table_state(Path(root)))
    with open_datasets(part, _SHAPES) as found:
        tracings = np.asarray(found["tracings"][rows], dtype=np.float32)
        exam_ids = np.asarray(found["exam_id"][rows], dtype=np.int64)
    for exam_id, tracing in zip(exam_ids.tolist(), tracings, strict=True):
        start, stop, padded = _span(tracing)
        if stop == start:
            continue
        values = np.ascontiguousarray(tracing[start:stop].T)
        patient, labels = _labels(table, exam_id)
        notes = (
            ()
            if len(tracing) == stop - start
            else (f"{len(tracing) - (stop - start)} samples of zeros at the ends were cut",)
        )
        yield Recording(
            values=values,
            channels=STANDARD_12,
            rate_hz=RATE_HZ,
            record_id=str(exam_id),
            subject_id=patient,
            labels=labels | {"padded": padded},
            source=path,
            sha256=hashlib.sha256(tracing.tobytes()).hexdigest(),
            notes=notes if patient is not None else (*notes, f"not in {TABLE}"),
        )


def is_padded(recording: Recording) -> str:
    """Why the published pretraining leaves an exam out: a lead begins or ends with zeros."""
    return "padded with zeros" if recording.labels["padded"] else ""


def _span(tracing: NDArray[np.float32]) -> tuple[int, int, bool]:
    """Where not all leads are zero (start, stop), and whether any lead is shorter than all."""
    there = tracing != 0
    some = np.flatnonzero(there.any(axis=1))
    if not len(some):
        return 0, 0, True
    return int(some[0]), int(some[-1]) + 1, not (there[0].all() and there[-1].all())


def _labels(table: NumberedRows, exam_id: int) -> tuple[str | None, dict[str, Any]]:
    found = table.find(exam_id)
    if found is None:
        return None, {}
    row, cells = found
    patient = subject(cells.pop("patient_id"), f"{TABLE}, row {row}: patient_id")
    left_out = ("exam_id", "trace_file")
    return patient, {name: as_value(c) for name, c in cells.items() if name not in left_out}


def _table_state(root: Path) -> tuple[str, int, int]:
    if not (root / TABLE).is_file():
        raise DataError(f"expected {TABLE} in {shown(root)}, beside the parts, got no such file")
    return table_state(root / TABLE)


def _by_number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.name)


@lru_cache(maxsize=1)
def _table(path: str, size: int, changed: int) -> NumberedRows:
    """The table, once per process and state of the file."""
    return NumberedRows(Path(path), "exam_id", ["patient_id"])
