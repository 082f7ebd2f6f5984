"""Which records a model is fitted on, and which it is judged on.

Small sets: patient-grouped folds, every record is judged by a model that has seen neither it nor
another record of its patient. Large sets with published folds: fit on the training folds, fix
thresholds and temperature on the validation fold, judge on the test fold.

Letters: n records, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.data.splits import check_no_leakage, patient_folds
from biojepa.errors import DataError
from biojepa.evaluation.calibration import fit_temperature, probabilities
from biojepa.evaluation.exclusive import fit_softmax_temperature, softmax_probabilities
from biojepa.evaluation.metrics import Floats
from biojepa.evaluation.thresholds import f1_thresholds

SMALL = 2000  # records below which folds are drawn, as a tenth of the set would say too little
N_SPLITS = 5
VALIDATION_FOLD, TEST_FOLD = 9, 10  # of PTB-XL's ten
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers of one fit. No patient is in two parts.

    Parameters
    ----------
    train, test : ndarray of int
    validation : ndarray of int
        Empty where other folds serve for validation.
    """

    train: Rows
    test: Rows
    validation: Rows


@dataclass(frozen=True)
class Protocol:
    """All fits of an evaluation.

    Parameters
    ----------
    splits : tuple of Split
    text : str
        For reports.
    """

    splits: tuple[Split, ...]
    text: str

    @property
    def test(self) -> Rows:
        """All records that are judged, ascending; each by one split."""
        return np.sort(np.concatenate([split.test for split in self.splits]))


def make_protocol(
    y: ArrayLike,
    groups: ArrayLike,
    *,
    folds: ArrayLike | None = None,
    small: int = SMALL,
    random_state: int = 0,
) -> Protocol:
    """Published folds for large sets, patient-grouped five-fold for small ones.

    Parameters
    ----------
    y : array-like, shape (n, C)
    groups : array-like, shape (n,)
        Patient of each record.
    folds : array-like of int, shape (n,), optional
        Published folds 1 to 10; 9 is validation and 10 the test.
    small : int
        With fewer records, or without folds, folds are drawn.
    random_state : int
        Of the drawn folds.

    Returns
    -------
    Protocol

    Raises
    ------
    LeakageError
        If the published folds split a patient.
    DataError
        If a patient is unknown, or a part is empty.
    """
    labels, patients = np.asarray(y), np.asarray(groups)
    nobody = np.empty(0, dtype=np.int64)
    if folds is None or len(labels) < small:
        drawn = patient_folds(patients, labels, n_splits=N_SPLITS, random_state=random_state)
        splits = tuple(Split(train, test, nobody) for train, test in drawn)
        text = (
            f"{N_SPLITS} folds by patient (seed {random_state}); every record is scored by a model "
            "fitted on the other folds; thresholds and temperature of a fold come from the "
            "out-of-fold scores of the others"
        )
    else:
        fold = np.asarray(folds)
        train = np.flatnonzero((fold != VALIDATION_FOLD) & (fold != TEST_FOLD))
        held = [np.flatnonzero(fold == k) for k in (TEST_FOLD, VALIDATION_FOLD)]
        if not all(map(len, (train, *held))):
            raise DataError(
                f"expected records in folds 1-8, {VALIDATION_FOLD} and {TEST_FOLD}, got "
                f"{len(train)}, {len(held[1])} and {len(held[0])}"
            )
        splits = (Split(train, held[0], held[1]),)
        text = (
            f"published folds: fitted on 1-8 ({len(train):,} records), thresholds and temperature "
            f"fixed on 9 ({len(held[1]):,}), scored on 10 ({len(held[0]):,})"
        )
    for split in splits:
        for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")):
            check_no_leakage(patients[getattr(split, a)], patients[getattr(split, b)])
    return Protocol(splits, text)


@dataclass(frozen=True)
class Fixed:
    """What was fixed on other records, for every record that is judged.

    Parameters
    ----------
    thresholds : ndarray, shape (n_test, C)
    said, scaled : ndarray, shape (n_test, C)
        Probabilities before and after temperature scaling.
    temperatures : tuple of float
        One a split.
    """

    thresholds: Floats
    said: Floats
    scaled: Floats
    temperatures: tuple[float, ...]


def fix_on_validation(
    y: Floats, scores: Floats, protocol: Protocol, *, exclusive: bool = False
) -> Fixed:
    """Thresholds for F1 and temperatures, never from the records they are applied to.

    Parameters
    ----------
    y, scores : ndarray, shape (n, C)
        Scores of test and validation records; NaN elsewhere.
    protocol : Protocol
        Without validation records, those of the other splits' tests serve. Their models were
        fitted on records of this split too; the labels of a record still never move its own
        threshold but through the models of others.
    exclusive : bool
        One class a record: the temperature is that of the softmax.

    Returns
    -------
    Fixed
        In the order of `protocol.test`.
    """
    fit, said = fit_temperature, probabilities
    if exclusive:
        fit, said = fit_softmax_temperature, softmax_probabilities
    limit, scale = np.full(scores.shape, np.nan), np.full(scores.shape, np.nan)
    temperatures = []
    for split in protocol.splits:
        others = split.validation
        if not len(others):
            others = np.setdiff1d(protocol.test, split.test)
        limit[split.test] = f1_thresholds(y[others], scores[others])
        temperatures.append(fit(y[others], scores[others]))
        scale[split.test] = said(scores[split.test], temperatures[-1])
    test = protocol.test
    return Fixed(limit[test], said(scores[test]), scale[test], tuple(temperatures))
