"""Every check that scikit-learn yields for 2-D data, on every EEG estimator."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from biojepa.eeg import SignalJEPA, SignalJEPAClassifier
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
BLOBS = (
    "the classes differ in the offset and scale of a 2-sample record, which the band-pass and the "
    "local encoder remove from an EEG on purpose"
)
TRAIN = {"check_classifiers_train": BLOBS}
# (estimator, {check: reason of a declared failure}), at most three an estimator
ESTIMATORS: list[tuple] = [
    (SignalJEPA(preset="tiny", steps=2, random_state=0), {}),
    (SignalJEPAClassifier(preset="tiny", epochs=8, lr=1e-2, random_state=0), TRAIN),
]


def _declared(estimator) -> dict[str, str]:
    return next(reasons for own, reasons in ESTIMATORS if repr(own) == repr(estimator))


@parametrize_with_checks(
    [estimator for estimator, _ in ESTIMATORS], expected_failed_checks=_declared
)
def test_it_obeys_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: type(case[0]).__name__)
def test_at_most_three_failures_are_declared(case) -> None:
    assert len(case[1]) <= 3
