"""The scale of EEG: what passes, what warns, what is refused, and the unit it looks like."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.eeg_scale import check_eeg_scale
from biojepa.errors import DataError, PlausibilityWarning

X = np.random.default_rng(0).standard_normal((3, 500))


@pytest.mark.parametrize("microvolt", [0.2, 15.0, 900.0])
def test_plausible_microvolts_pass(microvolt):
    check_eeg_scale([microvolt * X, np.zeros((3, 500))], where="X", strict=True)


def test_gaps_and_nothing_pass():
    gappy = 10 * X
    gappy[0, ::3] = np.nan
    check_eeg_scale([gappy], where="X", strict=True)
    check_eeg_scale([np.zeros((2, 9)), np.full((2, 9), np.nan)], where="X", strict=True)


@pytest.mark.parametrize(("factor", "unit"), [(1e-6, "'V'"), (1e-3, "'mV'")])
def test_the_likely_unit_is_named(factor, unit):
    with pytest.raises(DataError, match=unit):
        check_eeg_scale([15 * X * factor], where="a.edf", strict=True)
    with pytest.warns(PlausibilityWarning, match="arbitrary"):
        check_eeg_scale([15 * X * factor], where="X", strict=False)


def test_a_scale_without_a_unit_is_refused_too():
    with pytest.raises(DataError, match="correct the scale"):
        check_eeg_scale([1e9 * X], where="a.edf", strict=True)
