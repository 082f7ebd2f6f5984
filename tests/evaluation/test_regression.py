"""Metrics of predicted numbers."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import DataError
from biojepa.evaluation.regression import mean_absolute_error, pearson_r, r_squared


def test_the_metrics_by_hand():
    y, found = [1.0, 2.0, 3.0], [1.0, 2.0, 5.0]
    assert mean_absolute_error(y, found) == pytest.approx(2 / 3)
    assert pearson_r(y, found) == pytest.approx(np.corrcoef(y, found)[0, 1])
    assert r_squared(y, found) == pytest.approx(1 - 4 / 2)


def test_columns_are_averaged_and_unknown_numbers_left_out():
    y = np.array([[1.0, 1.0], [2.0, np.nan], [4.0, 2.0]])
    found = np.array([[1.0, 2.0], [2.0, 9.0], [4.0, 3.0]])
    assert mean_absolute_error(y, found) == pytest.approx(0.5)
    assert pearson_r(y, found) == pytest.approx(1.0)


def test_a_constant_prediction_has_no_correlation_and_explains_nothing():
    y = np.array([1.0, 2.0, 3.0])
    assert pearson_r(y, np.full(3, 7.7)) == 0.0
    assert r_squared(y, np.full(3, 2.0)) == pytest.approx(0.0)


@pytest.mark.parametrize("metric", [mean_absolute_error, pearson_r, r_squared])
@pytest.mark.parametrize(
    ("y", "found", "message"),
    [
        ([1.0, 2.0], [1.0, np.nan], "finite predictions"),
        ([1.0, 2.0], [1.0], "one shape"),
        ([np.nan, np.nan], [1.0, 2.0], "a known, finite number"),
    ],
)
def test_what_cannot_be_judged_is_refused(metric, y, found, message):
    with pytest.raises(DataError, match=message):
        metric(y, found)


@pytest.mark.parametrize("metric", [pearson_r, r_squared])
def test_true_numbers_that_do_not_differ_are_refused(metric):
    with pytest.raises(DataError, match="that differ"):
        metric([2.0, 2.0], [1.0, 2.0])
