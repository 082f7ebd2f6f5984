from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from biojepa.errors import CheckpointError, DataError, LeakageError
from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.protocol import Protocol, Split, make_protocol
from biojepa.evaluation.rows import PriorClassifier, ScoreFolder, run_row
from tests.evaluation.toys import CHANCE, MeanClassifier, cohort, row


def test_every_judged_record_gets_a_score_from_out_of_its_fold() -> None:
    data = cohort()
    protocol = make_protocol(data.y, data.groups)
    scores = run_row(row("good", "jepa"), data, protocol, 0)
    assert np.isfinite(scores.values).all()
    assert macro_auc(data.y, scores.values) > 0.9
    assert scores.spent.wall_s > 0


def test_chance_is_chance() -> None:
    data = cohort(2000)
    protocol = make_protocol(data.y, data.groups, small=5000)
    values = run_row(CHANCE, data, protocol, 0).values
    assert macro_auc(data.y, values) == pytest.approx(0.5, abs=0.03)
    rate = data.y.mean(0)
    assert values.mean(0) == pytest.approx(np.log(rate / (1 - rate)), abs=0.15)


def test_shuffled_labels_teach_nothing() -> None:
    data = cohort(1000)
    shuffled = replace(data, y=np.random.default_rng(1).permutation(data.y))
    protocol = make_protocol(shuffled.y, data.groups)
    values = run_row(row("good", "jepa"), shuffled, protocol, 0).values
    assert macro_auc(shuffled.y, values) == pytest.approx(0.5, abs=0.06)


def test_a_split_that_shares_a_patient_is_refused_unless_it_is_allowed() -> None:
    data = cohort(20)
    nobody = np.empty(0, dtype=np.int64)
    leaky = Protocol((Split(np.arange(11), np.arange(11, 20), nobody),), "leaky")
    with pytest.raises(LeakageError, match="p5"):
        run_row(row("good", "jepa"), data, leaky, 0)
    run_row(row("good", "jepa"), data, leaky, 0, allow_leakage=True)


def test_patients_of_the_training_part_reach_the_classifier() -> None:
    seen = []

    class Spy(MeanClassifier):
        def fit(self, X, y, *, groups=None):
            seen.append((len(X), groups))
            return super().fit(X, y, groups=groups)

    data = cohort(50)
    spy = replace(row("spy", "jepa"), make=lambda seed, X: Spy(0.0, seed))
    run_row(spy, data, make_protocol(data.y, data.groups), 0)
    assert [len(groups) for _, groups in seen] == [n for n, _ in seen]
    assert len(seen) == 5


def test_scores_of_another_shape_are_refused() -> None:
    class Narrow(MeanClassifier):
        def decision_function(self, X):
            return super().decision_function(X)[:, :1]

    data = cohort(50)
    bad = replace(row("bad", "jepa"), make=lambda seed, X: Narrow(0.0, seed))
    with pytest.raises(DataError, match="of the row 'bad'"):
        run_row(bad, data, make_protocol(data.y, data.groups), 0)


def test_kept_scores_are_found_again_and_only_for_the_same_settings(tmp_path) -> None:
    data = cohort(50)
    good = row("good", "jepa")
    scores = run_row(good, data, make_protocol(data.y, data.groups), 3)
    folder = ScoreFolder(tmp_path, {"data": data.fingerprint()})
    assert folder.get(good, 3) is None
    folder.put(good, 3, scores)
    found = folder.get(good, 3)
    assert found is not None
    assert np.array_equal(found.values, scores.values)
    assert found.spent == scores.spent
    assert folder.get(good, 4) is None
    assert folder.get(replace(good, settings={"steps": 7}), 3) is None
    assert ScoreFolder(tmp_path, {"data": cohort(50, 1).fingerprint()}).get(good, 3) is None
    assert ScoreFolder(None, {}).get(good, 3) is None


def test_damaged_scores_are_an_error(tmp_path) -> None:
    data = cohort(50)
    good, folder = row("good", "jepa"), ScoreFolder(tmp_path, {})
    folder.put(good, 0, run_row(good, data, make_protocol(data.y, data.groups), 0))
    (path,) = tmp_path.glob("*/scores.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        folder.get(good, 0)


def test_the_fingerprint_follows_every_part_of_the_data() -> None:
    data = cohort(20)
    changed = data.X.copy()
    changed[3, 1, 7] += 1e-6
    others = [
        replace(data, X=changed),
        replace(data, y=1 - data.y),
        replace(data, groups=data.groups[::-1]),
        replace(data, classes=("A", "B", "D")),
    ]
    assert len({data.fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_chance_does_not_follow_the_order_of_the_records_through_the_folds():
    y = np.tile(np.repeat([1.0, 0.0], 10), 40)[:, None]  # every fold: positives first
    X = np.arange(800, dtype=np.float32).reshape(800, 1, 1)
    chance = PriorClassifier(random_state=0).fit(X, y)
    scores = np.concatenate([chance.decision_function(X[k : k + 20]) for k in range(0, 800, 20)])
    assert abs(macro_auc(y, scores) - 0.5) < 0.06
    assert np.array_equal(chance.decision_function(X[:20]), scores[:20])
