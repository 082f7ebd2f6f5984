"""Readings by region."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import ConfigError, DataError
from biojepa.fmri import BrainJEPA
from biojepa.fmri.benchmark_baselines import fc_features
from biojepa.fmri.region_features import region_features
from biojepa.fmri.simulate import simulate_cohort


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(8, n_regions=12, n_sites=1, n_times=96, random_state=0)


@pytest.fixture(scope="module")
def encoder(cohort):
    return BrainJEPA(preset="tiny", steps=2, random_state=0).fit(list(cohort.runs))


def test_the_readings_have_a_number_a_region_and_a_pair(encoder, cohort):
    runs, dim = list(cohort.runs), encoder.model_config_.dim
    assert region_features(encoder, runs, reading="region").shape == (8, 12 * dim)
    assert region_features(encoder, runs, layers=(0, 1)).shape == (8, 2 * 66)


def test_region_means_are_those_of_the_tokens(encoder, cohort):
    runs = list(cohort.runs)[:2]
    found = region_features(encoder, runs, reading="region")
    for row, tokens in zip(found, encoder.encode(runs), strict=True):
        together = np.concatenate(list(tokens), axis=1)  # windows one after the other
        np.testing.assert_allclose(row, together.mean(axis=1).ravel(), atol=1e-5)


def test_connectivity_of_tokens_of_untrained_weights_goes_with_that_of_the_series(encoder, cohort):
    ours = region_features(encoder, list(cohort.runs), reading="connectivity")
    theirs = fc_features(cohort)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs, strict=True)]
    assert min(r) > 0.5


def test_a_flat_region_is_correlated_with_nothing(encoder, cohort):
    values = cohort.runs[0].values.T.copy()
    values[:, 3] = 5.0
    encoder.set_params(tr=2.0)
    (row,) = region_features(encoder, [values])
    above = np.triu_indices(12, 1)
    with_flat = (above[0] == 3) | (above[1] == 3)
    assert not row[with_flat].any()
    assert row[~with_flat].all()


def test_several_atlases_and_unknown_readings_are_refused(encoder, cohort):
    with pytest.raises(ConfigError, match="expected reading"):
        region_features(encoder, list(cohort.runs), reading="mean")
    other = simulate_cohort(2, n_regions=14, n_sites=1, n_times=96, random_state=1)
    with pytest.raises(DataError, match="one atlas"), pytest.warns(UserWarning, match="fitted the"):
        region_features(encoder, [*cohort.runs, *other.runs])
