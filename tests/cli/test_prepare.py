from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.leads import STANDARD_12
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.data.store import SignalStore
from tests.data.format_factory import edf_bytes, muse_xml, write_dicom


def test_the_store_holds_the_recordings_in_order(store: Path, cohort: ECGCohort) -> None:
    with SignalStore(store, verify=True) as found:
        assert found.channels == STANDARD_12
        assert found.record_ids.tolist() == cohort.record_id.tolist()
        np.testing.assert_allclose(found.read(3), cohort.values[3], atol=2e-3)


def test_doing_it_again_writes_nothing(
    files: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SignalStore(store) as found:
        before = found.fingerprint
    assert main(["prepare", str(files), "-o", str(store)]) == 0
    assert "0 written now, 24 were there" in capsys.readouterr().out
    with SignalStore(store) as found:
        assert found.fingerprint == before


def test_leads_are_computed_and_the_rate_is_changed(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    line = ["prepare", str(files), "-o", str(out), "--leads", "aVF,V2", "--rate", "50"]
    assert main([*line, "--workers", "1"]) == 0
    with SignalStore(out) as found:
        assert found.channels == ("aVF", "V2")
        assert set(found.rates_hz) == {50.0}
        assert set(found.lengths) == {500}


def test_a_preset_says_leads_and_rate(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    assert main(["prepare", str(files), "-o", str(out), "--preset", "small"]) == 0
    with SignalStore(out) as found:
        assert found.channels == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
        assert set(found.rates_hz) == {100.0}
    assert main(["prepare", str(files), "-o", "x", "--preset", "small", "--rate", "50"]) == 2


def test_arrays_need_names_and_rate_and_get_them(
    array: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["prepare", str(array), "-o", str(tmp_path / "store")]
    assert main(line) == 1
    assert "--file-leads" in capsys.readouterr().err
    assert main([*line, "--fs", "100", "--file-leads", ",".join(STANDARD_12)]) == 0


def test_missing_leads_leave_a_file_out_or_stay_missing(
    cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "six.npy"
    np.save(path, cohort.values[:3, :6])
    line = ["prepare", str(path), "--fs", "100", "--file-leads", "I,II,III,aVR,aVL,aVF"]
    assert main([*line, "-o", str(tmp_path / "a")]) == 1
    assert "V1" in capsys.readouterr().err
    assert main([*line, "-o", str(tmp_path / "b"), "--on-missing", "drop", "--rate", "50"]) == 0
    with SignalStore(tmp_path / "b") as found:
        values = found.read(0)
        assert np.isfinite(values[:6]).all()
        assert np.isnan(values[6:]).all()


def test_gaps_stay_gaps_when_the_rate_changes(cohort: ECGCohort, tmp_path: Path) -> None:
    values = cohort.values[:1, :2].copy()
    values[0, 0, 100:200] = np.nan
    np.save(tmp_path / "gap.npy", values)
    line = ["prepare", str(tmp_path / "gap.npy"), "-o", str(tmp_path / "s"), "--rate", "50"]
    line += ["--fs", "100", "--file-leads", "I,II", "--leads", "I,II"]
    assert main(line) == 0
    with SignalStore(tmp_path / "s") as found:
        assert np.flatnonzero(np.isnan(found.read(0)[0])).tolist() == list(range(50, 100))


def test_bad_files_are_listed_with_their_reason(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("no,numbers\n")
    out = tmp_path / "store"
    assert main(["prepare", str(files), str(bad), "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "left out: 1" in said
    assert "bad.csv" in (out / "skipped.csv").read_text()
    line = ["prepare", str(files), str(bad), "-o", str(tmp_path / "other")]
    assert main([*line, "--on-error", "raise"]) == 1
    assert main([*line, "--max-bad-fraction", "0.01"]) == 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["nothing_there", "-o", "s"], 1),
        (["FILES"], 2),
        (["-o", "s"], 2),
        (["FILES", "-o", "s", "--rate", "0"], 1),
        (["FILES", "-o", "s", "--leads", "I,,II"], 2),
    ],
)
def test_wrong_lines_are_refused(
    line: list[str],
    code: int,
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", *(str(files) if x == "FILES" else x for x in line)]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_files_of_every_format_go_into_one_store(
    cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    counts = np.round(cohort.values[0] / 0.005).astype(np.int16)
    labels = [f"ECG {lead}" for lead in STANDARD_12]
    whole = edf_bytes(counts, labels=labels, rate_hz=100)
    (folder / "a.edf").write_bytes(whole)
    (folder / "b.xml").write_text(muse_xml(counts, STANDARD_12).replace(">500<", ">100<"))
    write_dicom(folder / "c.dcm", counts, rate_hz=100.0)
    (folder / "d.bdf").write_bytes(whole[:-10])
    store = tmp_path / "store"
    assert main(["prepare", str(folder), "-o", str(store), "--allow-truncated"]) == 0
    with SignalStore(store) as opened:
        assert list(opened.record_ids) == ["a", "b", "c", "d"]
        np.testing.assert_allclose(opened.read(0), counts * 0.005, atol=1e-3)
        np.testing.assert_allclose(opened.read(0), opened.read(1), atol=1e-3)
        np.testing.assert_allclose(opened.read(0), opened.read(2), atol=1e-3)
        assert opened.lengths.tolist() == [1000, 1000, 1000, 900]
    assert main(["prepare", str(folder), "-o", str(tmp_path / "s2")]) == 0
    assert "left out: 1" in capsys.readouterr().out
