"""`biojepa pretrain eeg` from files to a model folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.eeg import SignalJEPA
from tests.data.eeg_factory import write_edf
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "eegs").mkdir()
    for name in ("a", "b"):
        write_edf(tmp_path / "eegs" / f"{name}.edf", ("Fp1", "C3", "Cz", "Oz"), n_records=12)
    return tmp_path / "eegs"


def test_files_become_a_run_with_a_model_that_gives_features(tmp_path, folder, capsys):
    out = tmp_path / "run"
    line = ["pretrain", "eeg", str(folder), "-o", str(out), "--preset", "tiny"]
    assert main([*line, "--steps", "4", "--masks", "space-time"]) == 0
    said = capsys.readouterr()
    assert "4 of 4 channels used" in said.out + said.err
    card = json.loads((out / "model_card.json").read_text())
    assert card["channels"] == ["Fp1", "C3", "Cz", "Oz"]
    assert card["n_records"] == 2
    jepa = SignalJEPA.from_pretrained(out)
    assert jepa.model_config_.masks == "space-time"
    assert np.isfinite(jepa.transform(folder)).all()


def test_what_is_missing_or_wrong_is_said(tmp_path, folder, capsys):
    assert main(["pretrain", "eeg", "-o", str(tmp_path / "run")]) != 0
    assert main(["pretrain", "eeg", str(folder)]) != 0
    bipolar = write_edf(tmp_path / "c.edf", ("Fp1-F7", "C3", "Cz", "Oz"))
    assert main(["pretrain", "eeg", str(bipolar), "-o", str(tmp_path / "run")]) != 0
    assert "Fp1-F7" in capsys.readouterr().err
