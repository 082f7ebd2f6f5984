from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from biojepa.errors import ConfigError, DataError
from biojepa.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    probabilities,
    reliability,
)


def test_the_error_of_six_answers_by_hand() -> None:
    # two bins: 0.2, 0.4 (share 1/2) and 0.6, 0.8, 0.9, 0.7 (share 3/4)
    said = [0.2, 0.4, 0.6, 0.8, 0.9, 0.7]
    truth = [0, 1, 1, 1, 1, 0]
    curve = reliability(truth, said, n_bins=2)
    assert curve.n_answers.tolist() == [2, 4]
    assert curve.probability == pytest.approx([0.3, 0.75])
    assert curve.frequency == pytest.approx([0.5, 0.75])
    assert expected_calibration_error(truth, said, n_bins=2) == pytest.approx(0.2 * 2 / 6)


def test_a_probability_of_one_falls_into_the_last_bin_and_empty_bins_are_nan() -> None:
    curve = reliability([1, 0], [1.0, 0.0], n_bins=15)
    assert curve.n_answers.tolist() == [1] + [0] * 13 + [1]
    assert np.isnan(curve.frequency[7])


def test_the_error_is_the_mean_over_classes_and_not_of_the_pool() -> None:
    # the two classes err in opposite directions, which a pool would hide
    truth = np.array([[1, 0]] * 10)
    said = np.full((10, 2), 0.5)
    assert expected_calibration_error(truth, said) == pytest.approx(0.5)
    assert abs(reliability(truth, said).frequency[7] - 0.5) < 1e-12


def test_unknown_labels_are_left_out() -> None:
    truth = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, np.nan]])
    said = np.full((3, 2), 0.5)
    assert expected_calibration_error(truth, said) == pytest.approx(0.0)
    assert reliability(truth, said).n_answers.sum() == 2


def test_the_temperature_of_overconfident_logits_is_found() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (20_000, 2))
    truth = rng.random(honest.shape) < expit(honest)
    temperature = fit_temperature(truth, 3.0 * honest)
    assert temperature == pytest.approx(3.0, rel=0.03)
    before = expected_calibration_error(truth, probabilities(3.0 * honest))
    after = expected_calibration_error(truth, probabilities(3.0 * honest, temperature))
    assert after < 0.02 < before


def test_a_temperature_does_not_change_the_order() -> None:
    logits = np.array([-3.0, 0.5, 2.0])
    assert (np.diff(probabilities(logits, 7.0)) > 0).all()
    assert probabilities(0.0) == 0.5


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(DataError, match="probabilities between 0 and 1"):
        reliability([0, 1], [0.2, 1.2])
    with pytest.raises(ConfigError, match="n_bins"):
        reliability([0, 1], [0.2, 0.7], n_bins=0)
    with pytest.raises(DataError, match="known label"):
        fit_temperature([np.nan, np.nan], [0.0, 1.0])
