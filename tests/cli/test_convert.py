from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biojepa.cli.main import main
from biojepa.ecg import ECGJEPA, official


def test_there_and_back_gives_the_same_features(trained: Path, tmp_path: Path) -> None:
    weights, folder = tmp_path / "ours.pt", tmp_path / "model"
    assert main(["convert", str(trained), str(weights)]) == 0
    assert main(["convert", str(weights), str(folder), "--constants", "record-lead"]) == 0
    before, after = ECGJEPA.from_pretrained(trained), ECGJEPA.from_pretrained(folder)
    own = before.jepa_.target_encoder.state_dict()
    assert all(torch.equal(v, own[k]) for k, v in after.jepa_.target_encoder.state_dict().items())
    X = np.random.default_rng(0).normal(size=(2, 8, 1000)).astype(np.float32)
    features = after.set_params(fs=100, units="arbitrary").transform(X)
    assert np.isfinite(features).all()


def test_constants_come_from_the_card(trained: Path, tmp_path: Path) -> None:
    weights, folder = tmp_path / "ours.pt", tmp_path / "model"
    assert main(["convert", str(trained), str(weights), "--layout", "minified"]) == 0
    assert main(["convert", str(weights), str(folder)]) == 0
    preprocess = ECGJEPA.from_pretrained(folder).preprocess_
    assert preprocess.normalise == "dataset"
    assert preprocess.std is not None
    assert preprocess.std[:2] == (0.191, 0.166)
    assert "published_sha256" in (folder / "training.json").read_text()


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("nothing.pt", "model", "expected a .pt file"),
        ("MODEL", "folder", "expected a .pt file"),
        ("nothing", "x.pt", "no model at"),
        ("TEXT", "model", "bad.pt"),
    ],
)
def test_what_cannot_be_converted_is_said(
    source: str,
    target: str,
    message: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bad.pt").write_text("<html>not found</html>")
    given = {"MODEL": str(trained), "TEXT": str(tmp_path / "bad.pt")}.get(source, source)
    assert main(["convert", given, str(tmp_path / target)]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_card_without_constants_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "ours.pt"
    official.save(ECGJEPA.from_pretrained(trained).jepa_, weights)
    line = ["convert", str(weights), str(tmp_path / "m"), "--constants", "ptb"]
    assert main(line) == 1
    assert "ptb-xl" in capsys.readouterr().err
