"""The simulator: what it writes into connectivity can be found, but not perfectly."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.splits import patient_folds
from biojepa.errors import ConfigError
from biojepa.estimators.probe import LinearProbe
from biojepa.estimators.ridge_probe import RidgeProbe
from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.regression import mean_absolute_error, pearson_r
from biojepa.fmri.benchmark_baselines import fc_features, site_features
from biojepa.fmri.simulate import Effects, simulate_cohort


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(150, n_regions=24, random_state=3)


def out_of_fold(probe, features, y, subjects):
    found = np.full(len(y), np.nan)
    for train, test in patient_folds(subjects, y, random_state=0):
        probe.fit(features[train], y[train])
        predict = getattr(probe, "decision_function", probe.predict)
        found[test] = predict(features[test])
    return found


def test_connectivity_tells_age_well_above_chance_and_well_below_perfect(cohort):
    age = cohort.column("age")
    found = out_of_fold(RidgeProbe(), fc_features(cohort), age, cohort.subjects)
    chance = mean_absolute_error(age, np.full_like(age, age.mean()))
    assert 0.6 < pearson_r(age, found) < 0.9
    assert 0.35 * chance < mean_absolute_error(age, found) < 0.75 * chance


def test_connectivity_tells_the_group_and_the_site_alone_hardly_does(cohort):
    y = cohort.column("group")
    found = out_of_fold(LinearProbe(C=1e-3), fc_features(cohort), y, cohort.subjects)
    site = out_of_fold(LinearProbe(C=1.0), site_features(cohort), y, cohort.subjects)
    assert 0.7 < macro_auc(y, found) < 0.95
    assert macro_auc(y, site) < macro_auc(y, found)


def test_without_effects_nothing_is_told():
    nothing = simulate_cohort(
        120, n_regions=18, effects=Effects(age=0, group=0, sex=0), random_state=1
    )
    age = nothing.column("age")
    found = out_of_fold(RidgeProbe(), fc_features(nothing), age, nothing.subjects)
    assert abs(pearson_r(age, found)) < 0.25


def test_networks_follow_one_another_with_a_delay():
    cohort = simulate_cohort(
        6, n_regions=6, n_networks=6, n_times=4000, effects=Effects(person=0), random_state=0
    )
    values = np.stack([run.values[:, :3000] for run in cohort.runs]).astype(float)
    values -= values.mean(axis=2, keepdims=True)
    values /= values.std(axis=2, keepdims=True)
    later = np.mean([(v[0, :-2] * v[1, 2:]).mean() for v in values])
    earlier = np.mean([(v[1, :-2] * v[0, 2:]).mean() for v in values])
    assert later > earlier + 0.05


def test_sites_differ_in_length_and_repetition_time(cohort):
    kinds = {
        site: {(run.n_times, round(1 / run.rate_hz, 3)) for run, s in rows}
        for site, rows in (
            (
                s,
                [
                    (r, s)
                    for r, own in zip(cohort.runs, cohort.column("site"), strict=True)
                    if own == s
                ],
            )
            for s in "ABC"
        )
    }
    assert all(len(kind) == 1 for kind in kinds.values())
    assert len(set.union(*kinds.values())) == 3


def test_the_same_seed_gives_the_same_people():
    one, same, other = (simulate_cohort(6, n_regions=8, random_state=s) for s in (0, 0, 1))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert one.take([1, 4]).subjects.tolist() == ["sub-001", "sub-004"]


def test_settings_that_make_no_cohort_are_refused():
    with pytest.raises(ConfigError, match="1 to 3 sites"):
        simulate_cohort(10, n_sites=4)
    with pytest.raises(ConfigError, match="as many regions"):
        simulate_cohort(10, n_regions=4)
