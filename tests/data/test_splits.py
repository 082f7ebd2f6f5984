import warnings

import numpy as np
import pytest

from biojepa.data.splits import (
    check_no_leakage,
    check_same_records,
    overlap_statement,
    patient_folds,
    patient_split,
)
from biojepa.errors import DataError, LeakageError


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 80, 300)
    y = (rng.random((300, 4)) < [0.5, 0.3, 0.1, 0.01]).astype(float)
    return groups, y


def _assert_partition(folds, groups, n_splits):
    assert len(folds) == n_splits
    assert np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(300))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(groups)


@pytest.mark.parametrize("kind", ["none", "classes", "multi-label", "continuous", "text"])
def test_folds_cover_every_record_once_and_split_no_patient(cohort, kind):
    groups, labels = cohort
    y = {
        "none": None,
        "classes": labels[:, 1],
        "multi-label": labels,
        "continuous": np.random.default_rng(1).normal(50, 10, 300),
        "text": np.where(labels[:, 0] > 0, "NORM", "MI"),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = patient_folds(groups, y, n_splits=5, random_state=0)
        again = patient_folds(groups, y, n_splits=5, random_state=0)
        other = patient_folds(groups, y, n_splits=5, random_state=1)
    _assert_partition(folds, groups, 5)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(folds, other, strict=True))


def test_every_fold_gets_its_share_of_the_rarest_label(cohort):
    groups, y = cohort
    y[:, 3] = 0
    shares = [y[test, 2].mean() for _, test in patient_folds(groups, y, random_state=0)]
    assert max(shares) - min(shares) < 0.05
    assert y[:, 2].mean() > 0.05


def test_missing_labels_do_not_count_as_positive(cohort):
    groups, y = cohort
    y[::3, 0] = np.nan
    one_column = np.where(np.arange(300) % 7 == 0, np.nan, y[:, 1])
    for target in (y, one_column):
        _assert_partition(patient_folds(groups, target, random_state=0), groups, 5)


def test_a_class_with_fewer_records_than_folds_does_not_warn(cohort):
    groups, _ = cohort
    y = np.zeros(300, int)
    y[:2], y[2:5], y[5:100] = 1, 2, 3
    _assert_partition(patient_folds(groups, y, random_state=0), groups, 5)


def test_a_generator_is_drawn_from_and_the_global_state_is_not(cohort):
    groups, y = cohort
    np.random.seed(3)  # noqa: NPY002 - the caller's legacy state is what is watched
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = patient_folds(groups, y, random_state=np.random.default_rng(5))
    second = patient_folds(groups, y, random_state=np.random.default_rng(5))
    patient_split(groups, fractions=(0.5, 0.5), random_state=0)
    assert np.array_equal(first[0][1], second[0][1])
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("unknown", [None, float("nan"), "", "nan"])
def test_a_record_of_an_unknown_patient_is_refused_with_its_row(unknown):
    with pytest.raises(DataError, match=r"1 unknown of 3.*\[1\]"):
        patient_folds(["a", unknown, "b"], n_splits=2, random_state=0)


def test_more_folds_than_patients_are_refused():
    with pytest.raises(DataError, match="number of patients"):
        patient_folds(["a", "a", "b"], n_splits=3, random_state=0)


def test_a_target_of_another_length_is_refused():
    with pytest.raises(DataError, match="3 records"):
        patient_folds(["a", "b", "c"], np.zeros(2), n_splits=2, random_state=0)


def test_one_patient_written_three_ways_stays_together():
    groups = np.array([7, 7.0, "7", "7.0", "8", 8.0, 9, "9"], dtype=object)
    for _, test in patient_folds(groups, n_splits=3, random_state=0):
        assert set(test.tolist()) in ({0, 1, 2, 3}, {4, 5}, {6, 7})


def test_a_split_has_about_the_sizes_asked_for_and_splits_no_patient(cohort):
    groups, _ = cohort
    parts = patient_split(groups, fractions=(0.7, 0.2, 0.1), random_state=0)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(300))
    np.testing.assert_allclose([len(part) / 300 for part in parts], [0.7, 0.2, 0.1], atol=0.03)
    for a in range(3):
        for b in range(a):
            assert not set(groups[parts[a]]) & set(groups[parts[b]])


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.2, -0.2), ()])
def test_fractions_must_sum_to_one(fractions):
    with pytest.raises(DataError, match="sum to 1"):
        patient_split(["a", "b"], fractions=fractions, random_state=0)


def test_a_part_without_a_patient_is_refused():
    with pytest.raises(DataError, match="empty"):
        patient_split(["a", "b"], fractions=(0.8, 0.1, 0.1), random_state=0)


def test_leakage_names_the_first_five():
    with pytest.raises(LeakageError, match=r"found 7: 0, 1, 2, 3, 4, \.\.\."):
        check_no_leakage(range(7), range(10))


def test_leakage_is_counted_across_ways_of_writing():
    assert check_no_leakage([1, 2.0, "3"], ["1.0", 2, 3.0], allow_leakage=True) == 3
    assert check_no_leakage([1, None, np.nan, ""], [None, np.nan, 2, ""]) == 0
    assert check_no_leakage(["1.5"], ["1.50"]) == 0


def test_the_same_signal_under_two_names_is_found():
    with pytest.raises(LeakageError, match="same signal"):
        check_same_records(["ab", "cd", ""], ["cd", ""])
    assert check_same_records(["ab", ""], ["cd", ""]) == 0
    assert check_same_records(["ab"], ["ab"], allow_leakage=True) == 1


def test_the_overlap_is_a_sentence():
    assert overlap_statement([1, 2], [3], 1323) == "overlap: 0 known, unknown for 1,323 records"
    assert overlap_statement([1, 2], [2.0], 0) == "overlap: 1 known, unknown for 0 records"
