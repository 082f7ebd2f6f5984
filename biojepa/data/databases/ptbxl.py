"""PTB-XL: the records of `ptbxl_database.csv`, with patient, fold and codes.

References
----------
Wagner et al., PTB-XL, Sci Data 7:154 (2020), doi 10.1038/s41597-020-0495-6.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from biojepa.data.databases.headers import read_header_record
from biojepa.data.databases.rows import NumberedRows, as_value, iter_rows, subject, table_state
from biojepa.data.path_list import PathList
from biojepa.data.recording import Recording
from biojepa.data.scp_codes import parse_scp_codes
from biojepa.errors import DataError

TABLE = "ptbxl_database.csv"
_COLUMNS = ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
_FILES = {100: "filename_lr", 500: "filename_hr"}
_KEPT = ("age", "sex")
_LAST_TRAINING_FOLD = 8


def find_records_of_table(root: Path, *, rate_hz: float | None) -> PathList:
    """Headers in the order of the table: those of 100 Hz if that is the wanted rate, or of 500.

    Raises
    ------
    DataError
        If most files of the rate are missing and those of the other rate are complete: a store of
        another rate than asked for is not made without a word.
    """
    rates = (100, 500) if rate_hz == 100 else (500, 100)
    found = {rate: PathList() for rate in rates}
    for _, cells in iter_rows(root / TABLE, _COLUMNS):
        for rate in rates:
            found[rate].append(f"{root}/{cells[_FILES[rate]].strip()}.hea")
    wanted, other = (found[rate] for rate in rates)
    missing = _n_missing(wanted)
    if missing > len(wanted) / 2 and not _n_missing(other):
        fix = (
            "pass --rate 100 for a store of 100 Hz"
            if rates[1] == 100
            else "leave --rate 100 out for a store of 500 Hz, which pretraining resamples"
        )
        raise DataError(
            f"expected the {rates[0]} Hz files of {len(wanted):,} records below {root}, got "
            f"{missing:,} missing, while the {rates[1]} Hz files are complete: {fix}, or download "
            f"records{rates[0]}"
        )
    return wanted


def read_record_of_table(path: str, *, root: str) -> Recording:
    """Read one record; `labels` holds `ecg_id`, `scp_codes`, `strat_fold`, age and sex."""
    recording = read_header_record(path, root=root)
    number = recording.record_id.partition("_")[0]
    found = _table(*table_state(Path(root) / TABLE)).find(int(number)) if number.isdigit() else None
    if found is None:
        raise DataError(f"{path}: {number!r} is no ecg_id of {TABLE}")
    row, cells = found
    labels = {
        "ecg_id": int(number),
        "strat_fold": as_value(cells["strat_fold"]),
        "scp_codes": parse_scp_codes(cells["scp_codes"], row),
        **{name: as_value(cells[name]) for name in _KEPT if name in cells},
    }
    patient = subject(cells["patient_id"], f"{TABLE}, row {row}: patient_id")
    return replace(recording, subject_id=patient, labels=labels)


def outside_training_folds(recording: Recording) -> str:
    """Why the published pretraining leaves a record out: it is of fold 9 or 10."""
    fold = recording.labels["strat_fold"]
    return "" if fold <= _LAST_TRAINING_FOLD else "of folds 9 and 10, which are for evaluation"


def _n_missing(paths: PathList) -> int:
    return sum(not os.path.isfile(path) for path in paths)


@lru_cache(maxsize=1)
def _table(path: str, size: int, changed: int) -> NumberedRows:
    """The table, once per process and state of the file."""
    return NumberedRows(Path(path), "ecg_id", _COLUMNS)
