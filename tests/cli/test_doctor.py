from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.simulated_cohort import ECGCohort
from tests.conftest import real_data
from tests.data.eeg_factory import write_edf
from tests.eeg.published import needs_eeg

LEADS = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"


def test_the_installation_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for part in ("biojepa", "torch", "devices", "free", "needed", "no problems found"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_good_files_are_described(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(files)]) == 0
    text = capsys.readouterr().out
    assert text.count("plausible") == 24
    assert "24 of 24 files can be used" in text


def test_what_is_wrong_with_a_file_is_said(
    cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = cohort.values[0].copy()
    values[2] = 0.0
    values[0, :300] = np.nan
    values[1] = np.clip(values[1], -1, 0.05)
    np.save(tmp_path / "ecg.npy", values)
    line = ["doctor", str(tmp_path / "ecg.npy")]
    assert main(line) == 1
    assert "--leads" in capsys.readouterr().out
    assert main([*line, "--leads", LEADS, "--fs", "100"]) == 0
    text = capsys.readouterr().out
    assert "missing samples: I 30%" in text
    assert "flat leads: III" in text
    assert "clipped at the top or bottom: II" in text


def test_an_implausible_scale_names_the_fix(
    cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "uv.npy", cohort.values[0] * 1000)
    line = ["doctor", str(tmp_path / "uv.npy"), "--leads", LEADS, "--fs", "100"]
    assert main(line) == 1
    assert "--units" in capsys.readouterr().out
    assert main([*line, "--units", "uV"]) == 0


def test_a_path_that_is_not_there_counts_as_bad(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "nowhere.hea"]) == 1
    assert "0 of 1 files can be used" in capsys.readouterr().out


def test_real_recordings_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    root = real_data("ecg/ptbxl/records100/00000")
    some = sorted(str(p) for p in root.glob("*.hea"))[:5]
    assert main(["doctor", *some]) == 0
    assert "5 of 5" in capsys.readouterr().out


@needs_eeg
def test_eeg_files_are_described_with_the_places_of_their_channels(
    eegs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(eegs)]) == 0
    text = capsys.readouterr().out
    for part in ("EEG of 3 channels", "looked up (3): Fp1", "reference", "LE", "3 of 3 files"):
        assert part in text
    assert "biojepa prepare eeg" in text
    assert max(map(len, text.splitlines())) <= 80 + len(str(eegs))
    shutil.copy(eegs / "a.edf", tmp_path / "a.edf")
    write_edf(tmp_path / "volts.edf", ("Fp1", "C3", "Cz"), unit="V")
    assert main(["doctor", str(tmp_path)]) == 1
    assert "1 of 2 files can be used" in capsys.readouterr().out
    assert main(["doctor", str(tmp_path / "volts.edf"), "--units", "arbitrary"]) == 0
