"""Metrics against scikit-learn, by hand, and on labels that miss a class."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from biojepa.errors import ConfigError, DataError
from biojepa.evaluation import auprc, brier, macro_auc, per_class_auc


def cohort(n: int = 200, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random((n, n_classes)) < 0.2).astype(float)
    # rounded, so that scores tie
    return y, np.round(np.clip(0.6 * rng.random((n, n_classes)) + 0.3 * y, 0, 1), 2)


@given(
    labels=st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda x: len(set(x)) == 2),
    seed=st.integers(0, 1000),
    levels=st.integers(1, 6),
)
def test_ranking_metrics_equal_scikit_learn_with_ties(
    labels: list[bool], seed: int, levels: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, levels, len(labels)).astype(float)
    assert macro_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores))


def test_multi_label_means_equal_scikit_learn() -> None:
    y, scores = cohort()
    assert macro_auc(y, scores) == pytest.approx(roc_auc_score(y, scores, average="macro"))
    assert auprc(y, scores) == pytest.approx(average_precision_score(y, scores))
    expected = np.mean([brier_score_loss(a, b) for a, b in zip(y.T, scores.T, strict=True)])
    assert brier(y, scores) == pytest.approx(expected)


def test_a_class_without_positives_is_left_out_and_listed() -> None:
    y, scores = cohort()
    y[:, 1] = 0
    y[:, 2] = 1
    kept = [0, 3]
    assert macro_auc(y, scores) == pytest.approx(roc_auc_score(y[:, kept], scores[:, kept]))
    assert auprc(y, scores) == pytest.approx(average_precision_score(y[:, kept], scores[:, kept]))
    table = per_class_auc(y, scores, classes=["a", "b", "c", "d"])
    assert table.index[table["auc"].isna()].tolist() == ["b", "c"]
    assert table["n_positive"].tolist()[1] == table["n_negative"].tolist()[2] == 0
    with pytest.raises(DataError, match=r"columns \[1, 2\]"):
        macro_auc(y, scores, rule="all")


def test_nothing_but_missing_classes_is_an_error_not_nan() -> None:
    for metric in (macro_auc, auprc):
        with pytest.raises(DataError, match="at least one class"):
            metric(np.zeros((5, 2)), np.random.default_rng(0).random((5, 2)))
    with pytest.raises(DataError, match="at least one class"):
        brier(np.full(5, math.nan), np.full(5, 0.5))


def test_unknown_labels_are_left_out_of_their_class_only() -> None:
    y, scores = cohort()
    unknown = np.zeros(len(y), dtype=bool)
    unknown[:50] = True
    y[unknown, 0] = math.nan
    expected = [roc_auc_score(y[~unknown, 0], scores[~unknown, 0])]
    expected += [roc_auc_score(y[:, c], scores[:, c]) for c in (1, 2, 3)]
    assert macro_auc(y, scores) == pytest.approx(np.mean(expected))
    table = per_class_auc(y, scores)
    assert table["n_unknown"].tolist() == [50, 0, 0, 0]
    assert table["auc"].tolist() == pytest.approx(expected)


def test_probability_columns_of_classifiers_are_understood() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 50)
    p = rng.random(50)
    assert macro_auc(labels, np.c_[1 - p, p]) == macro_auc(labels, p)
    several, scores = rng.integers(0, 3, 60), rng.random((60, 3))
    scores /= scores.sum(1, keepdims=True)
    expected = roc_auc_score(several, scores, multi_class="ovr", average="macro")
    assert macro_auc(several, scores) == pytest.approx(expected)


def test_the_inputs_are_not_changed() -> None:
    y, scores = cohort()
    y_before, scores_before = y.copy(), scores.copy()
    macro_auc(y, scores)
    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(scores, scores_before)


@pytest.mark.parametrize(
    ("y", "scores", "message"),
    [
        ([0, 1, 1], [0.1, math.nan, 0.3], "row 1"),
        ([0, 1, 1], [0.1, 0.2], "same records"),
        ([], [], "same records"),
        ([0, 2, 1], [0.1, 0.2, 0.3], "labels 0, 1"),
        (["NORM", "MI"], [0.1, 0.2], "numeric labels"),
        ([0, 1, 3], np.ones((3, 3)), "class numbers"),
        (np.ones((3, 2)), np.ones((3, 3)), "score columns"),
    ],
)
def test_input_that_cannot_be_used_is_named(y: object, scores: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        macro_auc(y, scores)  # type: ignore[arg-type]


def test_other_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="sigmoid"):
        brier([0, 1], [-2.0, 3.0])
    with pytest.raises(DataError, match="class names"):
        per_class_auc([0, 1], [0.1, 0.2], classes=["a", "b"])
    with pytest.raises(ConfigError, match="rule"):
        macro_auc([0, 1], [0.1, 0.2], rule="some")  # type: ignore[arg-type]
