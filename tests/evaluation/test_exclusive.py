from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from biojepa.errors import DataError
from biojepa.evaluation.calibration import probabilities
from biojepa.evaluation.exclusive import (
    OneOf,
    accuracy,
    class_numbers,
    fit_softmax_temperature,
    most_likely,
    softmax_probabilities,
)
from biojepa.evaluation.protocol import make_protocol
from biojepa.evaluation.rows import LabelledSignals, Row, fitted, run_row
from biojepa.evaluation.table import make_table
from tests.evaluation.toys import CHANCE


class Multinomial:
    """scikit-learn's softmax regression on the mean of each channel."""

    def fit(self, X, y, *, groups=None):
        self.seen = y
        self.model = LogisticRegression().fit(X.mean(-1), y)
        return self

    def decision_function(self, X):
        return self.model.decision_function(X.mean(-1))


ROW = Row("softmax", "softmax", "jepa", lambda seed, X: Multinomial())


@pytest.fixture(scope="module")
def data() -> LabelledSignals:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 300)
    y = np.eye(3)[label]
    X = 2.0 * rng.standard_normal((300, 4, 50))
    X[:, :3] += 0.6 * y[:, :, None]
    patients = np.array([f"p{i // 2}" for i in range(300)])
    return LabelledSignals(X.astype(np.float32), y, patients, ("A", "B", "C"), exclusive=True)


def test_the_classifier_is_fitted_on_classes_and_its_probabilities_sum_to_one(data) -> None:
    everyone = np.arange(300)
    model = fitted(ROW, data, everyone, everyone, 0)
    assert isinstance(model, OneOf)
    assert model.classifier.seen.tolist() == data.y.argmax(1).tolist()
    scores = model.decision_function(data.X)
    expected = model.classifier.model.predict_proba(data.X.mean(-1))
    assert probabilities(scores) == pytest.approx(expected, abs=1e-6)
    assert softmax_probabilities(scores) == pytest.approx(expected, abs=1e-6)


def test_a_class_without_training_records_and_two_classes_are_answered() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2, 10))
    y = np.zeros((40, 4))
    y[np.arange(40), np.where(X.mean((1, 2)) > 0, 3, 1)] = 1
    scores = OneOf(Multinomial()).fit(X, y).decision_function(X)
    assert scores.shape == (40, 4)
    assert np.isfinite(scores).all()
    assert expit(scores).sum(1) == pytest.approx(1.0)
    assert set(scores.argmax(1)) == {1, 3}
    assert expit(scores[:, [0, 2]]).max() < 1e-12


def test_the_table_of_such_a_task_has_accuracy_and_the_f1_of_the_likeliest_class(data) -> None:
    protocol = make_protocol(data.y, data.groups)
    scores = {row.name: {0: run_row(row, data, protocol, 0)} for row in (CHANCE, ROW)}
    chance, own = make_table([CHANCE, ROW], scores, data, protocol, n_resamples=50)
    truth, values = data.y.argmax(1), scores["softmax"][0].values
    assert own.accuracy == pytest.approx(accuracy_score(truth, values.argmax(1)))
    assert own.f1 == pytest.approx(f1_score(truth, values.argmax(1), average="macro"))
    expected = roc_auc_score(truth, softmax_probabilities(values), multi_class="ovr")
    assert own.auc.point == pytest.approx(expected)
    assert chance.accuracy == pytest.approx(1 / 3, abs=0.1)
    assert own.numbers()["accuracy"] == own.accuracy


def test_the_temperature_is_that_of_the_softmax(data) -> None:
    everyone = np.arange(300)
    scores = fitted(ROW, data, everyone, everyone, 0).decision_function(data.X)
    log_p = np.log(softmax_probabilities(scores))
    sure = 3.0 * log_p - np.log(np.exp(3.0 * log_p).sum(1, keepdims=True))
    sure = sure - np.log1p(-np.exp(sure))  # as log odds
    honest, found = (fit_softmax_temperature(data.y, s) for s in (scores, sure))
    assert found == pytest.approx(3.0 * honest, rel=1e-3)
    said = softmax_probabilities(sure, found)
    assert said == pytest.approx(softmax_probabilities(scores, honest), abs=1e-3)
    assert said.sum(1) == pytest.approx(1.0)


def test_scores_of_a_task_of_single_questions_are_not_reused(data) -> None:
    assert data.fingerprint() != replace(data, exclusive=False).fingerprint()


@pytest.mark.parametrize("row", [[0, 0], [1, 1], [np.nan, 1]])
def test_a_record_without_exactly_one_class_is_refused(row) -> None:
    y = np.array([[0, 1], row])
    with pytest.raises(DataError, match=r"exactly one class a record.*row 1"):
        class_numbers(y)
    with pytest.raises(DataError, match="exactly one class"):
        LabelledSignals(np.zeros((2, 1, 5), np.float32), y, np.arange(2), ("A", "B"), True)


def test_answers_by_hand() -> None:
    y, scores = np.eye(2)[[0, 1, 1]], np.array([[2.0, 1.0], [0.5, 0.1], [-1.0, 0.0]])
    assert accuracy(y, scores) == pytest.approx(2 / 3)
    assert most_likely(scores).tolist() == [[1, 0], [1, 0], [0, 1]]
