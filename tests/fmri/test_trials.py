"""Trials cut out of runs."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.recording import Recording
from biojepa.errors import DataError
from biojepa.fmri.trials import cut_events, trial_cohort

EVENTS = [
    {"onset": 0.0, "duration": 8.0, "trial_type": "faces"},
    {"onset": 20.0, "duration": None, "trial_type": "button"},
    {"onset": 30.0, "duration": 8.0, "trial_type": "houses"},
    {"onset": 76.0, "duration": 8.0, "trial_type": "faces"},
]


def run(name: str = "r", labels: dict | None = None, frames=range(40)) -> Recording:
    """Frames at 2 s whose values are their place in the image."""
    values = np.tile(np.array(list(frames), dtype=np.float32), (3, 1))
    stored = {"events": EVENTS, "task": "t"} | (labels or {})
    return Recording(values, ("a", "b", "c"), 0.5, record_id=name, subject_id=name, labels=stored)


def test_a_piece_begins_a_delay_after_its_event_and_lasts_as_long() -> None:
    pieces = cut_events(run())
    assert [p.record_id for p in pieces] == ["r#000", "r#002"]
    assert pieces[0].values[0].tolist() == [2, 3, 4, 5]
    assert pieces[1].values[0].tolist() == [17, 18, 19, 20]
    assert pieces[1].labels == {"task": "t", "trial_type": "houses", "onset": 30.0}
    at_once = cut_events(run(), delay_s=0.0, trial_types=["faces"])
    assert [p.values[0].tolist() for p in at_once] == [[0, 1, 2, 3], [38, 39]]


def test_events_without_a_duration_take_a_window() -> None:
    pieces = cut_events(run(), window_s=6.0)
    assert [p.labels["trial_type"] for p in pieces] == ["faces", "button", "houses"]
    assert pieces[1].values[0].tolist() == [12, 13, 14]
    with pytest.raises(DataError, match="give window_s="):
        cut_events(run(), trial_types=["button"])


def test_frames_that_scrubbing_left_out_are_missing_in_the_pieces_and_nothing_moves() -> None:
    kept = [i for i in range(40) if i not in (3, 17)]
    pieces = cut_events(run(labels={"frames": kept, "n_frames": 40}, frames=kept))
    assert pieces[0].values[0].tolist() == [2, 4, 5]
    assert pieces[1].values[0].tolist() == [18, 19, 20]
    assert "frames" not in pieces[0].labels


def test_a_run_without_events_is_refused() -> None:
    with pytest.raises(DataError, match=r"r has none: read it with its _events\.tsv"):
        cut_events(run(labels={"events": []}))


def test_trials_of_several_runs_are_a_cohort_with_their_types() -> None:
    cohort = trial_cohort([run("a"), run("b")], name="blocks", title="blocks")
    assert cohort.column("trial_type").tolist() == ["faces", "houses"] * 2
    assert cohort.column("run").tolist() == ["a", "a", "b", "b"]
    assert cohort.subjects.tolist() == ["a", "a", "b", "b"]
