"""Bootstrap: patients not records, paired differences, missing classes, reproducibility."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from biojepa.errors import ConfigError, DataError
from biojepa.evaluation import auprc, bootstrap_metric, brier, macro_auc
from biojepa.evaluation.bootstrap import BootstrapResult


def cohort(n: int = 120, n_classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random((n, n_classes)) < 0.3).astype(float)
    return y, np.clip(0.7 * rng.random((n, n_classes)) + 0.3 * y, 0, 1)


@pytest.mark.parametrize("metric", [macro_auc, auprc, brier])
def test_all_resamples_at_once_equal_one_by_one(metric: object) -> None:
    y, scores = cohort()
    y[:5, 0] = np.nan
    groups = np.arange(len(y)) // 2
    fast = bootstrap_metric(y, scores, metric=metric, groups=groups, n_resamples=40, random_state=3)  # type: ignore[arg-type]
    slow = bootstrap_metric(
        y,
        scores,
        metric=lambda a, b: metric(a, b),  # type: ignore[operator]
        groups=groups,
        n_resamples=40,
        random_state=3,
    )
    np.testing.assert_allclose(fast.values, slow.values, rtol=1e-12)
    assert fast.point == slow.point == metric(y, scores)  # type: ignore[operator]


def test_the_interval_is_the_percentile_interval_of_the_resamples() -> None:
    y, scores = cohort()
    result = bootstrap_metric(y, scores, n_resamples=300, confidence=0.8, random_state=0)
    assert (result.low, result.high) == tuple(np.quantile(result.values, [0.1, 0.9]))
    assert result.low < result.point < result.high
    assert result.point == pytest.approx(roc_auc_score(y, scores))
    assert result.n_resamples == len(result.values) == 300


def test_patients_are_drawn_whole() -> None:
    # every patient has one record of each kind: within patients nothing varies
    y = np.tile([0.0, 1.0], 30)
    scores = np.tile([0.2, 0.9], 30)
    scores[:30:2] = 0.95
    groups = np.repeat([f"p{i}" for i in range(30)], 2)
    drawn: list[np.ndarray] = []

    def spy(labels: np.ndarray, values: np.ndarray) -> float:
        drawn.append(labels)
        return macro_auc(labels, values)

    bootstrap_metric(y, scores, metric=spy, groups=groups, n_resamples=20, random_state=0)
    assert all(len(labels) == 60 and labels.mean() == 0.5 for labels in drawn)


def test_ignoring_patients_makes_the_interval_too_narrow() -> None:
    y, scores = cohort(n=40, n_classes=1)
    y, scores = np.repeat(y, 8, axis=0), np.repeat(scores, 8, axis=0)
    patients = np.repeat(np.arange(40), 8)
    whole = bootstrap_metric(y, scores, groups=patients, random_state=0)
    single = bootstrap_metric(y, scores, random_state=0)
    assert whole.high - whole.low > 2 * (single.high - single.low)


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    y, scores = cohort()
    rival = np.clip(scores - 0.05 * y, 0, 1)
    difference = bootstrap_metric(y, scores, compare_to=rival, random_state=1)
    alone = bootstrap_metric(y, scores, random_state=1)
    other = bootstrap_metric(y, rival, random_state=1)
    assert difference.is_difference
    assert difference.point == pytest.approx(macro_auc(y, scores) - macro_auc(y, rival))
    np.testing.assert_allclose(difference.values, alone.values - other.values, atol=1e-12)
    assert 0 < difference.low
    assert difference.high - difference.low < 0.5 * (alone.high - alone.low)


def test_a_score_equals_itself() -> None:
    y, scores = cohort()
    result = bootstrap_metric(y, scores, compare_to=scores, n_resamples=50, random_state=0)
    assert (result.point, result.low, result.high) == (0, 0, 0)


def rare() -> tuple[np.ndarray, np.ndarray]:
    y, scores = cohort(n=60)
    y[:, 1] = 0
    y[7, 1] = 1
    return y, scores


def test_resamples_that_lack_a_class_are_counted() -> None:
    y, scores = rare()
    result = bootstrap_metric(y, scores, n_resamples=500, random_state=0)
    # one positive of 60 is missing from (1 - 1/60)^60, about 36 % of the resamples
    assert result.n_resamples_incomplete / 500 == pytest.approx(0.365, abs=0.07)
    assert result.n_classes_missing == 0
    assert np.isfinite(result.values).all()


def test_the_benchmark_rule_redraws_until_every_class_is_there() -> None:
    y, scores = rare()
    result = bootstrap_metric(y, scores, n_resamples=300, rule="helme", random_state=0)
    assert result.n_resamples == 300
    assert result.n_resamples_incomplete == 0
    y[7, 1] = 0
    with pytest.raises(DataError, match=r"columns \[1\]"):
        bootstrap_metric(y, scores, rule="helme", random_state=0)


def test_a_class_that_is_not_there_at_all_is_reported() -> None:
    y, scores = cohort()
    y[:, 2] = 0
    result = bootstrap_metric(y, scores, n_resamples=50, random_state=0)
    assert (result.n_classes, result.n_classes_missing, result.n_resamples_incomplete) == (3, 1, 0)


def test_resamples_without_any_class_are_left_out_and_counted() -> None:
    y = np.zeros(12)
    y[0] = 1
    result = bootstrap_metric(y, np.linspace(1, 0, 12), n_resamples=200, random_state=0)
    assert result.n_undefined > 0
    assert result.n_undefined + result.n_resamples == 200
    assert set(result.values) == {1.0}


def test_the_same_seed_gives_the_same_interval_and_the_global_state_stays() -> None:
    y, scores = cohort()
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    first = bootstrap_metric(y, scores, n_resamples=50, random_state=5)
    again = bootstrap_metric(y, scores, n_resamples=50, random_state=np.random.default_rng(5))
    legacy = bootstrap_metric(y, scores, n_resamples=50, random_state=np.random.RandomState(5))  # noqa: NPY002
    assert first == again
    assert first != legacy
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002


def test_a_result_is_written_as_json() -> None:
    y, scores = cohort()
    result = bootstrap_metric(y, scores, n_resamples=50, random_state=0)
    assert isinstance(result, BootstrapResult)
    again = json.loads(json.dumps(result.summary()))
    assert again["point"] == result.point
    assert "values" not in again
    assert "95%" in str(result)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = np.repeat([0.0, 1.0], 60)
        result = bootstrap_metric(y, rng.normal(y, 1.0), n_resamples=200, random_state=seed)
        covered += result.low <= 0.7602 <= result.high  # AUC of two normals one SD apart
    assert covered >= 52


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"groups": np.zeros(120)}, DataError, "two patients"),
        ({"groups": np.zeros(7)}, DataError, "groups of shape"),
        ({"groups": [None] + ["p"] * 119}, DataError, "row 0"),
        ({"compare_to": np.zeros((120, 2))}, DataError, "compare_to"),
        ({"n_resamples": 1}, ConfigError, "n_resamples"),
        ({"confidence": 95}, ConfigError, "confidence"),
        ({"rule": "none"}, ConfigError, "rule"),
    ],
)
def test_mistakes_are_named(arguments: dict, error: type[Exception], message: str) -> None:
    y, scores = cohort()
    with pytest.raises(error, match=message):
        bootstrap_metric(y, scores, random_state=0, **arguments)


def test_labels_and_scores_must_have_one_length() -> None:
    with pytest.raises(DataError, match="same records"):
        bootstrap_metric(np.zeros(3), np.zeros(4), random_state=0)
