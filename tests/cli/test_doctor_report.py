"""The report of a file names its format, what to look at, and the next command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.leads import INDEPENDENT_8, STANDARD_12
from tests.data.format_factory import (
    aecg_xml,
    edf_bytes,
    muse_xml,
    scp_bytes,
    twelve_counts,
    write_dicom,
    write_mat,
)

COUNTS = twelve_counts()
LABELS = [f"ECG {lead}" for lead in STANDARD_12]


def test_every_format_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.edf").write_bytes(edf_bytes(COUNTS, labels=LABELS))
    write_dicom(tmp_path / "b.dcm", COUNTS)
    (tmp_path / "c.xml").write_text(aecg_xml(COUNTS))
    write_mat(tmp_path / "d.mat", {"ECG": {"sex": "F", "age": 50.0, "data": COUNTS * 0.005}})
    (tmp_path / "e.scp").write_bytes(scp_bytes(COUNTS))
    assert main(["doctor", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for name in ("EDF or BDF", "DICOM waveform", "ECG in XML", "MATLAB", "SCP-ECG"):
        assert f"format  {name}" in text
    assert text.count("unit    mV") == 5
    assert "5 of 5 files can be used" in text
    assert "next: biojepa embed MODEL" in text
    assert text.count("check   no missing samples, no flat lead, no clipping") == 5


def test_the_next_command_mends_a_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes(COUNTS, labels=LABELS, units=""))
    assert main(["doctor", str(path)]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert f"next biojepa doctor {path} --units uV" in text
    assert "looks wrong" in text
    assert "next: biojepa embed" not in text
    assert main(["doctor", str(path), "--units", "uV"]) == 0


def test_leads_that_are_computed_missing_or_odd_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [STANDARD_12.index(lead) for lead in INDEPENDENT_8]
    (tmp_path / "a.xml").write_text(muse_xml(COUNTS[rows], INDEPENDENT_8))
    assert main(["doctor", str(tmp_path / "a.xml")]) == 0
    assert "III, aVR, aVL, aVF are computed" in capsys.readouterr().out
    (tmp_path / "b.edf").write_bytes(edf_bytes(COUNTS[6:9], labels=["V1", "V2", "ECG x"]))
    assert main(["doctor", str(tmp_path / "b.edf")]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "I, II, III, aVR, aVL, aVF, V3, V4, V5, V6 are not there" in text
    assert "ECG x are not standard leads" in text


def test_a_cut_file_and_a_flat_lead_have_their_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = COUNTS.copy()
    counts[7] = 0
    whole = edf_bytes(counts, labels=LABELS)
    (tmp_path / "flat.edf").write_bytes(whole)
    assert main(["doctor", str(tmp_path / "flat.edf")]) == 0
    assert "flat leads are masked" in capsys.readouterr().out
    (tmp_path / "cut.edf").write_bytes(whole[:-10])
    assert main(["doctor", str(tmp_path / "cut.edf")]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "cannot be used: expected 2 records" in text
    assert "--allow-truncated (prepare, embed)" in text


def test_what_is_odd_in_a_recording_is_told_beside_the_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = COUNTS.astype(np.int16)
    path = tmp_path / "x.dcm"
    write_dicom(path, counts)
    assert main(["doctor", str(path)]) == 0
    text = capsys.readouterr().out
    assert text.count(str(path)) == 1
    assert "left out waveform group 1 (MEDIAN BEAT)" in " ".join(text.split())


def test_large_numbers_have_no_exponent_and_the_first_of_several_is_said_to_be_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.random.default_rng(0).normal(0, 300, (3, 2, 500)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    assert main(["doctor", str(tmp_path / "x.npy"), "--fs", "100", "--leads", "I,II"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "3 recordings; what follows is of the first" in text
    assert "e+" not in text
    assert "--units uV" in text


def test_a_gap_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{t / 100},{'' if t < 80 else t % 7 / 10},{t % 5 / 10}" for t in range(500)]
    (tmp_path / "x.csv").write_text("\n".join(["time [s],I [mV],II [mV]", *rows]))
    assert main(["doctor", str(tmp_path / "x.csv")]) == 0
    text = capsys.readouterr().out
    assert text.count("missing samples in I (16.00%) are NaN") == 1
    assert "look at  missing samples: I 16%" in text
