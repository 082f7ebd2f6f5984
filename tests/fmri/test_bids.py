"""Names and events of BIDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError
from biojepa.fmri.bids import Event, entities, find_events, read_events, with_bids

IMAGE = "sub-01_ses-2_task-faces_run-1_space-MNI_desc-preproc_bold.nii.gz"
TABLE = "onset\tduration\ttrial_type\n"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TABLE + "0\t2\ta\n")
    return path


def run(n_times: int = 40, labels: dict | None = None) -> Recording:
    return Recording(np.zeros((3, n_times), np.float32), ("a", "b", "c"), 0.5, labels=labels or {})


def test_a_name_is_taken_apart_and_one_that_is_none_has_no_parts() -> None:
    assert entities(f"/data/{IMAGE}")["task"] == "faces"
    assert entities(IMAGE)["sub"] == "01"
    assert entities("bold.nii.gz") == entities("task-faces_bold.nii") == {}


def test_the_events_that_say_most_of_the_image_are_found(tmp_path) -> None:
    bids, image = tmp_path / "bids", tmp_path / "derivatives" / IMAGE
    image.parent.mkdir()
    assert find_events(image, root=bids) is None
    wrong = touch(bids / "sub-01" / "ses-2" / "func" / "sub-01_ses-2_task-faces_run-2_events.tsv")
    touch(bids / "sub-02" / "func" / "sub-02_task-faces_events.tsv")
    assert find_events(image, root=bids) is None
    shared = touch(bids / "task-faces_events.tsv")
    assert find_events(image, root=bids) == shared
    own = touch(wrong.with_name("sub-01_ses-2_task-faces_run-1_events.tsv"))
    assert find_events(image, root=bids) == own
    assert find_events(image) is None
    beside = touch(image.with_name("sub-01_task-faces_events.tsv"))
    assert find_events(image) == beside
    assert find_events(tmp_path / "bold.nii.gz", root=bids) is None


def test_events_are_read_by_onset_and_those_without_a_type_are_left_out(tmp_path) -> None:
    path = tmp_path / "e.tsv"
    path.write_text(
        "onset\tresponse_time\tduration\ttrial_type\n"
        "10.5\t0.4\t2\tgo\n-1\tn/a\tn/a\tstop \n12\t0.2\t1\tn/a\n"
    )
    assert read_events(path) == (Event(-1.0, None, "stop"), Event(10.5, 2.0, "go"))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", DataError, "expected the columns onset"),
        ("onset\tduration\n0\t1\n", DataError, "trial_type missing"),
        ("onset,duration,trial_type\n0,1,a\n", DataError, "separated by tabs"),
        (TABLE, DataError, "expected events with a trial_type"),
        (TABLE + "0\t1\tn/a\n", DataError, "expected events with a trial_type"),
        (TABLE + "0\t1\ta\n1\t1\n", FormatError, "row 3: expected 3 cells, got 2"),
        (TABLE + "soon\t1\ta\n", FormatError, "row 2: onset: expected seconds, got 'soon'"),
        (TABLE + "0\tinf\ta\n", FormatError, "row 2: duration: expected seconds"),
        (TABLE + "n/a\t1\ta\n", FormatError, "expected an onset"),
        (TABLE + "0\t-1\ta\n", FormatError, "no duration below 0"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_row(
    tmp_path, text, error, message
) -> None:
    (tmp_path / "e.tsv").write_text(text)
    with pytest.raises(error, match=message):
        read_events(tmp_path / "e.tsv")
    (tmp_path / "e.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="expected text"):
        read_events(tmp_path / "e.tsv")


def test_a_run_takes_subject_task_and_events(tmp_path) -> None:
    image = tmp_path / IMAGE
    touch(tmp_path / "sub-01_task-faces_events.tsv")
    told = with_bids(run(labels={"age": 9}), image, events=True)
    assert told.subject_id == "sub-01"
    assert told.labels["events"] == [{"onset": 0.0, "duration": 2.0, "trial_type": "a"}]
    assert (told.labels["task"], told.labels["session"], told.labels["age"]) == ("faces", "2", 9)
    assert "events" not in with_bids(run(), image).labels
    assert with_bids(run(), "bold.nii.gz").subject_id is None


def test_events_that_are_missing_or_beyond_the_run_are_an_error(tmp_path) -> None:
    image = tmp_path / IMAGE
    with pytest.raises(DataError, match=r"expected an _events\.tsv of this task beside it, found"):
        with_bids(run(), image, events=True)
    with pytest.raises(DataError, match="name the BIDS folder of the raw data"):
        with_bids(run(), image, events=tmp_path / "bids")
    path = touch(tmp_path / "sub-01_task-faces_events.tsv")
    path.write_text(TABLE + "100\t2\ta\n4000\t2\ta\n")
    with pytest.raises(DataError, match="100 to 4000 s: are onsets in seconds"):
        with_bids(run(), image, events=True)
    # the image was longer than what scrubbing left of it
    assert with_bids(run(labels={"n_frames": 60}), image, events=True).labels["events"]
