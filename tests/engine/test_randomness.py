"""Counter-based randomness: pure functions of (seed, purpose, place), nobody else's state."""

from __future__ import annotations

import random

import numpy as np
import torch

from biojepa.engine import TrainConfig, train
from biojepa.engine.randomness import (
    BatchKey,
    keyed_torch_rng,
    numpy_generator,
    torch_generator,
    torch_seed,
)
from tests.engine.toys import ToySignals, toy_jepa


def test_a_draw_depends_on_seed_purpose_and_place_only() -> None:
    first = numpy_generator(3, "mask", 7).random(4)
    numpy_generator(3, "crop", 7).random(100)
    assert np.array_equal(numpy_generator(3, "mask", 7).random(4), first)
    for other in [(4, "mask", 7), (3, "crop", 7), (3, "mask", 8)]:
        assert not np.array_equal(numpy_generator(*other).random(4), first)


def test_torch_seeds_differ_between_places_and_fit_63_bits() -> None:
    seeds = {torch_seed(0, "drop", step, micro) for step in range(100) for micro in range(2)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    a, b = (torch_generator(1, "forward", 5) for _ in range(2))
    assert torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b))


def test_slices_of_ranks_see_one_table() -> None:
    def draw(rows: np.ndarray) -> np.ndarray:
        key = BatchKey(seed=0, step=4, rows=rows, size=10)
        return key.generator("mask").random((key.size, 3))[key.rows]

    whole = draw(np.arange(10))
    parts = [draw(rows) for rows in np.array_split(np.arange(10), 4)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_initialisation_and_training_leave_the_callers_generators_alone(tmp_path) -> None:
    torch.manual_seed(11)
    np.random.seed(12)  # noqa: NPY002
    random.seed(13)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    config = TrainConfig(steps=3, batch_size=8, warmup_steps=1, device="cpu", diagnose_every=2)
    train(toy_jepa(dropout=0.1), ToySignals(), config, tmp_path, progress=False)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]


def test_the_callers_state_does_not_enter_training() -> None:
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        config = TrainConfig(steps=3, batch_size=8, warmup_steps=1, device="cpu", log_every=1)
        result = train(toy_jepa(dropout=0.2), ToySignals(), config, progress=False)
        losses.append([row["loss"] for row in result.rows])
    assert losses[0] == losses[1]


def test_the_callers_state_comes_back_after_an_error() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    try:
        with keyed_torch_rng(0, "init"):
            torch.rand(3)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), before)
