"""Which records a step sees."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.engine.plan import GroupedPlan, ShuffledPlan, WeightedPlan
from biojepa.errors import ConfigError, DataError


def epoch(plan, number: int) -> list[np.ndarray]:
    steps = plan.steps_per_epoch
    return [plan.indices(step) for step in range(number * steps, (number + 1) * steps)]


def test_every_epoch_is_another_permutation() -> None:
    plan = ShuffledPlan(24, 6, seed=0)
    first, second = (np.concatenate(epoch(plan, n)) for n in (0, 1))
    assert sorted(first) == sorted(second) == list(range(24))
    assert not np.array_equal(first, second)


def test_a_step_can_be_asked_for_in_any_order() -> None:
    forward = [ShuffledPlan(20, 6, seed=1).indices(step) for step in range(9)]
    plan = ShuffledPlan(20, 6, seed=1)
    for step in reversed(range(9)):
        assert np.array_equal(plan.indices(step), forward[step])


def test_a_rest_smaller_than_a_batch_waits_for_another_epoch() -> None:
    plan = ShuffledPlan(20, 6, seed=0)
    assert plan.steps_per_epoch == 3
    assert {len(batch) for batch in epoch(plan, 0)} == {6}
    seen = {i for n in range(30) for batch in epoch(plan, n) for i in batch}
    assert seen == set(range(20))


@pytest.mark.parametrize("n", [1, 5])
def test_fewer_records_than_a_batch_make_one_batch_of_all(n) -> None:
    plan = ShuffledPlan(n, 64, seed=0)
    assert plan.steps_per_epoch == 1
    assert sorted(plan.indices(17)) == list(range(n))


@pytest.mark.parametrize("plan", [lambda: ShuffledPlan(0, 4, 0), lambda: GroupedPlan([], 4, 0)])
def test_no_record_is_an_error(plan) -> None:
    with pytest.raises(DataError, match="at least 1 record"):
        plan()


def test_weighted_shares_follow_the_weights_and_records_are_even() -> None:
    plan = WeightedPlan([10, 1000, 5], [3.0, 1.0, 0.0], batch_size=100, seed=0)
    drawn = np.concatenate([plan.indices(step) for step in range(200)])
    assert drawn.max() < 1010
    assert (drawn < 10).mean() == pytest.approx(0.75, abs=0.01)
    counts = np.bincount(drawn[drawn < 10], minlength=10)
    assert counts.min() > 0.9 * counts.mean()


@pytest.mark.parametrize(
    ("sizes", "weights"), [([3], [1, 2]), ([3, 2], [1, -1]), ([3, 2], [0, 0]), ([3, 0], [1, 1])]
)
def test_weights_that_make_no_sense_are_refused(sizes, weights) -> None:
    with pytest.raises(ConfigError, match="expected"):
        WeightedPlan(sizes, weights, 4, 0)


def test_a_grouped_batch_holds_one_group_and_small_groups_are_seen() -> None:
    groups = np.array(["a"] * 11 + ["b"] * 7 + ["c"] * 2)
    plan = GroupedPlan(groups, 4, seed=0)
    batches = epoch(plan, 0)
    assert all(len(set(groups[batch])) == 1 for batch in batches)
    assert [len(b) for b in batches if groups[b[0]] == "c"] == [2]
    flat = np.concatenate(batches)
    assert len(set(flat)) == len(flat) == 8 + 4 + 2
    seen = {i for n in range(40) for batch in epoch(plan, n) for i in batch}
    assert seen == set(range(20))


@pytest.mark.parametrize("seed", [0, 9])
def test_watched_records_do_not_change_and_share_a_layout(seed) -> None:
    groups = np.array([0] * 11 + [1] * 7)
    for plan in (
        ShuffledPlan(18, 4, seed),
        WeightedPlan([11, 7], [1, 0], 4, seed),
        GroupedPlan(groups, 4, seed),
    ):
        watched = plan.watched(8)
        plan.indices(5)
        assert np.array_equal(watched, plan.watched(8))
        assert len(set(watched)) == 8
        if not isinstance(plan, ShuffledPlan):
            assert set(groups[watched]) == {0}
