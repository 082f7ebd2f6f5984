from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import DataError, LeakageError
from biojepa.evaluation.protocol import fix_on_validation, make_protocol


def small(n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.random((n, 2)) < 0.4).astype(float), np.arange(n) // 2


def test_a_small_set_is_judged_once_a_record_and_never_by_a_model_of_its_patient() -> None:
    y, patients = small()
    protocol = make_protocol(y, patients, folds=np.arange(100) % 10 + 1)
    assert protocol.test.tolist() == list(range(100))
    assert len(protocol.splits) == 5
    for split in protocol.splits:
        assert not set(patients[split.train]) & set(patients[split.test])


def test_a_large_set_keeps_the_published_folds() -> None:
    y, _ = small(2000)
    fold = np.arange(2000) % 10 + 1
    (split,) = make_protocol(y, np.arange(2000), folds=fold).splits
    assert set(fold[split.train]) == set(range(1, 9))
    assert set(fold[split.validation]) == {9}
    assert set(fold[split.test]) == {10}


def test_a_patient_in_two_published_folds_is_refused() -> None:
    y, _ = small(2000)
    patients = np.arange(2000)
    patients[1999] = 0  # folds 10 and 1
    with pytest.raises(LeakageError, match="1: 0"):
        make_protocol(y, patients, folds=np.arange(2000) % 10 + 1)


def test_a_missing_published_fold_is_an_error() -> None:
    y, _ = small(2000)
    with pytest.raises(DataError, match="folds 1-8, 9 and 10"):
        make_protocol(y, np.arange(2000), folds=np.arange(2000) % 8 + 1)


def test_labels_of_a_fold_do_not_move_its_own_thresholds_or_temperature() -> None:
    y, patients = small()
    protocol = make_protocol(y, patients)
    scores = np.random.default_rng(1).normal(0, 1, y.shape) + y
    before = fix_on_validation(y, scores, protocol)
    turned = y.copy()
    first = protocol.splits[0].test
    turned[first] = 1 - turned[first]
    after = fix_on_validation(turned, scores, protocol)
    assert np.array_equal(before.thresholds[first], after.thresholds[first])
    assert before.temperatures[0] == after.temperatures[0]
    assert before.temperatures[1] != after.temperatures[1]


def test_a_validation_fold_alone_fixes_them_when_there_is_one() -> None:
    y, _ = small(2000)
    protocol = make_protocol(y, np.arange(2000), folds=np.arange(2000) % 10 + 1)
    scores = np.full(y.shape, np.nan)
    split = protocol.splits[0]
    judged = np.concatenate([split.validation, split.test])
    scores[judged] = np.random.default_rng(1).normal(0, 3, (400, 2)) + y[judged]
    fixed = fix_on_validation(y, scores, protocol)
    assert fixed.thresholds.shape == fixed.said.shape == (200, 2)
    assert np.isfinite(fixed.scaled).all()
    assert fixed.temperatures[0] > 1.5  # noise of size 3 is too sure
