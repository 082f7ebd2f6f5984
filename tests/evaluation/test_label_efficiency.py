from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import ConfigError, DataError
from biojepa.evaluation.label_efficiency import FRACTIONS, nested_subsets


@pytest.fixture
def cohort() -> tuple[np.ndarray, np.ndarray]:
    """280 records of 224 patients with shares like those of PTB-XL's superclasses."""
    rng = np.random.default_rng(0)
    patients = 4 * (np.arange(280) // 5) + np.minimum(np.arange(280) % 5, 3)
    y = rng.random((224, 5)) < [0.16, 0.08, 0.15, 0.58, 0.19]
    return y[patients].astype(float), patients


def test_the_subsets_of_a_draw_are_nested_and_keep_patients_whole(cohort) -> None:
    y, patients = cohort
    subsets = nested_subsets(y, patients, random_state=3)
    held = [set(rows.tolist()) for rows in subsets.values() if rows is not None]
    for small, large in zip(held, held[1:], strict=False):
        assert small < large
    for rows in held:
        inside = set(patients[sorted(rows)])
        assert rows == set(np.flatnonzero(np.isin(patients, list(inside))))
    assert held[-1] == set(range(280))


def test_twenty_draws_of_a_tenth_hold_two_positives_of_every_class(cohort) -> None:
    y, patients = cohort
    drawn = [nested_subsets(y, patients, random_state=k)[0.1] for k in range(20)]
    assert all(rows is not None and (y[rows].sum(0) >= 2).all() for rows in drawn)
    assert len({tuple(rows) for rows in drawn if rows is not None}) == 20


def test_a_subset_has_about_the_shares_of_the_whole(cohort) -> None:
    y, patients = cohort
    rarest = y.sum(0).argmin()
    shares = [
        y[rows, rarest].mean()
        for k in range(20)
        if (rows := nested_subsets(y, patients, random_state=k)[0.25]) is not None
    ]
    assert np.std(shares) < 0.6 * np.sqrt(0.08 * 0.92 / 70)  # of draws without strata
    assert np.mean(shares) == pytest.approx(y[:, rarest].mean(), abs=0.02)


def test_a_fraction_that_cannot_hold_every_class_is_none_and_not_a_bad_subset(cohort) -> None:
    y, patients = cohort
    subsets = nested_subsets(y, patients, random_state=0)
    assert subsets[0.01] is None
    assert tuple(subsets) == FRACTIONS


def test_unknown_labels_count_as_no_positive() -> None:
    y = np.full((40, 1), np.nan)
    y[::4] = 1
    rows = nested_subsets(y, np.arange(40), fractions=(0.5,), random_state=0)[0.5]
    assert rows is not None
    assert np.nansum(y[rows]) == 5


def test_the_same_seed_gives_the_same_subsets(cohort) -> None:
    y, patients = cohort
    one, two = (nested_subsets(y, patients, random_state=5)[0.5] for _ in range(2))
    assert np.array_equal(one, two)


def test_mistakes_are_named(cohort) -> None:
    y, patients = cohort
    with pytest.raises(ConfigError, match="fractions above 0"):
        nested_subsets(y, patients, fractions=(0.0, 1.0), random_state=0)
    with pytest.raises(DataError, match="groups"):
        nested_subsets(y, patients[:-1], random_state=0)
