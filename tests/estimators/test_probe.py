"""The linear probe: scikit-learn's contract, unknown labels, constant columns."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from biojepa.errors import CheckpointError, ConfigError, DataError
from biojepa.estimators.labels import LabelCode, class_weights, draw_seed, read_labels
from biojepa.estimators.probe import LinearProbe


@parametrize_with_checks([LinearProbe(C=1.0)])
def test_it_obeys_scikit_learn(estimator, check) -> None:
    check(estimator)


def _data(n: int = 120, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 6)) * [1, 10, 0.1, 1, 1, 1] + 5
    noise = rng.standard_normal((n, k))
    return X, (StandardScaler().fit_transform(X)[:, :k] + 0.5 * noise > 0).astype(int)


def test_classes_are_those_of_scaler_and_logistic_regression() -> None:
    X, y = _data()
    names = np.array(["NORM", "MI", "CD"])[y[:, 0] + y[:, 1]]
    probe = LinearProbe(C=0.1).fit(X, names)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    reference.fit(X, names)
    np.testing.assert_allclose(probe.predict_proba(X), reference.predict_proba(X), atol=1e-12)
    assert (probe.predict(X) == reference.predict(X)).all()
    assert probe.classes_.tolist() == ["CD", "MI", "NORM"]


def test_each_column_is_a_regression_on_its_known_records() -> None:
    X, y = _data()
    y = y.astype(float)
    y[::4, 1] = np.nan
    probe = LinearProbe(C=0.1, class_weight="balanced").fit(X, y)
    Z = StandardScaler().fit_transform(X)
    known = ~np.isnan(y[:, 1])
    one = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    one.fit(Z[known], y[known, 1])
    np.testing.assert_allclose(probe.predict_proba(X)[:, 1], one.predict_proba(Z)[:, 1], atol=1e-9)
    scores = probe.decision_function(X)
    np.testing.assert_allclose(probe.predict_proba(X), expit(scores), atol=1e-12)
    np.testing.assert_array_equal(probe.predict(X), (scores > 0).astype(float))


def test_a_column_of_one_class_predicts_it() -> None:
    X, y = _data()
    y[:, 1], y[:, 2] = 1, 0
    probe = LinearProbe().fit(X, y)
    assert probe.predict(X)[:, 1:].tolist() == [[1, 0]] * len(X)
    np.testing.assert_allclose(probe.predict_proba(X)[:, 1:], [[1.0, 0.0]] * len(X), atol=1e-15)


def test_rounding_noise_of_a_float32_feature_is_not_blown_up() -> None:
    X, y = _data()
    noisy = X.astype(np.float32)
    noisy[:, 5] = 1.0 + np.random.default_rng(0).choice([0.0, 1.2e-7], len(X))
    probe = LinearProbe(C=1.0).fit(noisy, y[:, 0])
    assert probe.scaler_.scale_[5] == 1.0
    assert abs(probe.coef_[0, 5]) < 1e-6
    assert (probe.scaler_.scale_[:5] != 1.0).all()


def test_a_probe_of_arrays_predicts_the_same_and_refuses_other_shapes() -> None:
    X, y = _data()
    for labels in (y, y[:, 0], y.sum(1)):
        probe = LinearProbe().fit(X, labels)
        code = LabelCode.from_config(json.loads(json.dumps(probe._code.to_config())))
        again = LinearProbe.from_state(probe.export_state(), code)
        np.testing.assert_array_equal(again.predict_proba(X), probe.predict_proba(X))
        assert again.predict(X).dtype == probe.predict(X).dtype
    with pytest.raises(CheckpointError, match="4 classes"):
        LinearProbe.from_state(probe.export_state() | {"coef": np.zeros((3, 6))}, code)
    with pytest.raises(CheckpointError, match="dtype"):
        LabelCode.from_config({"classes": [0, 1]})


def test_scikit_learns_scorer_sees_two_columns_as_two_labels() -> None:
    X, y = _data(k=2)
    scores = cross_val_score(LinearProbe(C=1.0), X, y, scoring="roc_auc", cv=3)
    assert scores.min() > 0.8


@pytest.mark.parametrize(
    ("y", "word"),
    [
        (None, "requires y"),
        ([0, 1], "one label a record"),
        ([0.0, np.nan, 1.0, 1.0], "NaN"),
        (["a", None, "b", "b"], "None for 1"),
        ([1, 1, 1, 1], "one class"),
        ([[0, 2], [1, 1], [0, 0], [0, 1]], "got 2"),
        ([[np.nan] * 2] * 4, "only NaN"),
        ([["a"], ["a", "b"], [], ["b"]], "unequal"),
        ([["a", "b"]] * 4, "0, 1 or NaN"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(y, word: str) -> None:
    with pytest.raises(DataError, match=word):
        read_labels(y, 4, estimator="LinearProbe")


def test_a_column_without_a_known_label_is_refused() -> None:
    X, y = _data()
    y = y.astype(float)
    y[:, 2] = np.nan
    with pytest.raises(DataError, match="every column"):
        LinearProbe().fit(X, y)


def test_pandas_labels_of_any_dtype_are_read() -> None:
    frame = pd.DataFrame({"MI": [0, 1, None, 1], "CD": [True, False, True, False]})
    code, labels = read_labels(frame, 4, estimator="LinearProbe")
    assert code.columns
    np.testing.assert_array_equal(labels, [[0, 1], [1, 0], [np.nan, 1], [1, 0]])
    code, labels = read_labels(pd.Series(["b", "a", "b"]), 3, estimator="LinearProbe")
    assert list(code.classes) == ["a", "b"]
    assert labels.tolist() == [1, 0, 1]


def test_balanced_weights_give_both_classes_the_same_total() -> None:
    y = np.array([[1, 0], [0, 0], [0, 0], [np.nan, 0]])
    code, labels = read_labels(y, 4, estimator="LinearProbe")
    negative, positive = class_weights(code, labels, "balanced")
    assert negative.tolist() == [0.75, 1.0]
    assert (negative * positive).tolist() == [1.5, 1.0]
    code, labels = read_labels(["a", "b", "b", "b"], 4, estimator="LinearProbe")
    weights, none = class_weights(code, labels, {"a": 3.0})
    assert weights.tolist() == [3.0, 1.0]
    assert none is None
    with pytest.raises(ConfigError, match="class_weight"):
        class_weights(code, labels, "even")


def test_a_seed_of_none_leaves_numpys_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw_seed(None)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert draw_seed(7) == 7
    assert draw_seed(np.random.default_rng(0)) == draw_seed(np.random.default_rng(0))
    with pytest.raises(ConfigError, match="random_state"):
        draw_seed("seed")
