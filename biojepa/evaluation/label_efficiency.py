"""How much is learned from how many labels: nested, stratified subsets of patients.

One draw is one order of the patients; the subset of a fraction is a beginning of it, so that the
subsets of a draw are nested and a curve compares like with like. The order deals the rare labels
evenly, so that every beginning has about the shares of the whole.

Letters: n records, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from biojepa.errors import ConfigError, DataError

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
MIN_POSITIVES = 2
_TRIES = 50  # orders tried for one draw

Subsets = dict[float, NDArray[np.int64] | None]


def nested_subsets(
    y: ArrayLike,
    groups: ArrayLike,
    *,
    fractions: Sequence[float] = FRACTIONS,
    min_positives: int = MIN_POSITIVES,
    random_state: np.random.Generator | int,
) -> Subsets:
    """One draw of nested subsets.

    Parameters
    ----------
    y : array-like, shape (n, C)
        0, 1 or NaN.
    groups : array-like, shape (n,)
        Patients; all records of a patient come together.
    fractions : sequence of float
        Of the patients, above 0 and up to 1.
    min_positives : int
        A subset holds so many positives of every class that has them; orders are drawn anew until
        as many fractions as possible do.
    random_state : Generator or int

    Returns
    -------
    dict of fraction to ndarray or None
        Rows, ascending; None where the subset is too small for `min_positives` of every class.

    Raises
    ------
    ConfigError
        If a fraction is out of range.
    DataError
        If shapes do not fit.
    """
    if not fractions or not all(0 < f <= 1 for f in fractions):
        raise ConfigError(f"expected fractions above 0 and up to 1, got {list(fractions)}")
    labels, patients = np.asarray(y, dtype=np.float64), np.asarray(groups)
    if labels.ndim != 2 or patients.shape != (len(labels),):
        raise DataError(
            f"expected y (n, classes) and groups (n,), got {labels.shape} and {patients.shape}"
        )
    rng = np.random.default_rng(random_state)
    patient, names = pd.factorize(patients)
    stratum = _strata(labels, patient, len(names))
    positive = labels == 1
    wanted = np.minimum(min_positives, positive.sum(0))
    best: Subsets = {}
    for _ in range(_TRIES):
        place = _order(stratum, rng)
        subsets: Subsets = {}
        for fraction in fractions:
            n_patients = max(1, round(fraction * len(names)))
            rows = np.flatnonzero(place[patient] < n_patients)
            subsets[fraction] = rows if (positive[rows].sum(0) >= wanted).all() else None
        if not best or _n_held(subsets) > _n_held(best):
            best = subsets
        if _n_held(best) == len(fractions):
            break
    return best


def _strata(labels: NDArray, patient: NDArray, n_patients: int) -> NDArray[np.int64]:
    """The rarest positive class of each patient; C for none."""
    n_classes = labels.shape[1]
    count = np.nansum(labels, axis=0)
    has = np.zeros((n_patients, n_classes), dtype=bool)
    rows, columns = np.nonzero(labels == 1)
    has[patient[rows], columns] = True
    rarity = np.where(has, count, np.inf)
    return np.where(has.any(1), rarity.argmin(1), n_classes)


def _order(stratum: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """Place of each patient; every beginning holds about the same share of each stratum."""
    key = np.empty(len(stratum))
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        key[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    order = np.lexsort((rng.random(len(key)), key))
    place = np.empty(len(key), dtype=np.int64)
    place[order] = np.arange(len(key))
    return place


def _n_held(subsets: Subsets) -> int:
    return sum(rows is not None for rows in subsets.values())
