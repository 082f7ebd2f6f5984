"""Supervised training from scratch: it learns, stops early, and is called like the others."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.base import clone

from biojepa.data.simulate import simulate_ecg
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.ecg.scratch import ResNetClassifier
from biojepa.errors import ConfigError, DataError
from biojepa.evaluation.metrics import macro_auc

NAN = float("nan")


@cache
def _cohort(n: int = 60) -> ECGCohort:
    return simulate_ecg(n, rate_hz=100, random_state=1)


def _classifier(**options) -> ResNetClassifier:
    small = {"widths": (8, 12), "steps": 6, "batch_size": 16, "patience": None, "random_state": 0}
    return ResNetClassifier(fs=100, leads=_cohort().leads, **(small | options))


def test_it_learns_the_simulated_classes() -> None:
    cohort = simulate_ecg(200, rate_hz=100, random_state=7)
    train = cohort.patient_id % 2 == 0
    classifier = _classifier(widths=(16, 24, 32), steps=120, patience=4, evaluate_every=20)
    classifier.fit(cohort.values[train], cohort.y[train], groups=cohort.patient_id[train])
    assert macro_auc(cohort.y[~train], classifier.predict_proba(cohort.values[~train])) > 0.6
    assert max(row["val_auc"] for row in classifier.history_ if "val_auc" in row) > 0.6
    assert classifier.preprocess_.normalise == "none"


def test_early_stopping_holds_out_whole_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    from biojepa.ecg import finetune

    seen: list[set] = []
    folds = finetune.patient_folds

    def spy(groups, labels, **options):
        found = folds(groups, labels, **options)
        train, held = found[0]
        seen.append(set(np.asarray(groups)[train]) & set(np.asarray(groups)[held]))
        return found

    monkeypatch.setattr(finetune, "patient_folds", spy)
    patients = np.arange(60) // 3
    _classifier(patience=2, evaluate_every=2).fit(_cohort().values, _cohort().y, groups=patients)
    assert seen == [set()]


def test_refit_and_clone_give_the_same_numbers_and_unknown_labels_fit() -> None:
    X, y = _cohort().values, _cohort().y.astype(float)
    y[:5, 2], y[7] = NAN, NAN
    before = X.copy()
    first = _classifier().fit(X, y)
    proba = first.predict_proba(X)
    assert proba.shape == (60, 5)
    np.testing.assert_array_equal(clone(first).fit(X, y).predict_proba(X), proba)
    np.testing.assert_array_equal(X, before)
    other = _classifier(random_state=1).fit(X, y).predict_proba(X)
    assert np.abs(other - proba).max() > 1e-3


def test_any_rate_length_and_leads() -> None:
    cohort = _cohort()
    fitted = _classifier().fit(cohort.values, cohort.rhythm == "SR")
    assert fitted.decision_function(cohort.values).shape == (60,)
    fast = simulate_ecg(8, rate_hz=250, random_state=1)
    scores = fitted.set_params(fs=250).decision_function(fast.values)
    slow = fitted.set_params(fs=100).decision_function(cohort.values[:8])
    assert np.corrcoef(scores, slow)[0, 1] > 0.9
    short = fitted.decision_function([v[:, :30] for v in cohort.values[:3]])
    assert np.isfinite(short).all()
    flat = cohort.values[:4].copy()
    flat[0], flat[1, 3], flat[2] = 0, NAN, NAN
    assert np.isfinite(fitted.decision_function(flat)).all()
    alone = ResNetClassifier(fs=100, leads=["II"], widths=(8,), steps=4, patience=None)
    assert alone.fit(cohort.values[:, 1:2], cohort.y).predict(cohort.values[:, 1:2]).shape == (
        60,
        5,
    )


def test_what_cannot_be_used_is_refused() -> None:
    X, y = _cohort().values, _cohort().y
    with pytest.raises(ConfigError, match="validation_fraction"):
        _classifier(validation_fraction=0.9).fit(X, y)
    with pytest.raises(ConfigError, match="crop_s"):
        _classifier(crop_s=0.1).fit(X, y)
    with pytest.raises(DataError, match="patients in groups"):
        _classifier().fit(X, y, groups=[1, 2])


def test_a_record_gets_the_same_answer_alone() -> None:
    X = _cohort().values[:8]
    fitted = _classifier().fit(_cohort().values, _cohort().y)
    alone = np.concatenate([fitted.decision_function(record[None]) for record in X])
    np.testing.assert_allclose(alone, fitted.decision_function(X), atol=1e-6)
