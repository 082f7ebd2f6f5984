from __future__ import annotations

import json

import pytest

from biojepa.data.simulate_bci import simulate_bci
from biojepa.eeg import window_study
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


def quiet(text: str) -> None:
    pass


def test_every_window_and_mask_is_judged_on_people_it_was_not_pretrained_on() -> None:
    recordings = simulate_bci("mi", n_subjects=2, n_runs=2, n_trials=6)
    found = window_study.window_mask(
        recordings,
        tokens=(1, 2),
        radii=(0.4, 0.8),
        preset="tiny",
        steps=1,
        head_steps=1,
        say=quiet,
    )
    assert found["halves"] == [["sim01"], ["sim02"]]
    assert [(r["tokens"], r["radius"]) for r in found["rows"][::2]] == [
        (1, 0.4),
        (1, 0.8),
        (2, 0.4),
        (2, 0.8),
    ]
    random = {r["head"]: r["mean"] for r in found["random"]}
    for row in found["rows"]:
        assert set(row["subjects"]) == {"sim01", "sim02"}
        assert row["over_random"]["mean"] == pytest.approx(row["mean"] - random[row["head"]])
    json.dumps(found)
    losses = [r["pretraining_loss"] for r in found["rows"][::2]]
    assert losses[0] != losses[1]
    assert losses[2] != losses[3]
    figure = window_study.plot_window_mask(found)
    assert len(figure.axes) == 2
