from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.demo_report import verdict_sentence
from biojepa.cli.main import main
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
