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
from biojepa.data.label_table import read_label_table, record_key
from biojepa.data.leads import INDEPENDENT_8
from biojepa.data.prepare import prepare_store
from biojepa.data.recording import Recording
from biojepa.data.simulate import simulate_ecg
from biojepa.data.simulated_cohort import write_wfdb_cohort
from biojepa.data.splits import patient_folds
from biojepa.data.store import SignalStore
from biojepa.ecg.ptbxl import load_labels, load_table, record_paths
from biojepa.errors import DataError

N_UNLABELLED, N_LABELLED = 1600, 600
RATE_HZ = 250.0
TEST_SHARE = 3  # one in so many patients, of a user's own labelled recordings
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


def labelled_cohort(data: str, labels: Path, out: Path, *, seed: int) -> Cohort:
    """A user's recordings with labels: a third of the patients are kept for the test.

    Pretraining sees the other patients alone, so every recording needs a row that names its
    patient; its labels may be empty.

    Raises
    ------
    DataError
        If the table has a bad row, names no recording that is there, or the labels do not suffice
        for a test.
    """
    table = read_label_table(labels)
    paths = find_records([data])
    say(f"[1/5] {len(paths):,} files at {data}, {len(table.record_ids):,} rows in {labels}")
    known = np.isfinite(table.y).any(axis=1)
    rows = {name: i for i, name in enumerate(table.record_ids)}
    wanted = frozenset(np.array(table.record_ids)[known].tolist())
    shown = _store(paths, out / "labelled_store", INDEPENDENT_8, keep=wanted)
    with SignalStore(shown) as store:
        order = [rows[record_key(name)] for name in store.record_ids]
    y, patient = table.y[order], np.array(table.patient_ids)[order]
    if lost := sorted(wanted - {table.record_ids[i] for i in order}):
        say(f"  {len(lost):,} rows have no usable recording, such as {', '.join(lost[:5])}")
    folds = patient_folds(patient, y, n_splits=TEST_SHARE, random_state=seed)[:1]
    classes, y = _testable(table.classes, y, folds[0])
    tested = set(patient[folds[0][1]].tolist())
    others = frozenset(n for n, i in rows.items() if table.patient_ids[i] not in tested)
    unlabelled = _store(paths, out / "unlabelled_store", INDEPENDENT_8, keep=others)
    n_others = len(set(patient.tolist()) - tested)
    say(f"[2/5] {len(tested):,} patients kept for the test, {n_others:,} for the classifier")
    return Cohort(
        f"recordings of {data}",
        False,
        unlabelled,
        shown,
        Labels(y, classes, patient, folds),
    )


def has_row(recording: Recording, *, ids: frozenset[str]) -> str:
    """Why a recording is not taken: it is not among `ids`."""
    return "" if record_key(recording.record_id) in ids else "not in the labels"


def _testable(
    classes: tuple[str, ...], y: np.ndarray, fold: tuple[np.ndarray, np.ndarray]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes that are both there and not, on both sides."""
    keep = [
        i
        for i in range(len(classes))
        if all({0.0, 1.0} <= set(y[part, i].tolist()) for part in fold)
    ]
    dropped = [name for i, name in enumerate(classes) if i not in keep]
    if not keep:
        raise DataError(
            f"expected a class with and without the label in the training and in the test part, "
            f"none of {', '.join(classes)[:200]} has both: give more labelled patients"
        )
    if dropped:
        say(f"  not tested, too few labels: {', '.join(dropped[:20])}")
    return tuple(classes[i] for i in keep), y[:, keep]


def _store(
    paths: Sequence[Path],
    out: Path,
    leads: Sequence[str],
    *,
    strict: bool = False,
    keep: frozenset[str] | None = None,
) -> Path:
    report = prepare_store(
        paths,
        out,
        read=partial(read_file, leads=None, rate_hz=None, unit=None),
        arrange=partial(arrange, leads=tuple(leads), rate_hz=None, on_missing="error"),
        channels=tuple(leads),
        select=None if keep is None else partial(has_row, ids=keep),
        # labels belong to rows: there no record may be left out
        on_error="raise" if strict else "skip",
    )
    if report.skipped.skips:
        say(f"  {report.skipped}")
    return out
