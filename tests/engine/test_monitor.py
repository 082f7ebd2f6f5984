"""The non-finite guard, the collapse alarm, the best score, and signals."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from biojepa.engine import TrainConfig, train
from biojepa.engine.monitor import BestScore, CollapseAlarm, FiniteGuard, stop_on_signals
from biojepa.engine.randomness import BatchKey
from biojepa.engine.schedules import Constant
from biojepa.engine.target import Target
from biojepa.errors import CollapseWarning, ConfigError, TrainingError
from tests.engine.toys import TOYS, ToySignals, toy_jepa

FINE, BAD = torch.tensor([1.0]), torch.tensor([torch.nan])


def test_the_guard_counts_skips_and_gives_up_after_too_many_in_a_row() -> None:
    guard = FiniteGuard(3)
    loss = torch.tensor(1.0)
    assert guard.accept(loss, FINE, 0)
    assert not guard.accept(loss, BAD, 1)
    assert not guard.accept(torch.tensor(torch.inf), FINE, 2)
    assert guard.accept(loss, FINE, 3)
    assert (guard.skipped, guard.in_a_row) == (2, 0)
    assert not guard.accept(loss, BAD, 4)
    assert not guard.accept(loss, BAD, 5)
    with pytest.raises(TrainingError, match="3 steps in a row, last at step 6"):
        guard.accept(loss, BAD, 6)


def test_a_step_without_any_gradient_is_judged_by_its_loss() -> None:
    assert FiniteGuard(2).accept(torch.tensor(1.0), torch.zeros(0), 0)


def health(rank: float, std: float = 0.1) -> dict[str, float]:
    return {"rankme": rank, "std": std, "dim": 64.0}


def test_the_alarm_needs_patience_and_warns_once() -> None:
    alarm = CollapseAlarm(2)
    assert not alarm.check(health(6.0), 1)
    assert not alarm.check(health(7.0), 2)
    assert not alarm.check(health(6.0), 3)
    with pytest.warns(CollapseWarning, match="step 4: RankMe 30.0 of 64"):
        assert alarm.check(health(30.0, std=0.009), 4)
    assert alarm.check(health(1.0), 5)
    assert not alarm.check(health(30.0), 6)
    assert not alarm.check({}, 7)


def test_the_alarm_can_stop_the_run() -> None:
    with pytest.raises(TrainingError, match="collapsing"):
        CollapseAlarm(1, stop=True).check(health(1.0), 1)


def test_the_best_score_waits_and_is_never_nan() -> None:
    best = BestScore("max", patience=2)
    assert not best.update(float("nan"), 1)
    assert best.update(0.5, 2)
    assert not best.update(0.5, 3)
    assert not best.exhausted
    assert not best.update(float("nan"), 4)
    assert best.exhausted
    assert (best.value, best.step) == (0.5, 2)
    lowest = BestScore("min")
    assert [lowest.update(v, i) for i, v in enumerate((3.0, 4.0, 2.0))] == [True, False, True]
    assert BestScore(**lowest.state()) == lowest
    with pytest.raises(ConfigError, match="'lowest'"):
        BestScore("lowest")


def test_a_signal_is_noted_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(True) as request:
        assert not request.agreed()
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.agreed()
        assert request.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_no_handler_is_set() -> None:
    seen = []

    def run() -> None:
        with stop_on_signals(True) as request:
            seen.append(request.agreed())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


class Poisoned(ToySignals):
    """One record is not a signal."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.values[5] = value

    def fetch(self, indices: np.ndarray, key: BatchKey) -> Tensor:
        return self.values[torch.as_tensor(indices)]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e25])
@pytest.mark.parametrize("toy", sorted(TOYS))
def test_a_poisoned_record_is_skipped_and_everything_stays_finite(toy, value) -> None:
    objective = TOYS[toy]()
    config = TrainConfig(steps=12, batch_size=16, warmup_steps=2, device="cpu", diagnose_every=0)
    result = train(objective, Poisoned(value), config, progress=False)
    # layer norms and cosines take 1e25 in their stride, and then nothing has to be skipped
    assert result.skipped in ((4,) if value != 1e25 else (0, 4))
    assert all(v.isfinite().all() for v in objective.state_dict().values())


def test_only_poisoned_records_end_the_run() -> None:
    data = ToySignals()
    data.values[:] = torch.nan
    config = TrainConfig(steps=9, batch_size=16, warmup_steps=2, device="cpu", max_skipped=4)
    with pytest.raises(TrainingError, match="4 steps in a row"):
        train(toy_jepa(), data, config, progress=False)


def test_a_constant_target_raises_the_collapse_alarm() -> None:
    class Constantly(ToySignals):
        def fetch(self, indices, key):
            return torch.ones(len(indices), 3, 40)

    config = TrainConfig(
        steps=6, batch_size=16, warmup_steps=2, device="cpu", diagnose_every=1, collapse_patience=3
    )
    with pytest.warns(CollapseWarning, match="step 3"):
        result = train(toy_jepa(), Constantly(), config, progress=False)
    assert result.collapsed
    assert [row["alarm"] for row in result.rows] == [0, 0, 1, 1, 1, 1]


def test_a_hundred_times_the_learning_rate_raises_the_collapse_alarm() -> None:
    config = TrainConfig(
        steps=60,
        batch_size=16,
        warmup_steps=2,
        lr=0.3,
        final_lr=0.3,
        device="cpu",
        diagnose_every=5,
        stop_on_collapse=True,
    )
    objective = toy_jepa(target=Target(momentum=Constant(0.5)))
    with pytest.raises(TrainingError, match="collapsing"):
        train(objective, ToySignals(), config, progress=False)
