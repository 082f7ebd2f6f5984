"""What a run says when it ends, and whether it counts as ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from biojepa.cli.errors import INTERRUPTED, TERMINATED
from biojepa.cli.run_ends import card, last_metrics, say_done, stopped
from biojepa.engine.train import TrainResult
from biojepa.errors import FormatError


@pytest.mark.parametrize(
    ("by", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)]
)
def test_a_run_that_was_stopped_says_how_to_go_on(tmp_path, capsys, by, code) -> None:
    result = TrainResult(step=1200, stopped_by=by)
    assert stopped(tmp_path, result, 2000) == code
    said = capsys.readouterr().out
    assert "step 1,200 of 2,000" in said
    assert f"biojepa resume {tmp_path}" in said


@pytest.mark.parametrize("result", [TrainResult(step=20), TrainResult(step=7, exhausted=True)])
def test_a_run_that_did_all_it_could_is_not_called_stopped(tmp_path, capsys, result) -> None:
    assert stopped(tmp_path, result, 20) is None
    assert capsys.readouterr().out == ""


def test_the_end_warns_of_skipped_steps_and_of_collapse(capsys) -> None:
    result = TrainResult(step=20, seconds=3.0, skipped=2, collapsed=True)
    say_done(Path("r"), result, {"rankme": 5.2, "dim": 32.0}, [("masks", "r/masks.png")])
    said = capsys.readouterr().out
    for text in ("20 steps in 3 s", "r/masks.png", "5.2 of 32", "2 steps", "collapsed"):
        assert text in said


def test_the_card_holds_finite_metrics_alone() -> None:
    last = {"loss": 0.5, "rankme": float("nan")}
    seen = {"n_records": 3, "fingerprint": "f"}
    found = card(TrainResult(step=4), last, training=seen, about={"modality": "eeg"})
    assert found["last_metrics"] == {"loss": 0.5}
    assert (found["modality"], found["n_records"], found["steps"]) == ("eeg", 3, 4)


def test_the_last_value_of_each_column_counts(tmp_path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss,rankme\n1,0.9,5\n2,0.8,\n")
    assert last_metrics(tmp_path) == {"step": 2.0, "loss": 0.8, "rankme": 5.0}
    (tmp_path / "metrics.csv").write_text("step,loss\n1,many\n")
    with pytest.raises(FormatError, match=r"metrics\.csv cannot be read"):
        last_metrics(tmp_path)
