"""`biojepa prepare eeg`, and going on with an EEG run."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from biojepa.cli.main import main
from biojepa.engine.checkpoint import latest_checkpoint
from biojepa.engine.files import read_tensors
from biojepa.engine.run import read_settings
from tests.cli.conftest import child, stop_after
from tests.data.eeg_factory import write_edf, write_fif
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
LONG = ["--preset", "tiny", "--steps", "16", "--batch-size", "4", "--device", "cpu"]
LONG += ["--train.checkpoint_every", "2", "--train.log_every", "1", "--train.diagnose_every", "10"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two montages, two recordings each."""
    folder = tmp_path_factory.mktemp("eeg")
    (folder / "in").mkdir()
    for k in range(2):
        write_edf(folder / "in" / f"{k}.edf", ("Fp1", "C3", "Cz", "Oz"), n_records=20)
        write_fif(folder / "in" / f"{k}_raw.fif", ("Pz", "POz", "O1"), n_times=2600, seed=k)
    assert main(["prepare", "eeg", str(folder / "in"), "-o", str(folder / "store")]) == 0
    return folder / "store"


def test_the_montages_and_what_is_left_out_are_said(store, tmp_path, capsys) -> None:
    source = store.parent / "in"
    (source / "broken.edf").write_bytes(b"no EDF")
    try:
        assert main(["prepare", "eeg", str(source), "-o", str(tmp_path / "s")]) == 0
    finally:
        (source / "broken.edf").unlink()
    said = capsys.readouterr().out
    for part in ("4: Fp1, C3, Cz, Oz", "3: Pz, POz, O1", "left out: 1", "broken.edf", "next:"):
        assert part in said


def test_what_is_missing_is_asked_for(store, tmp_path) -> None:
    assert main(["prepare", "eeg", str(store.parent / "in")]) == 2
    assert main(["prepare", "eeg", "-o", str(tmp_path / "s")]) == 2
    assert main(["prepare", "eeg", str(tmp_path), "-o", str(tmp_path / "s")]) == 1
    line = ["prepare", "eeg", str(store.parent / "in"), "-o", str(tmp_path / "s")]
    assert main([*line, "--rate", "0"]) == 1


def test_eeg_given_to_the_command_for_ecg_is_pointed_to_its_own(store, tmp_path, capsys) -> None:
    for source in ("in", "in/0_raw.fif"):
        line = ["prepare", str(store.parent / source), "-o", str(tmp_path / "s")]
        assert main(line) == 1
        assert "biojepa prepare eeg" in capsys.readouterr().err


def _same(run: Path, other: Path) -> bool:
    one, two = (
        {p.name: read_tensors(p) for p in sorted(latest.glob("*.safetensors"))}
        for latest in map(latest_checkpoint, (run, other))
        if latest is not None
    )
    return one.keys() == two.keys() and all(
        bool((one[f][k] == two[f][k]).all()) for f in one for k in one[f]
    )


def _losses(run: Path) -> list[str]:
    return [line.split(",")[1] for line in (run / "metrics.csv").read_text().splitlines()]


@pytest.mark.slow
def test_a_killed_run_on_two_montages_ends_as_if_it_had_not_been_killed(store, tmp_path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main(["pretrain", "eeg", str(store), "-o", str(whole), *LONG]) == 0
    process = child("pretrain", "eeg", store, "-o", run, *LONG)
    stop_after(process, run / "checkpoints" / "step-00000004", signal.SIGKILL)
    assert process.returncode == -9
    assert len(_losses(run)) < len(_losses(whole))
    stopped = tmp_path / "stopped"
    shutil.copytree(run, stopped)
    assert main(["resume", str(run)]) == 0
    line = ["pretrain", "eeg", str(store), "-o", str(stopped), *LONG, "--resume", "auto"]
    assert main(line) == 0
    for resumed in (run, stopped):
        assert _same(resumed, whole)
        assert _losses(resumed) == _losses(whole)
        assert (resumed / "model" / "config.json").is_file()


def test_a_run_goes_on_with_moved_recordings_and_refuses_others(store, tmp_path, capsys) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    line = ["pretrain", "eeg", str(store), "-o", str(run), *LONG, "--masks", "space-time"]
    assert main([*line, "--steps", "4", "--train.warmup_steps", "2"]) == 0
    assert read_settings(run)["source"]["model"] == {"masks": "space-time"}
    shutil.copytree(store, moved)
    assert main(["resume", str(run), "--data", str(moved)]) == 0
    (part,) = moved.glob("3ch-*")
    assert main(["resume", str(run), "--data", str(part)]) == 1
    assert "data:" in capsys.readouterr().err
    more = ["resume", str(run), "--train.steps", "6"]
    assert main(more) == 2
    assert main([*more, "--override"]) == 0
    assert latest_checkpoint(run).name == "step-00000006"


def test_a_run_from_a_model_goes_on_without_it(store, tmp_path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["pretrain", "eeg", str(store), "-o", str(first), *LONG[:2], "--steps", "2"]) == 0
    line = ["pretrain", "eeg", str(store), "-o", str(second), *LONG[:2], "--steps", "4"]
    assert main([*line, "--init", str(first), "--train.checkpoint_every", "2"]) == 0
    shutil.rmtree(first)
    shutil.rmtree(second / "checkpoints" / "step-00000004")
    assert main(["resume", str(second)]) == 0
    assert latest_checkpoint(second).name == "step-00000004"
