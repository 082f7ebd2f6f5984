"""Every check that scikit-learn yields for 2-D data, on every fMRI estimator."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from biojepa.fmri import BrainClassifier, BrainJEPA, BrainRegressor

BLOBS = (
    "the classes differ in the offset and scale of a 2-frame run, which preprocessing removes from "
    "BOLD on purpose"
)
NUMBERS = (
    "the target is a weighted sum of 10 frames of one region; the mean and spread of tokens do not "
    "hold single frames"
)
CLASSES, VALUES = {"check_classifiers_train": BLOBS}, {"check_regressors_train": NUMBERS}
# (estimator, {check: reason of a declared failure}), at most three an estimator
ESTIMATORS: list[tuple] = [
    (BrainJEPA(preset="tiny", steps=2, random_state=0), {}),
    (BrainClassifier(preset="tiny", random_state=0), CLASSES),
    (BrainRegressor(preset="tiny", random_state=0), {}),
]
NETWORKS: list[tuple] = [
    (BrainClassifier(preset="tiny", mode="attentive", steps=3, random_state=0), CLASSES),
    (BrainClassifier(preset="tiny", mode="finetune", steps=3, random_state=0), CLASSES),
    (BrainRegressor(preset="tiny", mode="finetune", steps=3, random_state=0), VALUES),
]


def _declared(estimator) -> dict[str, str]:
    cases = [*ESTIMATORS, *NETWORKS]
    return next(reasons for own, reasons in cases if repr(own) == repr(estimator))


@parametrize_with_checks([own for own, _ in ESTIMATORS], expected_failed_checks=_declared)
def test_it_obeys_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([own for own, _ in NETWORKS], expected_failed_checks=_declared)
def test_networks_obey_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.mark.parametrize("case", [*ESTIMATORS, *NETWORKS], ids=lambda case: repr(case[0]))
def test_at_least_45_checks_run_and_at_most_three_failures_are_declared(case) -> None:
    assert len(list(estimator_checks_generator(case[0]))) >= 45
    assert len(case[1]) <= 3
