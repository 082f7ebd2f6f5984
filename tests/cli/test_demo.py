from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.demo_data import labelled_cohort
from biojepa.cli.demo_report import verdict_sentence
from biojepa.cli.main import main
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.data.store import SignalStore
from biojepa.evaluation.bootstrap import bootstrap_metric


def test_the_verdict_follows_the_interval() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    scores = {"good": y + rng.normal(size=200), "bad": rng.normal(size=200)}
    for first, second, word in (
        ("good", "bad", "helped"),
        ("bad", "good", "worse"),
        ("bad", "bad", "No difference"),
    ):
        pair = {"pretrained": scores[first], "random weights": scores[second]}
        auc = {k: bootstrap_metric(y, s, random_state=0) for k, s in pair.items()}
        difference = bootstrap_metric(
            y, pair["pretrained"], compare_to=pair["random weights"], random_state=0
        )
        assert word in verdict_sentence(auc, difference)


@pytest.mark.slow
def test_the_quick_demo_leaves_report_pictures_and_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--quick", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "simulated" in said
    assert "biojepa demo --ptbxl" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["simulated"] is True
    assert summary["verdict"] in said
    assert summary["verdict"] in (out / "report.md").read_text()
    assert summary["n_test_records"] == 60
    for name in ("ecg_masks.png", "curves.png", "embedding.png"):
        assert (out / name).stat().st_size > 10_000
    assert (out / "run" / "model" / "config.json").is_file()


@pytest.mark.slow
def test_own_recordings_are_shown_and_not_tested(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    for _ in range(2):  # an earlier demo is replaced
        assert main(["demo", "--quick", "--data", str(files), "-o", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["simulated"] is False
    assert "No labels" in summary["verdict"]


def test_a_folder_with_other_files_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["demo", "--quick", "-o", str(tmp_path)]) == 1
    assert "holds other files" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_one_source_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--data", "a", "--ptbxl", "b"]) == 2


def _labels(path: Path, cohort: ECGCohort, n_labelled: int = 24) -> Path:
    """A table of two diagnoses; the last recordings have a patient and no label."""
    lines = ["record_id,patient_id,first,second"]
    for i, (name, patient) in enumerate(zip(cohort.record_id, cohort.patient_id, strict=True)):
        known = i < n_labelled
        lines.append(f"{name},{patient},{i % 2 if known else ''},{i // 2 % 2 if known else ''}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_own_labels_split_the_patients(
    files: Path, cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = _labels(tmp_path / "labels.csv", cohort, n_labelled=18)
    found = labelled_cohort(str(files), labels, tmp_path, seed=0)
    assert found.labels is not None
    ((train, test),) = found.labels.folds
    patients = found.labels.patient
    assert not set(patients[train]) & set(patients[test])
    with SignalStore(found.shown) as shown, SignalStore(found.unlabelled) as unlabelled:
        assert list(shown.record_ids) == list(cohort.record_id[:18])
        of = dict(zip(cohort.record_id, map(str, cohort.patient_id), strict=True))
        seen = {of[name] for name in unlabelled.record_ids}
        assert not seen & set(patients[test])
        assert set(cohort.record_id[18:]) <= set(unlabelled.record_ids) | {
            name for name, patient in of.items() if patient in set(patients[test])
        }
    assert found.labels.classes == ("first", "second")
    assert f"{len(set(patients[test]))} patients kept for the test" in capsys.readouterr().out


def test_labels_that_do_not_suffice_are_an_error(
    files: Path, cohort: ECGCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = _labels(tmp_path / "labels.csv", cohort)
    line = ["demo", "--quick", "--data", str(files), "--labels", str(labels)]
    labels.write_text(labels.read_text().replace(",0,", ",1,"))
    text = labels.read_text().replace(",0\n", ",1\n")
    labels.write_text(text)
    assert main([*line, "-o", str(tmp_path / "a")]) == 1
    assert "give more labelled patients" in capsys.readouterr().err
    labels.write_text(text.replace(",1,1\n", ",1,7\n", 1))
    assert main([*line, "-o", str(tmp_path / "b")]) == 1
    assert "column 'second': expected 0, 1 or nothing, got '7'" in capsys.readouterr().err
    labels.write_text("record_id,patient_id,a\nelsewhere,p,1\n")
    assert main([*line, "-o", str(tmp_path / "c")]) == 1
    assert "no recording was selected" in capsys.readouterr().err


def test_labels_need_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--labels", "x.csv"]) == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.slow
def test_own_labels_are_tested(files: Path, cohort: ECGCohort, tmp_path: Path) -> None:
    labels = _labels(tmp_path / "labels.csv", cohort)
    out = tmp_path / "demo"
    line = ["demo", "--quick", "--data", str(files), "--labels", str(labels), "-o", str(out)]
    assert main(line) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["simulated"] is False
    assert summary["n_test_records"] > 3
    assert set(summary["per_class_auc"]) == {"first", "second"}
    assert summary["verdict"] in (out / "report.md").read_text()
