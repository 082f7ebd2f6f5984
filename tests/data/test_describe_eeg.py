"""What is said of EEG files, also of those that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.describe_eeg import describe_eeg, eeg_files
from tests.data.eeg_factory import write_brainvision, write_edf, write_eeglab, write_fif
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


def test_a_good_file_is_described(tmp_path):
    seen = describe_eeg(write_edf(tmp_path / "a.edf", ("EEG Fp1-LE", "EEG C3-LE", "EEG Cz-LE")))
    assert seen["readable"]
    assert seen["problem"] == ""
    assert seen["placed"][0] == "3 of 3 channels used"
    assert seen["facts"] == {"reference": "LE"}
    assert seen["spread"] == pytest.approx([15, 15], abs=1)
    assert seen["unit"] == "uV"


def test_what_is_odd_is_said_without_refusing(tmp_path):
    path = write_fif(tmp_path / "a_raw.fif", ("Fz", "Cz", "EXG1"), bads=("Cz",), subject="S2")
    seen = describe_eeg(path)
    assert (seen["bad"], seen["unplaced"], seen["subject"]) == (["Cz"], ["EXG1"], "S2")
    nowhere = describe_eeg(write_fif(tmp_path / "b_raw.fif", ("EXG1", "EXG2")))
    assert nowhere["readable"]
    assert "EXG1" in nowhere["problem"]
    volts = write_edf(tmp_path / "v.edf", ("Fp1", "Cz"), unit="V")
    assert "arbitrary" in describe_eeg(volts)["problem"]
    assert describe_eeg(volts, arbitrary=True)["problem"] == ""
    (tmp_path / "cut.edf").write_bytes(volts.read_bytes()[:900])
    assert not describe_eeg(tmp_path / "cut.edf")["readable"]


def test_files_are_told_from_ecg_by_their_kind_or_their_channels(tmp_path):
    eeg = [
        write_edf(tmp_path / "a.edf", ("Fp1", "Cz", "ECG")),
        write_brainvision(tmp_path),
        write_fif(tmp_path / "c_raw.fif"),
        write_eeglab(tmp_path / "d.set"),
    ]
    write_edf(tmp_path / "holter.edf", ("ECG I", "II", "V1"))
    (tmp_path / "broken.edf").write_bytes(b"no EDF")
    assert sorted(eeg_files(tmp_path)) == sorted(eeg)
    table = tmp_path / "wearable" / "x.csv"
    table.parent.mkdir()
    table.write_text("timestamps,TP9,AF7,Right AUX\n0,1,2,3\n")
    assert eeg_files(table.parent) == [table]
    table.write_text("time,I,II\n0,1,2\n")
    assert eeg_files(table.parent) == []
    np.save(tmp_path / "x.npy", np.zeros(3))
    assert eeg_files(tmp_path / "x.npy") == []
    assert eeg_files(tmp_path / "absent") == []
