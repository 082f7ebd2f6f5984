from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from biojepa.cli.main import main
from biojepa.engine.checkpoint import latest_checkpoint
from tests.eeg.published import needs_eeg


def _said(path: str | Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["info", str(path)]) == 0
    return capsys.readouterr().out


def test_a_model_says_leads_rate_data_and_hashes(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _said(trained / "model", capsys)
    for part in ("a model", "I, II, V1", "100 Hz", "24 recordings", "rankme", "hashes", "right"):
        assert part in text


def test_a_run_says_how_far_it_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = _said(trained, capsys)
    assert "4 of 4 saved" in text
    assert "biojepa resume" not in text


def test_checkpoint_store_and_card_are_known(
    trained: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = latest_checkpoint(trained)
    assert checkpoint is not None
    assert "a checkpoint" in _said(checkpoint, capsys)
    text = _said(store, capsys)
    assert "24" in text
    assert "100 Hz" in text
    assert "licence" in _said("ptb-xl", capsys)


def test_a_damaged_model_is_found(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained / "model", model)
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert main(["info", str(model)]) == 1
    assert "damaged" in capsys.readouterr().err


def test_what_is_nothing_known_is_said(
    files: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path, part in (
        ("ptbxl", "did you mean 'ptb-xl'"),
        (str(files), "biojepa doctor"),
        (str(next(files.glob("*.hea"))), "biojepa doctor"),
    ):
        assert main(["info", path]) == 1
        assert part in capsys.readouterr().err


def test_a_shipped_model_is_described_by_name_with_its_limits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "ecg-small"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "CC BY 4.0" in text
    assert "not a medical device" in text


def test_a_mistyped_model_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "ecg-smal"]) != 0
    assert "did you mean 'ecg-small'" in capsys.readouterr().err


@needs_eeg
def test_eeg_runs_models_and_stores_say_channels_and_reference(
    eeg_run: Path, eegs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (eeg_run, eeg_run / "model"):
        text = _said(path, capsys)
        for part in ("6: Fp1, C3, Cz, Pz, POz, O1", "128 Hz", "eeg", "tokens of 1 s"):
            assert part in text
    assert "reference average, 0.5 to 40.0 Hz" in text
    assert main(["prepare", "eeg", str(eegs), "-o", str(tmp_path / "s")]) == 0
    capsys.readouterr()
    text = _said(tmp_path / "s", capsys)
    for part in ("2 stores, one for each montage", "3ch-", "Pz, POz, O1", "LE", "1 named"):
        assert part in text
