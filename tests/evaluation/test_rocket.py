"""Hydra and MultiRocket: run where aeon is installed; elsewhere the way round it, and the error."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone

from biojepa.data.simulate import simulate_ecg
from biojepa.errors import ConfigError, DataError, MissingDependencyError
from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.rocket import MODULE, RocketClassifier

COHORT = simulate_ecg(90, rate_hz=100, duration_s=4, random_state=2)
needs_aeon = pytest.mark.skipif(
    find_spec("aeon") is None, reason="aeon is not installed (its numba does not know NumPy 2.4)"
)


class _Projections:
    """Random projections with the shape of aeon's transformers."""

    def __init__(self, n_out: int, random_state: int) -> None:
        self.n_out, self.random_state = n_out, random_state

    def fit(self, X: np.ndarray) -> _Projections:
        torch.manual_seed(self.random_state)  # as Hydra does
        self.weight = np.random.default_rng(self.random_state).standard_normal(
            (X[0].size, self.n_out)
        )
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return (X.reshape(len(X), -1) @ self.weight).astype(np.float32)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package in place of aeon, for everything around the convolutions."""
    module = SimpleNamespace(
        HydraTransformer=lambda n_groups, n_jobs, output_type, random_state: _Projections(
            n_groups, random_state
        ),
        MultiRocket=lambda n_kernels, n_jobs, random_state: _Projections(n_kernels, random_state),
    )
    parts = MODULE.split(".")
    for i in range(1, len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), ModuleType(parts[0]))
    monkeypatch.setitem(sys.modules, MODULE, module)


def _classifier(**options) -> RocketClassifier:
    options = {"fs": 100, "n_kernels": 84, "n_groups": 8, "random_state": 0} | options
    return RocketClassifier(leads=COHORT.leads, **options)


@needs_aeon
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_random_convolutions_find_the_simulated_classes_and_draw_the_same_again() -> None:
    train = COHORT.patient_id % 2 == 0
    y = COHORT.y.astype(float)
    y[np.flatnonzero(train)[:5], 1] = np.nan
    classifier = _classifier(n_kernels=336).fit(COHORT.values[train], y[train])
    proba = classifier.predict_proba(COHORT.values[~train])
    assert macro_auc(COHORT.y[~train], proba) > 0.6
    again = clone(classifier).fit(COHORT.values[train], y[train])
    np.testing.assert_array_equal(again.predict_proba(COHORT.values[~train]), proba)


@pytest.mark.usefixtures("stand_in")
def test_columns_with_unknown_labels_fit_and_the_global_generator_is_left_alone() -> None:
    y = COHORT.y.astype(float)
    y[:9, 2] = np.nan
    torch.manual_seed(5)
    state = torch.get_rng_state()
    classifier = _classifier().fit(COHORT.values, y, groups=COHORT.patient_id)
    assert torch.equal(torch.get_rng_state(), state)
    proba = classifier.predict_proba(COHORT.values)
    assert proba.shape == (90, 5)
    assert ((proba > 0) & (proba < 1)).all()
    np.testing.assert_array_equal(
        classifier.predict(COHORT.values), (classifier.decision_function(COHORT.values) > 0)
    )
    single = clone(classifier).fit(COHORT.values, COHORT.rhythm == "SR")
    assert single.decision_function(COHORT.values).shape == (90,)


@pytest.mark.usefixtures("stand_in")
def test_faster_signals_come_to_the_same_rate_and_gaps_count_as_zero() -> None:
    fast = simulate_ecg(90, rate_hz=200, duration_s=4, random_state=2)
    slow = _classifier()._signals(COHORT.values)
    found = _classifier(fs=200)._signals(fast.values)
    assert found.shape == slow.shape
    assert np.corrcoef(found[:, 1].ravel(), slow[:, 1].ravel())[0, 1] > 0.95
    values = COHORT.values.copy()
    values[3, 2] = np.nan
    assert np.isfinite(_classifier().fit(values, COHORT.y).decision_function(values)).all()


@pytest.mark.usefixtures("stand_in")
def test_what_cannot_be_used_is_refused() -> None:
    values = list(COHORT.values)
    with pytest.raises(DataError, match="of one length"):
        _classifier().fit([*values[:-1], values[-1][:, :300]], COHORT.y)
    fitted = _classifier().fit(values, COHORT.y)
    with pytest.raises(DataError, match="400 samples at 100 Hz"):
        fitted.predict(COHORT.values[:, :, :200])
    with pytest.raises(ConfigError, match="rate_hz above 0"):
        _classifier(rate_hz=0.0).fit(values, COHORT.y)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aeon", None)
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(MissingDependencyError, match=r"biojepa\[bench\]"):
        _classifier().fit(COHORT.values, COHORT.y)
