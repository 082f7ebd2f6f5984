"""Splits by patient, and checks that nobody stands on both sides.

Two recordings of one person look more alike than two persons do, so records are split by patient.
Identifiers are compared as text, with `7`, `7.0` and `"7"` the same patient; missing ones (None,
NaN, empty) match nobody and are the caller's to count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from biojepa.errors import DataError, LeakageError

RandomState = int | np.random.RandomState | np.random.Generator | None


def patient_folds(
    groups: Sequence[object] | np.ndarray,
    y: np.ndarray | None = None,
    *,
    n_splits: int = 5,
    random_state: RandomState,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cross-validation folds that keep each patient on one side.

    Parameters
    ----------
    groups : sequence, shape (n_records,)
        Patient of each record.
    y : ndarray, shape (n_records,) or (n_records, n_labels), optional
        Folds get about equal shares of: the classes; for 0/1 columns, each record's rarest
        positive label (NaN is not positive); for a continuous target, its fifths. Classes with
        fewer records than folds are balanced together.
    n_splits : int
    random_state : int, RandomState, Generator or None
        The same number gives the same folds.

    Returns
    -------
    list of (train, test)
        Record indices, ascending.

    Raises
    ------
    DataError
        If a patient is unknown, the lengths differ, or there are fewer patients than folds.
    """
    patient = _known_groups(groups)
    n_patients = int(patient.max()) + 1
    if not 2 <= n_splits <= n_patients:
        raise DataError(
            f"expected 2 <= n_splits <= {n_patients}, the number of patients, got {n_splits}"
        )
    seed = _seed(random_state)
    strata = None if y is None else _strata(np.asarray(y), len(patient), n_splits)
    if strata is None or len(np.unique(strata)) == 1:
        folds = GroupKFold(n_splits, shuffle=True, random_state=seed)
        return [*folds.split(patient, groups=patient)]
    stratified = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    return [*stratified.split(patient, strata, groups=patient)]


def patient_split(
    groups: Sequence[object] | np.ndarray,
    *,
    fractions: Sequence[float],
    random_state: RandomState,
) -> list[np.ndarray]:
    """Split records into parts of about the given sizes, each patient in one part.

    Parameters
    ----------
    groups : sequence, shape (n_records,)
        Patient of each record.
    fractions : sequence of float
        Share of the records in each part, such as `(0.8, 0.1, 0.1)`; they sum to 1.
    random_state : int, RandomState, Generator or None

    Returns
    -------
    list of ndarray
        Record indices of each part, ascending.

    Raises
    ------
    DataError
        If a patient is unknown, the fractions do not sum to 1, or a part would be empty.
    """
    share = np.asarray(fractions, float)
    if share.ndim != 1 or not (share > 0).all() or abs(share.sum() - 1) > 1e-6:
        raise DataError(f"expected positive fractions that sum to 1, got {list(fractions)}")
    patient = _known_groups(groups)
    sizes = np.bincount(patient)
    order = check_random_state(_seed(random_state)).permutation(len(sizes))
    # a patient goes to the part in which the middle of its records falls
    middle = (np.cumsum(sizes[order]) - sizes[order] / 2) / len(patient)
    part_of = np.empty(len(sizes), np.int64)
    part_of[order] = np.searchsorted(np.cumsum(share)[:-1], middle, side="right")
    parts = [np.flatnonzero(part_of[patient] == part) for part in range(len(share))]
    if not all(len(part) for part in parts):
        raise DataError(
            f"{len(sizes)} patients are too few for parts of {list(fractions)}: a part is empty"
        )
    return parts


def check_no_leakage(
    train_ids: Iterable[object],
    test_ids: Iterable[object],
    *,
    what: str = "patient",
    allow_leakage: bool = False,
) -> int:
    """Check that no identifier stands on both sides.

    Parameters
    ----------
    train_ids, test_ids : iterable
        Patients, records or hashes; missing ones are passed over.
    what : str
        What they are, for the message.
    allow_leakage : bool
        Count instead of raising; the count then belongs in the report.

    Returns
    -------
    int
        How many stand on both sides.

    Raises
    ------
    LeakageError
        If any does; the message lists the first five.
    """
    shared = _identities(train_ids) & _identities(test_ids)
    if shared and not allow_leakage:
        first = ", ".join(sorted(shared)[:5]) + (", ..." if len(shared) > 5 else "")
        raise LeakageError(
            f"expected no {what} in both training and test data, found {len(shared):,}: {first}. "
            "Split by patient (patient_folds), or pass allow_leakage=True and report the number"
        )
    return len(shared)


def check_same_records(
    hashes_a: Iterable[str], hashes_b: Iterable[str], *, allow_leakage: bool = False
) -> int:
    """Check that no recording is in both sets, whatever it is called.

    Parameters
    ----------
    hashes_a, hashes_b : iterable of str
        SHA-256 of the signals (`Recording.sha256`, `source_sha256` in a store); empty ones are
        passed over.
    allow_leakage : bool
        See `check_no_leakage`.

    Returns
    -------
    int
        How many are in both.

    Raises
    ------
    LeakageError
        If any is.
    """
    return check_no_leakage(
        hashes_a, hashes_b, what="recording (same signal)", allow_leakage=allow_leakage
    )


def overlap_statement(
    pretraining_ids: Iterable[object], test_ids: Iterable[object], n_unknown: int
) -> str:
    """Say how many patients or records of the test data were seen in pretraining.

    Parameters
    ----------
    pretraining_ids, test_ids : iterable
        Identifiers, as far as they are known.
    n_unknown : int
        Pretraining records whose identifier is not known.

    Returns
    -------
    str
        Such as `"overlap: 0 known, unknown for 1,323 records"`.
    """
    known = len(_identities(pretraining_ids) & _identities(test_ids))
    return f"overlap: {known:,} known, unknown for {n_unknown:,} records"


def _identity(value: object) -> str | None:
    """An identifier as text, or None if it is missing."""
    if value is None:
        return None
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return None
        return str(int(value)) if float(value).is_integer() else str(value)
    text = str(value).strip()
    whole, _, rest = text.partition(".")
    if rest == "0" and whole.removeprefix("-").isdecimal():
        text = whole
    return None if text in ("", "nan", "NaN", "<NA>", "NaT", "None") else text


def _identities(values: Iterable[object]) -> set[str]:
    return {text for text in map(_identity, values) if text is not None}


def _known_groups(groups: Sequence[object] | np.ndarray) -> np.ndarray:
    """Number the patients 0, 1, ... in the order of their sorted names."""
    names = [_identity(group) for group in groups]
    unknown = [k for k, name in enumerate(names) if name is None]
    if unknown or not names:
        raise DataError(
            f"expected the patient of every record, got {len(unknown):,} unknown of {len(names):,} "
            f"(rows {unknown[:5]}): leave these records out, or give each its own name"
        )
    _, number = np.unique(np.array(names, dtype=str), return_inverse=True)
    return number.astype(np.int64)


def _strata(y: np.ndarray, n_records: int, n_splits: int) -> np.ndarray:
    """One class per record to balance the folds on, none rarer than the number of folds."""
    if y.ndim not in (1, 2) or len(y) != n_records:
        raise DataError(f"expected y for {n_records:,} records, got the shape {y.shape}")
    if y.ndim == 2:
        positive = np.nan_to_num(y.astype(float)) > 0
        count = positive.sum(axis=0)
        rarity = np.where(positive & (count >= n_splits), count, n_records + 1)
        strata = np.where((rarity <= n_records).any(axis=1), rarity.argmin(axis=1) + 1, 0)
    elif y.dtype.kind == "f" and not np.isnan(y).all():
        missing = np.isnan(y)
        if type_of_target(y[~missing]) == "continuous":
            edges = np.quantile(y[~missing], [0.2, 0.4, 0.6, 0.8])
            strata = np.digitize(y, edges) + 1
        else:
            strata = np.unique(y, return_inverse=True)[1] + 1
        strata[missing] = 0
    else:
        strata = np.unique(y.astype(str), return_inverse=True)[1]
    kinds, number, count = np.unique(strata, return_inverse=True, return_counts=True)
    rare = count < n_splits
    if rare.any():
        # the rare ones together, and if they are still too few, with the most frequent
        together = np.where(rare, -1, np.arange(len(kinds)))
        if count[rare].sum() < n_splits:
            together[rare] = int(count.argmax())
        number = together[number]
    return number


def _seed(random_state: RandomState) -> int | np.random.RandomState | None:
    """scikit-learn's kind of random state; a Generator is asked for one number."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return random_state
