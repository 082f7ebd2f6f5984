from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import DataError
from biojepa.evaluation.rows import Scores
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.subjects import (
    SubjectRow,
    across_subjects,
    chance_bound,
    run_subject_row,
    strongest_classical,
    subject_results,
    subject_scores,
    subject_verdict,
    within_subjects,
)

SUBJECT = np.repeat(["a", "b"], 4)
BLOCK = np.tile(["1", "1", "2", "2"], 2)
Y = np.tile([0, 1], 4)


class Memory:
    """Answers what the first sample of a trial says."""

    def fit(self, X, y):
        self.seen = X[:, 0]
        return self

    def decision_function(self, X):
        assert not set(X[:, 0]) & set(self.seen)
        return X[:, 0] - 10.0


def test_within_a_subject_every_block_is_judged_by_the_others_of_the_subject() -> None:
    protocol = within_subjects(SUBJECT, BLOCK, blocks="run")
    assert [(f.subject, f.train.tolist(), f.test.tolist()) for f in protocol.folds] == [
        ("a", [2, 3], [0, 1]),
        ("a", [0, 1], [2, 3]),
        ("b", [6, 7], [4, 5]),
        ("b", [4, 5], [6, 7]),
    ]


def test_across_subjects_nobody_is_on_both_sides() -> None:
    for fold in across_subjects(SUBJECT).folds:
        assert set(SUBJECT[fold.test]) == {fold.subject}
        assert fold.subject not in SUBJECT[fold.train]


def test_one_subject_or_one_block_cannot_be_judged() -> None:
    with pytest.raises(DataError, match="two subjects"):
        across_subjects(["a", "a"])
    with pytest.raises(DataError, match="two blocks of subject b"):
        within_subjects(["a", "a", "b"], ["1", "2", "1"], blocks="run")


@pytest.mark.parametrize(
    ("n_trials", "bound"), [(20, 0.70), (40, 0.625), (72, 0.597), (144, 0.569), (288, 0.549)]
)
def test_the_bound_of_two_classes_is_the_binomial_one(n_trials, bound) -> None:
    assert chance_bound(np.arange(n_trials) % 2, "accuracy") == pytest.approx(bound, abs=6e-4)


def test_the_bound_of_an_auc_is_that_of_guessing() -> None:
    y = np.repeat([0, 1], [160, 32])
    rng = np.random.default_rng(0)
    guesses = [
        subject_scores(y, rng.standard_normal((192, 2)), np.full(192, "a"), "auc")["a"]
        for _ in range(2000)
    ]
    assert chance_bound(y, "auc") == pytest.approx(np.quantile(guesses, 0.95), abs=0.01)


def test_every_trial_is_scored_once_and_two_classes_have_two_columns() -> None:
    X = np.arange(8.0)[:, None] + 8
    row = SubjectRow("memory", "memory", "classical", lambda seed, fold: Memory())
    scores = run_subject_row(row, X, Y, within_subjects(SUBJECT, BLOCK, blocks="run"), 0)
    assert (scores.values[:, 1] == X[:, 0] - 10).all()
    assert (scores.values[:, 0] == -scores.values[:, 1]).all()


def test_scores_of_too_few_classes_are_refused() -> None:
    class Wide(Memory):
        def decision_function(self, X):
            return np.zeros((len(X), 3))

    row = SubjectRow("wide", "wide", "classical", lambda seed, fold: Wide())
    with pytest.raises(DataError, match="of the row 'wide'"):
        run_subject_row(row, np.arange(8.0)[:, None], Y, across_subjects(SUBJECT), 0)


def results():
    right = np.stack([1 - Y, Y], axis=1).astype(float)
    half = right.copy()
    half[:4] = half[:4, ::-1]  # subject a all wrong, b all right
    rows = [
        SubjectRow("good", "good", "classical", lambda s, f: None),
        SubjectRow("bad", "bad", "classical", lambda s, f: None),
        SubjectRow("own", "own", "jepa", lambda s, f: None),
    ]
    scores = {
        "good": {0: Scores(right, Spent(60, 30))},
        "bad": {0: Scores(1 - right, Spent())},
        "own": {0: Scores(half, Spent()), 1: Scores(right, Spent())},
    }
    return subject_results(rows, scores, Y, SUBJECT, "accuracy")


def test_a_row_has_a_score_a_subject_and_seed() -> None:
    good, bad, own = results()
    assert own.by_subject == {"a": [0.0, 1.0], "b": [1.0, 1.0]}
    assert (own.mean, good.cpu_minutes) == (0.75, 0.5)
    assert strongest_classical([good, bad, own]) is good


def test_the_difference_is_told_subject_by_subject_and_claims_nothing() -> None:
    good, _, own = results()
    gap = own.over(good)
    assert (dict(gap.by_subject), gap.mean) == ({"a": -0.5, "b": 0.0}, -0.25)
    assert (gap.low, gap.high, gap.n_above) == (-0.5, 0.0, 0)
    said = subject_verdict(own, good, what="toy", metric="accuracy", bound=0.7)
    assert "on average below good (1.000): difference -0.250, from -0.500 to +0.000" in said
    assert "above in 0 of 2; 1 of 2 beyond the bound of chance (0.700)" in said
    assert "cannot carry a claim of significance" in said


def test_level_rows_are_called_level() -> None:
    good, _, _ = results()
    assert "is level with" in subject_verdict(good, good, what="toy", metric="auc", bound=0.7)
