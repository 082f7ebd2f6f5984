"""Every check that scikit-learn yields for 2-D data, on every fMRI estimator."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from biojepa.fmri import BrainJEPA

ESTIMATORS: list[tuple] = [(BrainJEPA(preset="tiny", steps=2, random_state=0), {})]


def _declared(estimator) -> dict[str, str]:
    return next(reasons for own, reasons in ESTIMATORS if repr(own) == repr(estimator))


@parametrize_with_checks(
    [estimator for estimator, _ in ESTIMATORS], expected_failed_checks=_declared
)
def test_it_obeys_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: type(case[0]).__name__)
def test_at_least_45_checks_run_and_at_most_three_failures_are_declared(case) -> None:
    assert len(list(estimator_checks_generator(case[0]))) >= 45
    assert len(case[1]) <= 3
