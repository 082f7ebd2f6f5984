"""The records of an ECG benchmark: labelled ones to judge on, others to pretrain on.

Labelled: PTB-XL as PhysioNet lays it out (or a part of it), or a simulated cohort. Unlabelled:
PTB-XL again, a set of it without amplitudes (npz with `x`, `scale`, `ecg_id`, `patient_id`), or
anything that `ECGJEPA.fit` reads. Whoever was seen in pretraining may not be judged on.

Letters: n records, C classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from biojepa.data.records import open_records
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.data.splits import check_no_leakage, overlap_statement
from biojepa.data.store import SignalStore
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.ecg.ptbxl import SINGLE, Task, load_labels, load_table, record_paths
from biojepa.errors import ConfigError, DataError, FormatError
from biojepa.estimators.saved import SHIPPED
from biojepa.evaluation.rows import LabelledSignals

VERSIONS = {21_837: "1.0.1", 21_799: "1.0.3"}  # of PTB-XL, by the number of records in its table
WithoutLabel = Literal["drop", "negative"]
_DERIVED = {"x", "scale", "ecg_id", "patient_id", "leads", "fs"}


@dataclass(frozen=True)
class BenchmarkData:
    """Labelled records of one rate and length.

    Parameters
    ----------
    labelled : LabelledSignals
        Signals in millivolt.
    ids : tuple of str
        Of the records.
    folds : ndarray of int or None
        Published folds.
    rate_hz : float
    leads : tuple of str
    title : str
        Such as "PTB-XL 1.0.3, superdiagnostic".
    task : str
    simulated : bool
    """

    labelled: LabelledSignals
    ids: tuple[str, ...]
    folds: np.ndarray | None
    rate_hz: float
    leads: tuple[str, ...]
    title: str
    task: str
    simulated: bool

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Unlabelled:
    """Records to pretrain on.

    Parameters
    ----------
    X
        What `ECGJEPA.fit` takes.
    leads : tuple of str or None
    rate_hz : float or None
        None where the records say it themselves.
    units : str
    patients, ids : tuple of str
        `""` where unknown; ids are those of PTB-XL.
    fingerprint : str
    source : str
    """

    X: Any
    leads: tuple[str, ...] | None
    rate_hz: float | None
    units: str
    patients: tuple[str, ...]
    ids: tuple[str, ...]
    fingerprint: str
    source: str

    def __len__(self) -> int:
        return len(self.ids)


def load_ptbxl(
    root: Path | str,
    task: Task = "superdiagnostic",
    *,
    rate_hz: int = 100,
    without_label: WithoutLabel = "drop",
) -> BenchmarkData:
    """The records of PTB-XL that are there, with the labels of a task.

    Parameters
    ----------
    root : path
        Folder that holds `ptbxl_database.csv`.
    task : str
        See `biojepa.ecg.ptbxl.load_labels`.
    rate_hz : {100, 500}
    without_label : {"drop", "negative"}
        Records without a label of the task: left out as in the publications, or negative for all
        classes.

    Returns
    -------
    BenchmarkData
        Classes without a positive among these records are left out.

    Raises
    ------
    DataError
        If a file or all records are missing, or records differ in leads, rate or length.
    """
    table = load_table(root)
    y, classes, ecg_id = load_labels(root, task)
    exclusive = task in SINGLE
    if without_label == "negative" and exclusive:
        raise ConfigError(
            f"expected without_label 'drop' with the task {task!r}, got 'negative': it is of the "
            "records that have exactly one superclass"
        )
    if without_label == "negative":
        everyone = table.index.to_numpy()
        y, ecg_id = _in_table_order(everyone, ecg_id, y), everyone
    elif without_label != "drop":
        raise ConfigError(f"expected without_label 'drop' or 'negative', got {without_label!r}")
    paths = record_paths(root, ecg_id, rate_hz)
    there = np.array([p.with_name(p.name + ".hea").is_file() for p in paths], dtype=bool)
    if not there.any():
        raise DataError(f"expected {rate_hz} Hz records below {root}, got none: download them")
    y, ecg_id = y[there], ecg_id[there]
    X, leads = _read([p for p, found in zip(paths, there, strict=True) if found])
    known = y.any(0)
    version = VERSIONS.get(len(table), f"part of {len(table):,} records")
    rows = table.loc[ecg_id]
    return BenchmarkData(
        LabelledSignals(
            X,
            y[:, known].astype(np.float64),
            rows["patient_id"].astype(str).to_numpy(dtype=np.str_),
            tuple(map(str, classes[known])),
            exclusive,
        ),
        tuple(map(str, ecg_id)),
        rows["strat_fold"].to_numpy(),
        float(rate_hz),
        leads,
        f"PTB-XL ({version}), {task}",
        task,
        simulated=False,
    )


def simulated_data(cohort: ECGCohort) -> BenchmarkData:
    """A simulated cohort as a benchmark; its numbers say nothing about patients."""
    return BenchmarkData(
        LabelledSignals(
            cohort.values,
            cohort.y.astype(np.float64),
            cohort.patient_id.astype(np.str_),
            tuple(cohort.classes),
        ),
        tuple(map(str, cohort.record_id)),
        None,
        cohort.rate_hz,
        tuple(cohort.leads),
        "simulated ECGs",
        "simulated",
        simulated=True,
    )


def load_unlabelled(source: Path | str, *, rate_hz: int = 100) -> Unlabelled:
    """Records to pretrain on, with what is known of their patients.

    Parameters
    ----------
    source : path
        A PTB-XL folder, an npz derived from PTB-XL, a store, or a folder or file of recordings.
    rate_hz : {100, 500}
        Of a PTB-XL folder.

    Raises
    ------
    DataError, FormatError
        If it is nothing of this.
    ConfigError
        If it is a model.
    """
    path = Path(source)
    if any((folder / "model.safetensors").is_file() for folder in (path, SHIPPED / path.name)):
        raise ConfigError(
            f"expected records to pretrain on, got the model {source}: the benchmark pretrains its "
            "own encoders, of which it knows what they saw; `biojepa pretrain ecg --init MODEL` "
            "goes on from a model"
        )
    if (path / "ptbxl_database.csv").is_file():
        table = load_table(path)
        paths = record_paths(path, table.index, rate_hz)
        there = np.array([p.with_name(p.name + ".hea").is_file() for p in paths], dtype=bool)
        X, leads = _read([p for p, found in zip(paths, there, strict=True) if found])
        patients, ids = table["patient_id"][there], table.index[there]
        return Unlabelled(
            X,
            leads,
            float(rate_hz),
            "mV",
            tuple(map(str, patients)),
            tuple(map(str, ids)),
            _hash(X),
            str(source),
        )
    if path.suffix == ".npz" and path.is_file():
        found = _derived(path)
        if found is not None:
            return found
    records = open_records(path, fs=None, channels=None)
    found_at: Any = SignalStore(path) if (path / "manifest.json").is_file() else path
    nobody = ("",) * len(records)
    return Unlabelled(
        found_at, None, None, "mV", nobody, nobody, records.fingerprint(), str(source)
    )


def check_pretraining(
    pretraining: Unlabelled | None,
    data: BenchmarkData,
    judged: np.ndarray,
    *,
    allow_leakage: bool = False,
) -> str:
    """Check that nobody who is judged was seen in pretraining, and say what is known.

    Parameters
    ----------
    pretraining : Unlabelled or None
        None: the training part of each split, which shares no patient with what it is judged on.
    data : BenchmarkData
    judged : ndarray of int
        Rows of test and validation records.
    allow_leakage : bool
        Count instead of raising.

    Returns
    -------
    str
        Such as "overlap: 0 known, unknown for 1,323 records".

    Raises
    ------
    LeakageError
        If a patient or record is in both.
    """
    if pretraining is None:
        return overlap_statement([], [], 0)
    patients = data.labelled.groups[judged]
    if not data.simulated:
        ids = [data.ids[i] for i in judged]
        check_no_leakage(pretraining.ids, ids, what="record", allow_leakage=allow_leakage)
        check_no_leakage(pretraining.patients, patients, allow_leakage=allow_leakage)
    unknown = sum(not patient for patient in pretraining.patients)
    return overlap_statement(pretraining.patients, patients, unknown)


def _in_table_order(everyone: np.ndarray, ecg_id: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Labels of all records of the table; zeros for those that have none."""
    full = np.zeros((len(everyone), y.shape[1]), dtype=y.dtype)
    full[np.flatnonzero(np.isin(everyone, ecg_id))] = y
    return full


def _read(paths: Sequence[Path]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Signals (n, leads, time) in millivolt, and the leads."""
    first = read_wfdb(paths[0])
    X = np.empty((len(paths), *first.values.shape), dtype=np.float32)
    for row, path in zip(X, paths, strict=True):
        record = read_wfdb(path)
        if (record.channels, record.rate_hz, record.values.shape) != (
            first.channels,
            first.rate_hz,
            first.values.shape,
        ):
            raise DataError(
                f"expected records of {first.values.shape} at {first.rate_hz:g} Hz, got "
                f"{record.values.shape} at {record.rate_hz:g} Hz in {path}"
            )
        row[:] = record.values
    return X, first.channels


def _derived(path: Path) -> Unlabelled | None:
    """PTB-XL records without amplitude, or None if the file is another one."""
    with np.load(path, allow_pickle=False) as z:
        if not set(z.files) >= _DERIVED:
            return None
        x, patients = z["x"], z["patient_id"]
        if x.ndim != 3 or len(x) != len(patients) or len(x) != len(z["ecg_id"]):
            raise FormatError(f"expected x (n, leads, time) with n ids in {path}, got {x.shape}")
        values = (x / np.float32(z["scale"])).astype(np.float32)
        return Unlabelled(
            values,
            tuple(str(lead) for lead in z["leads"]),
            float(z["fs"]),
            "arbitrary",
            tuple(str(p) if p >= 0 else "" for p in patients),
            tuple(map(str, z["ecg_id"])),
            _hash(values),
            str(path),
        )


def _hash(X: np.ndarray) -> str:
    total = hashlib.sha256(str(X.shape).encode())
    for record in X:
        total.update(np.ascontiguousarray(record, dtype="<f4").tobytes())
    return total.hexdigest()
