from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.leads import STANDARD_12
from biojepa.data.simulated_cohort import ECGCohort, write_csv_cohort
from biojepa.ecg import ECGJEPA, ECGClassifier
from tests.data.format_factory import aecg_xml, edf_bytes, write_dicom, write_mat

LEAD_CELLS = np.array(STANDARD_12, dtype=object)
STANDARD = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"


def _table(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="") as handle:
        head, *rows = csv.reader(handle)
    assert head[:2] == ["record_id", "f0"]
    return [r[0] for r in rows], np.array([r[1:] for r in rows], dtype=np.float32)


@pytest.fixture(scope="module")
def expected(trained: Path, cohort: ECGCohort) -> np.ndarray:
    model = ECGJEPA.from_pretrained(trained)
    return model.set_params(fs=100, leads=cohort.leads).transform(cohort.values)


def test_files_stores_and_arrays_give_what_transform_gives(
    trained: Path, files: Path, store: Path, array: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    for i, given in enumerate(
        ([str(files)], [str(store)], [str(array), "--fs", "100", "--leads", STANDARD])
    ):
        out = tmp_path / f"{i}.csv"
        assert main(["embed", str(trained), *given, "-o", str(out), "--batch-size", "7"]) == 0
        names, values = _table(out)
        assert len(set(names)) == 24
        # a store holds 16-bit codes
        np.testing.assert_allclose(values, expected, atol=2e-3 if i == 1 else 1e-5)


def test_csv_files_give_what_transform_gives(
    trained: Path, cohort: ECGCohort, expected: np.ndarray, tmp_path: Path
) -> None:
    labels = write_csv_cohort(cohort, tmp_path / "csv")
    labels.unlink()
    out = tmp_path / "f.npz"
    assert main(["embed", str(trained), str(tmp_path / "csv"), "--fs", "100", "-o", str(out)]) == 0
    with np.load(out, allow_pickle=False) as found:
        assert found["record_id"].tolist() == cohort.record_id.tolist()
        np.testing.assert_allclose(found["features"], expected, atol=1e-5)


def test_options_of_the_features_are_those_of_the_estimator(
    trained: Path, array: Path, cohort: ECGCohort, tmp_path: Path
) -> None:
    out = tmp_path / "f.npz"
    line = ["embed", str(trained), str(array), "--fs", "100", "--leads", STANDARD, "-o", str(out)]
    assert main([*line, "--pool", "mean", "--layer", "0,-1", "--scale"]) == 0
    model = ECGJEPA.from_pretrained(trained).set_params(pool="mean", layer=[0, -1], scale=True)
    wanted = model.set_params(fs=100, leads=cohort.leads).transform(cohort.values)
    with np.load(out, allow_pickle=False) as found:
        np.testing.assert_allclose(found["features"], wanted, atol=1e-5)


def test_a_missing_lead_is_an_error_or_masked(
    trained: Path, cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "six.npy"
    np.save(path, cohort.values[:3, :11])
    out = tmp_path / "f.csv"
    line = ["embed", str(trained), str(path), "--fs", "100", "-o", str(out)]
    line += ["--leads", STANDARD.removesuffix(",V6")]
    assert main(line) == 1
    said = capsys.readouterr().err
    assert "V6" in said
    assert "--on-missing drop" in said
    assert not out.exists()
    assert main([*line, "--on-missing", "drop"]) == 0
    assert capsys.readouterr().err.count("masked the leads V6") == 1
    assert len(_table(out)[0]) == 3


def test_bad_files_stop_or_are_listed(
    trained: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("not,an,ecg\n")
    out = tmp_path / "f.csv"
    line = ["embed", str(trained), str(bad), str(files), "-o", str(out)]
    assert main(line) == 1
    assert not out.exists()
    assert main([*line, "--on-error", "skip"]) == 0
    assert len(_table(out)[0]) == 24
    assert "bad.csv" in (tmp_path / "f.skipped.csv").read_text()
    assert main([*line, "--on-error", "skip", "--max-bad-fraction", "0.01"]) == 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["MODEL", "FILES", "-o", "features.txt"], 2),
        (["MODEL", "FILES"], 2),
        (["MODEL", "-o", "f.csv"], 2),
        (["FILES", "FILES", "-o", "f.csv"], 1),
        (["MODEL", "FILES", "-o", "f.csv", "--pool", "max"], 1),
        (["MODEL", "FILES", "-o", "f.csv", "--layer", "last"], 1),
        (["MODEL", "FILES", "-o", "no/such/folder/f.csv"], 1),
    ],
)
def test_wrong_lines_are_refused_without_a_trace(
    given: list[str],
    code: int,
    trained: Path,
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = {"MODEL": str(trained), "FILES": str(files)}
    assert main(["embed", *(paths.get(g, g) for g in given)]) == code
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["linear", "attentive"])
def test_a_classifier_gives_features_and_probabilities(
    mode: str, classifiers: dict[str, Path], files: Path, cohort: ECGCohort, tmp_path: Path
) -> None:
    model, out = str(classifiers[mode]), tmp_path / "x.csv"
    assert main(["embed", model, str(files), "-o", str(out), "--probabilities"]) == 0
    with out.open(newline="") as handle:
        head, *rows = csv.reader(handle)
    classifier = ECGClassifier.from_pretrained(model).set_params(fs=100, leads=cohort.leads)
    expected = classifier.predict_proba(cohort.values)
    n = expected.shape[1]
    names = ["normal", "other"] if mode == "linear" else [str(i) for i in range(n)]
    assert head[-n:] == [f"p_{name}" for name in names]
    found = np.array([row[1:] for row in rows], dtype=np.float64)
    np.testing.assert_allclose(found[:, -n:], expected, atol=2e-3)
    plain = tmp_path / "plain.npz"
    assert main(["embed", model, str(files), "-o", str(plain)]) == 0
    with np.load(plain, allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["features", "record_id"]
        np.testing.assert_array_equal(arrays["features"], found[:, :-n].astype(np.float32))


def test_features_of_a_probe_are_those_of_its_encoder(
    classifiers: dict[str, Path], files: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "x.npz"
    line = ["embed", str(classifiers["linear"]), str(files), "-o", str(out), "--probabilities"]
    assert main(line) == 0
    with np.load(out, allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["features"], expected, atol=2e-3)
        assert arrays["classes"].tolist() == ["normal", "other"]
        np.testing.assert_allclose(arrays["probabilities"].sum(axis=1), 1.0, atol=1e-5)
        assert len(arrays["probabilities"]) == len(arrays["record_id"]) == len(expected)


def test_an_encoder_has_no_probabilities(
    trained: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["embed", str(trained), str(files), "-o", str(tmp_path / "x.csv"), "--probabilities"]
    assert main(line) == 1
    assert "knows no classes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_files_of_every_format_are_embedded(
    trained: Path, cohort: ECGCohort, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    counts = np.round(cohort.values[0] / 0.005).astype(np.int16)
    labels = [f"ECG {lead}" for lead in STANDARD_12]
    (folder / "a.edf").write_bytes(edf_bytes(counts, labels=labels, rate_hz=100))
    (folder / "b.xml").write_text(aecg_xml(counts).replace('"0.002"', '"0.01"'))
    write_dicom(folder / "c.dcm", counts, rate_hz=100.0)
    write_mat(folder / "d.mat", {"data": counts * 0.005, "fs": 100.0, "leads": LEAD_CELLS})
    assert main(["embed", str(trained), str(folder), "-o", str(tmp_path / "x.csv")]) == 0
    ids, features = _table(tmp_path / "x.csv")
    assert ids == ["a", "b", "c", "d"]
    np.testing.assert_allclose(features, features[[0, 0, 0, 0]], atol=1e-3)


def test_a_cut_file_is_read_on_request(
    trained: Path, cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = np.round(cohort.values[0] / 0.005).astype(np.int16)
    labels = [f"ECG {lead}" for lead in STANDARD_12]
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes(counts, labels=labels, rate_hz=100)[:-50])
    line = ["embed", str(trained), str(path), "-o", str(tmp_path / "x.csv")]
    assert main(line) == 1
    assert "--allow-truncated" in capsys.readouterr().err
    assert main([*line, "--allow-truncated"]) == 0
    assert "the file is cut: 9 of 10 records are there" in capsys.readouterr().err
