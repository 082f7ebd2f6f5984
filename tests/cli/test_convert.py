from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biojepa.cli.main import main
from biojepa.data.leads import STANDARD_12
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.ecg import ECGJEPA, ECGClassifier, official
from biojepa.ecg.heads import ECGClassifierNet
from tests.ecg.published import classifier_content, write


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


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return write(classifier_content(), tmp_path / "classifier.pt")


def test_a_published_classifier_becomes_a_folder_that_predicts(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    line = ["convert", str(published), str(folder), "--classes", "CD,HYP,MI,NORM,STTC"]
    assert main(line) == 0
    assert "classifier of 5 classes (CD, HYP, MI, NORM, STTC), several" in capsys.readouterr().out
    X = np.random.default_rng(0).normal(0, 0.3, (2, 12, 5000)).astype(np.float32)
    classifier = ECGClassifier.from_pretrained(folder).set_params(fs=500, leads=STANDARD_12)
    net = official.load(published)
    assert isinstance(net, ECGClassifierNet)
    settings = classifier_content()["eval_config"]
    rate = net.encoder.config.rate_hz
    crop, stride = (round(settings[f"crop_{name}"] * rate) for name in ("duration", "stride"))
    values = np.stack([classifier.preprocess_(x, 500).values for x in X])
    with torch.inference_mode():
        logits = net.record_logits(torch.as_tensor(values), crop=crop, stride=stride)
    np.testing.assert_allclose(classifier.predict_proba(X), torch.sigmoid(logits), atol=1e-5)
    assert classifier.preprocess_.std == pytest.approx((0.2,) * 12)
    assert "published_sha256" in (folder / "training.json").read_text()


def test_a_classifier_comes_back_as_it_was(
    classifiers: dict[str, Path], tmp_path: Path, cohort: ECGCohort
) -> None:
    weights, folder = tmp_path / "ours.pt", tmp_path / "folder"
    assert main(["convert", str(classifiers["attentive"]), str(weights)]) == 0
    line = ["convert", str(weights), str(folder), "--constants", "record-lead"]
    assert main(line) == 0
    before = ECGClassifier.from_pretrained(classifiers["attentive"])
    after = ECGClassifier.from_pretrained(folder)
    assert before.network_ is not None
    assert after.network_ is not None
    own = before.network_.state_dict()
    assert own.keys() == after.network_.state_dict().keys()
    assert all(torch.equal(v, own[k]) for k, v in after.network_.state_dict().items())
    assert (after.crop_s, after.stride_s) == (before.crop_s, before.stride_s)
    after.set_params(fs=100, leads=cohort.leads)
    assert after.predict_proba(cohort.values[:3]).shape == (3, cohort.y.shape[1])


def test_constants_of_a_classifier_survive_the_way_there_and_back(
    published: Path, tmp_path: Path
) -> None:
    folder, again = tmp_path / "folder", tmp_path / "again.pt"
    assert main(["convert", str(published), str(folder)]) == 0
    assert main(["convert", str(folder), str(again)]) == 0
    first, second = official.load(published), official.load(again)
    own = first.state_dict()
    assert all(torch.equal(v, own[k]) for k, v in second.state_dict().items())
    kept = official.source_of(second)
    assert kept is not None
    assert kept.preprocess is not None
    np.testing.assert_allclose(kept.preprocess["std"], [0.2] * 12, rtol=1e-6)
    assert kept.eval_config is not None
    given = classifier_content()["eval_config"]
    for key in ("crop_duration", "crop_stride", "attn_pooling", "frozen", "num_classes"):
        assert kept.eval_config[key] == given[key]


def test_one_class_a_recording_is_a_softmax(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    line = ["convert", str(published), str(folder), "--classes", "a,b,c,d,e", "--exclusive"]
    assert main(line) == 0
    classifier = ECGClassifier.from_pretrained(folder).set_params(fs=500, units="arbitrary")
    chances = classifier.predict_proba(np.random.default_rng(0).normal(size=(2, 8, 5000)))
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert list(classifier.classes_) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "a,b"], "expected 5 different names in --classes"),
        (["--classes", "a,a,b,c,d"], "expected 5 different names"),
        (["--constants", "ptb-diagnostic"], "has no mean and std"),
    ],
)
def test_options_of_a_classifier_are_checked(
    options: list[str],
    message: str,
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["convert", str(published), str(tmp_path / "folder"), *options]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("std", [[0.2] * 5, [0.0] * 12, [float("nan")] * 8, None, "text"])
def test_constants_that_cannot_be_used_are_asked_for(
    std: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = classifier_content()
    content["preprocess"] = {"mean": [0.0] * 12, "std": std}
    path = write(content, tmp_path / "classifier.pt")
    assert main(["convert", str(path), str(tmp_path / "folder")]) == 1
    assert "pass --constants" in capsys.readouterr().err
    assert main(["convert", str(path), str(tmp_path / "f2"), "--constants", "ptb-xl"]) == 0


def test_a_probe_and_a_wrong_option_are_refused(
    classifiers: dict[str, Path],
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["convert", str(classifiers["linear"]), str(tmp_path / "x.pt")]) == 1
    assert "linear probe" in capsys.readouterr().err
    assert main(["convert", str(trained), str(tmp_path / "x.pt")]) == 0
    line = ["convert", str(tmp_path / "x.pt"), str(tmp_path / "y"), "--exclusive"]
    assert main(line) == 1
    assert "holds an encoder" in capsys.readouterr().err
