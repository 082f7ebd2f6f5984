"""The recordings of `biojepa demo`: simulated, PTB-XL, or anyone's own, as stores and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from biojepa.cli.console import say
from biojepa.cli.prepare import arrange, read_file
from biojepa.data.files import find_records
from biojepa.data.leads import INDEPENDENT_8
from biojepa.data.prepare import prepare_store
from biojepa.data.simulate import simulate_ecg
from biojepa.data.simulated_cohort import write_wfdb_cohort
from biojepa.data.splits import patient_folds
from biojepa.ecg.ptbxl import load_labels, load_table, record_paths
from biojepa.errors import DataError

N_UNLABELLED, N_LABELLED = 1600, 600
RATE_HZ = 250.0
TEST_FOLDS = (9, 10)  # of PTB-XL; what its publishers keep for validation and test


@dataclass(frozen=True)
class Labels:
    """What is known of the records that features are tested on.

    Parameters
    ----------
    y : ndarray, shape (n, n_classes)
    classes : tuple of str
    patient : ndarray, shape (n,)
    folds : list of (train, test)
        Rows; no patient is on both sides.
    """

    y: np.ndarray
    classes: tuple[str, ...]
    patient: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Cohort:
    """Recordings of a demo.

    Parameters
    ----------
    what : str
        For titles and reports, such as "simulated recordings".
    simulated : bool
    unlabelled : Path
        Store to pretrain on.
    shown : Path
        Store whose features are computed, with the records of `labels` if there are any.
    labels : Labels or None
        No patient of a test part is in `unlabelled`.
    """

    what: str
    simulated: bool
    unlabelled: Path
    shown: Path
    labels: Labels | None = None


def simulated_cohort(out: Path, *, seed: int, quick: bool) -> Cohort:
    """Simulate patients, write WFDB files as a hospital would export them, and read them back.

    Parameters
    ----------
    out : Path
        Gets `recordings` and the stores.
    seed : int
    quick : bool
        Few of them.
    """
    sizes = (64, 60) if quick else (N_UNLABELLED, N_LABELLED)
    say(
        f"[1/5] simulating {sizes[0]:,} ECGs without and {sizes[1]:,} with diagnoses, 12 leads;"
        " simulated, not real"
    )
    stores = []
    # two seeds are two sets of patients
    for name, n_records, number in zip(
        ("unlabelled", "labelled"), sizes, (2 * seed, 2 * seed + 1), strict=True
    ):
        cohort = simulate_ecg(n_records, rate_hz=RATE_HZ, random_state=number)
        folder = out / "recordings" / name
        write_wfdb_cohort(cohort, folder)
        stores.append(_store(find_records([folder]), out / f"{name}_store", cohort.leads))
    say(f"[2/5] {sum(sizes):,} WFDB files read back and stored")
    folds = patient_folds(cohort.patient_id, cohort.y, n_splits=5, random_state=seed)
    labels = Labels(cohort.y, cohort.classes, cohort.patient_id, folds)
    return Cohort("simulated recordings", True, stores[0], stores[1], labels)


def ptbxl_cohort(root: Path, out: Path) -> Cohort:
    """The records of PTB-XL that are there, in the publishers' folds.

    Raises
    ------
    DataError
        If there are none, or none with labels on one side.
    """
    table = load_table(root)
    y, classes, ecg_id = load_labels(root, "superdiagnostic")
    ids = table.index.to_numpy()
    there = np.array([p.with_name(p.name + ".hea").is_file() for p in record_paths(root, ids)])
    if not there.any():
        raise DataError(f"expected 100 Hz records below {root}, got none: download records100/")
    say(f"[1/5] PTB-XL at {root}: {there.sum():,} of {len(ids):,} records are there")
    test = table["strat_fold"].isin(TEST_FOLDS).to_numpy()
    known = np.isin(ecg_id, ids[there])
    y, ecg_id = y[known], ecg_id[known]
    stores = []
    for name, wanted in (("unlabelled", ids[there & ~test]), ("labelled", ecg_id)):
        paths = [p.with_name(p.name + ".hea") for p in record_paths(root, wanted)]
        stores.append(_store(paths, out / f"{name}_store", INDEPENDENT_8, strict=True))
    say(f"[2/5] folds 1-8 for pretraining and the classifier, folds {TEST_FOLDS} for the test")
    held_out = np.isin(ecg_id, ids[test])
    folds = [(np.flatnonzero(~held_out), np.flatnonzero(held_out))]
    if not all(len(part) for part in folds[0]):
        raise DataError("expected labelled records both in folds 1-8 and in folds 9 and 10")
    patient = table["patient_id"].reindex(ecg_id).to_numpy()
    labels = Labels(y, tuple(map(str, classes)), patient, folds)
    return Cohort("PTB-XL records", False, stores[0], stores[1], labels)


def own_cohort(data: str, out: Path) -> Cohort:
    """A user's recordings, without labels."""
    paths = find_records([data])
    say(f"[1/5] {len(paths):,} files at {data}")
    store = _store(paths, out / "unlabelled_store", INDEPENDENT_8)
    say("[2/5] stored; no labels, so the features are shown and not tested")
    return Cohort(f"recordings of {data}", False, store, store)


def _store(paths: Sequence[Path], out: Path, leads: Sequence[str], *, strict: bool = False) -> Path:
    report = prepare_store(
        paths,
        out,
        read=partial(read_file, leads=None, rate_hz=None, unit=None),
        arrange=partial(arrange, leads=tuple(leads), rate_hz=None, on_missing="error"),
        channels=tuple(leads),
        # labels belong to rows: there no record may be left out
        on_error="raise" if strict else "skip",
    )
    if report.skipped.skips:
        say(f"  {report.skipped}")
    return out
