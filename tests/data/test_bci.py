from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.bci import BCIRecordings, BCIRun, cut_trials
from biojepa.data.simulate_bci import simulate_bci
from biojepa.errors import DataError
from tests.eeg.published import needs_eeg

FISTS = {"left": ("left",), "right": ("right",)}


def runs(n_runs: int = 2) -> BCIRecordings:
    values = np.arange(2 * 1000, dtype=np.float32).reshape(2, 1000)
    onsets, labels = np.array([0, 300, 600, 950]), ("left", "rest", "right", "left")
    made = tuple(BCIRun("a", f"r{k}", values, onsets, labels) for k in range(n_runs))
    return BCIRecordings("toy", made, ("C3", "C4"))


def test_trials_start_after_their_onset_and_end_inside_the_run() -> None:
    trials = cut_trials(runs(), FISTS, start_s=0.5, n_times=100)
    assert trials.y.tolist() == [0, 1, 0, 1]  # the last one would end beyond the run
    assert trials.X[1, 0, 0] == 600 + 64
    assert trials.block.tolist() == ["r0", "r0", "r1", "r1"]


@needs_eeg
def test_a_long_run_is_divided_into_stretches_of_time() -> None:
    recordings = simulate_bci("ssvep", n_subjects=1, n_runs=1, n_trials=12)
    classes = {f"{f} Hz": (f"{f} Hz",) for f in (13, 17, 21)}
    trials = cut_trials(recordings, classes, start_s=0.8, n_times=536, n_blocks=4)
    assert trials.block.tolist() == [f"run1/{k}" for k in (1, 2, 3, 4) for _ in range(3)]


def test_a_class_without_a_trial_is_an_error() -> None:
    with pytest.raises(DataError, match="trials of feet"):
        cut_trials(runs(), {"left": ("left",), "feet": ("feet",)}, start_s=0, n_times=10)


def test_channels_are_picked_by_name() -> None:
    assert (runs().pick(["C4"]).runs[0].values == runs().runs[0].values[1:]).all()
    with pytest.raises(DataError, match="got Oz"):
        runs().pick(["Oz"])


def test_pieces_for_pretraining_follow_each_other() -> None:
    (pieces,) = runs(1).pieces(2.0).values()
    assert pieces.shape == (3, 2, 256)
    assert pieces[1, 0, 0] == 256


def test_the_fingerprint_changes_with_labels_and_signals() -> None:
    trials = cut_trials(runs(), FISTS, start_s=0, n_times=10)
    before = trials.fingerprint()
    trials.X[0, 0, 0] += 1
    assert trials.fingerprint() != before
