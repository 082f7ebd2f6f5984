from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from biojepa.errors import DataError
from biojepa.evaluation.thresholds import f1_per_class, f1_thresholds


def test_the_best_threshold_of_five_scores_by_hand() -> None:
    # positives at 0.9, 0.6, 0.4: calling the first four gives 2 * 3 / (4 + 3)
    truth, scores = [1, 0, 1, 1, 0], [0.9, 0.7, 0.6, 0.4, 0.1]
    assert f1_thresholds(truth, scores) == pytest.approx([0.25])
    assert f1_per_class(truth, scores, [0.25]) == pytest.approx([6 / 7])


def test_no_other_threshold_is_better() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((200, 3)) < [0.1, 0.3, 0.6]
    scores = np.round(truth + rng.normal(0, 1, truth.shape), 1)  # with ties
    found = f1_per_class(truth, scores, f1_thresholds(truth, scores))
    for column in range(3):
        tried = [
            f1_score(truth[:, column], scores[:, column] > t, zero_division=0)
            for t in np.arange(-4, 5, 0.05) + 0.013
        ]
        assert found[column] == pytest.approx(max(tried))


def test_f1_equals_scikit_learn_and_leaves_out_what_is_unknown() -> None:
    truth = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, np.nan], [0.0, 1.0]])
    scores = np.array([[0.9, 0.2], [0.8, 0.9], [0.1, 0.9], [0.2, 0.1]])
    expected = [f1_score([1, 0, 1, 0], [1, 1, 0, 0]), f1_score([0, 1, 1], [0, 1, 0])]
    assert f1_per_class(truth, scores, [0.5, 0.5]) == pytest.approx(expected)


def test_folds_may_have_their_own_thresholds() -> None:
    truth, scores = np.array([1, 1, 0]), np.array([0.9, 0.3, 0.5])
    own = np.array([[0.5], [0.2], [0.6]])
    assert f1_per_class(truth, scores, own) == pytest.approx([1.0])


def test_a_class_without_a_positive_is_never_called_and_has_no_f1() -> None:
    limit = f1_thresholds([[0, 1], [0, 0]], [[0.2, 0.7], [0.4, 0.1]])
    assert np.isinf(limit[0])
    assert np.isnan(f1_per_class([[0, 1], [0, 0]], [[0.2, 0.7], [0.4, 0.1]], limit)[0])


def test_thresholds_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match="expected thresholds"):
        f1_per_class([0, 1], [0.1, 0.9], [0.5, 0.5])
