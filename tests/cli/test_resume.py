from __future__ import annotations

import signal
from pathlib import Path

import pytest

from biojepa.cli.main import main
from biojepa.engine.checkpoint import latest_checkpoint
from biojepa.engine.files import read_tensors
from tests.cli.conftest import child, stop_after

LONG = ["--preset", "tiny", "--steps", "40", "--batch-size", "8", "--device", "cpu"]
LONG += ["--train.checkpoint_every", "2", "--train.log_every", "1", "--train.diagnose_every", "10"]


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never stopped."""
    path = tmp_path_factory.mktemp("whole") / "run"
    assert main(["pretrain", "ecg", str(store), "-o", str(path), *LONG]) == 0
    return path


def _same(run: Path, other: Path) -> bool:
    found = []
    for path in (run, other):
        latest = latest_checkpoint(path)
        assert latest is not None
        found.append({p.name: read_tensors(p) for p in sorted(latest.glob("*.safetensors"))})
    one, two = found
    return one.keys() == two.keys() and all(
        bool((one[f][k] == two[f][k]).all()) for f in one for k in one[f]
    )


def _losses(run: Path) -> list[str]:
    return [line.split(",")[1] for line in (run / "metrics.csv").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_stopped_run_ends_as_if_it_had_not_been_stopped(
    number: signal.Signals, code: int, store: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = child("pretrain", "ecg", store, "-o", run, *LONG)
    out = stop_after(process, run / "checkpoints" / "step-00000006", number)
    assert process.returncode == code
    if code > 0:
        assert out.strip().splitlines()[-1] == f"go on with: biojepa resume {run}"
        assert not (run / "model").exists()
    assert main(["resume", str(run)]) == 0
    assert (run / "model" / "config.json").is_file()
    assert _same(run, whole)
    assert _losses(run) == _losses(whole)


def test_a_finished_run_can_be_made_longer_with_override(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    short = ["--preset", "tiny", "--steps", "2", "--batch-size", "8", "--device", "cpu"]
    assert main(["pretrain", "ecg", str(store), "-o", str(run), *short]) == 0
    assert main(["resume", str(run), "--train.steps", "4"]) == 2
    assert "--override" in capsys.readouterr().err
    assert main(["resume", str(run), "--override", "--train.steps", "4"]) == 0
    latest = latest_checkpoint(run)
    assert latest is not None
    assert latest.name == "step-00000004"


def test_free_settings_need_no_override(trained: Path) -> None:
    assert main(["resume", str(trained), "--train.log_every", "1"]) == 0


def test_moved_recordings_are_found_and_other_ones_refused(
    trained: Path, store: Path, array: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = store.with_name("moved_store")
    moved.symlink_to(store, target_is_directory=True)
    assert main(["resume", str(trained), "--data", str(moved)]) == 0
    other = store.with_name("other_store")
    assert main(["prepare", str(store.parent / "wfdb" / "sim0000*.hea"), "-o", str(other)]) == 0
    assert main(["resume", str(trained), "--data", str(other)]) == 1
    assert "other settings (data:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", [None, "train: {}\n", "modality: ecg\n", "modality: ecg\ntrain: 3\n"]
)
def test_what_is_no_run_is_said(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    assert main(["resume", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
