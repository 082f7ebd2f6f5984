from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biojepa.cli.main import main
from biojepa.data.leads import STANDARD_12
from biojepa.data.safe_yaml import load_yaml
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.ecg import ECGJEPA
from biojepa.engine.checkpoint import latest_checkpoint
from biojepa.engine.files import read_tensors
from tests.cli.conftest import TINY, run_child
from tests.data.format_factory import edf_bytes, write_dicom


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_a_run_leaves_model_curves_card_and_settings(trained: Path, store: Path) -> None:
    names = {p.name for p in trained.iterdir()}
    assert {"config.yaml", "metrics.csv", "curves.png", "model_card.json", "model"} <= names
    settings = load_yaml(trained / "config.yaml")
    assert settings["source"]["paths"] == [str(store)]
    assert settings["train"]["steps"] == 4
    card = json.loads((trained / "model_card.json").read_text())
    assert card["n_records"] == 24
    assert card["data_fingerprint"] == settings["data"]
    assert (trained / "curves.png").stat().st_size > 10_000


def test_the_model_is_that_of_the_last_checkpoint(trained: Path) -> None:
    latest = latest_checkpoint(trained)
    assert latest is not None
    kept = read_tensors(latest / "model.safetensors")
    model = ECGJEPA.from_pretrained(trained).jepa_.downstream_encoder.state_dict()
    assert model.keys()
    assert all(bool((kept[f"encoder.{key}"] == value).all()) for key, value in model.items())


def test_store_files_and_array_are_all_data(
    store: Path, files: Path, array: Path, tmp_path: Path
) -> None:
    leads = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
    for name, data in (
        ("files", [str(files)]),
        ("array", [str(array), "--fs", "100", "--leads", leads]),
    ):
        out = tmp_path / name
        assert main(["pretrain", "ecg", *data, "-o", str(out), *TINY]) == 0
        assert ECGJEPA.from_pretrained(out).training_["n_records"] == 24


def test_yaml_and_options_make_one_tree_and_options_win(store: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "preset: tiny\ntrain: {lr: 2e-3, steps: 9, batch_size: 8}\nmodel.registers: 2\n"
    )
    out = tmp_path / "run"
    line = ["pretrain", "ecg", str(store), "-o", str(out), "--config", str(config)]
    assert main([*line, "--train.steps", "3", "--train.device", "cpu"]) == 0
    settings = load_yaml(out / "config.yaml")
    assert settings["train"]["lr"] == 2e-3
    assert settings["train"]["steps"] == 3
    assert settings["train"]["warmup_steps"] == 0
    assert settings["model"]["registers"] == 2
    assert settings["recipe"] == "tiny"


def test_other_leads_and_rate_of_the_model_reach_the_preprocessing(
    store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    line = ["pretrain", "ecg", str(store), "-o", str(out), *TINY, "--model.leads", "I,aVF,V2"]
    assert main([*line, "--model.rate_hz", "50", "--model.n_times", "400"]) == 0
    model = ECGJEPA.from_pretrained(out)
    assert model.preprocess_.leads == model.model_config_.leads == ("I", "aVF", "V2")
    assert model.preprocess_.rate_hz == model.model_config_.rate_hz == 50


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--train.stps", "3"], 2, "did you mean train.steps"),
        (["--model.dim", "wide"], 2, "expected a whole number"),
        (["--train.precision", "16"], 2, "expected precision"),
        (["--preset", "smal"], 1, "did you mean 'small'"),
        (["--config", "nothing.yaml"], 1, "cannot be read"),
        (["--model.leads", "I,V9"], 1, "V9"),
        (["--device", "tpu"], 1, "expected device"),
        (["--init", "nowhere"], 1, "no model at 'nowhere'"),
    ],
)
def test_user_errors_are_sentences(
    options: list[str],
    code: int,
    message: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["pretrain", "ecg", str(store), "-o", str(tmp_path / "run"), *TINY, *options]
    assert main(line) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_missing_data_and_folder_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "ecg", "-o", "x"]) == 2
    assert main(["pretrain", "ecg", "x"]) == 2
    assert main(["pretrain", "ecg", "nothing_there", "-o", "x"]) == 1
    assert "nothing_there" in capsys.readouterr().err


def test_an_unknown_key_of_a_file_names_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("train: {stesp: 4}\n")
    assert main(["pretrain", "ecg", "d", "-o", "r", "--config", str(config)]) == 1
    assert "did you mean train.steps" in capsys.readouterr().err


def test_a_finished_run_is_not_overwritten(
    trained: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "metrics.csv").read_bytes()
    assert main(["pretrain", "ecg", str(store), "-o", str(trained), *TINY]) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert (trained / "metrics.csv").read_bytes() == before


def test_resume_auto_starts_and_then_goes_on(store: Path, tmp_path: Path) -> None:
    line = ["pretrain", "ecg", str(store), "-o", str(tmp_path / "run"), *TINY, "--resume", "auto"]
    assert main(line) == 0
    assert main(line) == 0
    assert main([*line, "--lr", "0.1"]) == 1
    assert main([*line, "--lr", "0.1", "--override"]) == 0


def test_continued_pretraining_starts_from_the_given_weights(
    trained: Path, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "more"
    line = ["pretrain", "ecg", str(store), "-o", str(out), *TINY, "--init", str(trained)]
    assert main([*line, "--lr", "0", "--train.warmup_lr", "0", "--train.final_lr", "0"]) == 0
    X = np.random.default_rng(0).normal(size=(2, 8, 1000)).astype(np.float32)
    before, after = (
        ECGJEPA.from_pretrained(p).set_params(fs=100, units="arbitrary").transform(X)
        for p in (trained, out)
    )
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_print_config_writes_a_file_that_can_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    assert main(["pretrain", "ecg", "--preset", "tiny", "--print-config"]) == 0
    config = tmp_path / "c.yaml"
    config.write_text(capsys.readouterr().out)
    out = tmp_path / "run"
    line = ["pretrain", "ecg", str(store), "-o", str(out), "--config", str(config)]
    assert main([*line, "--steps", "3"]) == 0


def test_the_installed_script_works_end_to_end(files: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(files, data)
    run_child("prepare", data, "-o", tmp_path / "store")
    out, err = run_child("pretrain", "ecg", tmp_path / "store", "-o", tmp_path / "run", *TINY)
    assert "Initializing" not in out + err
    assert _last_line(out).startswith("features: biojepa embed")
    run_child("embed", tmp_path / "run", data, "-o", tmp_path / "f.csv")
    _, err = run_child("embed", tmp_path / "run", data, "-o", "f.xls", code=2)
    assert "Traceback" not in err


@pytest.mark.slow
def test_two_processes_train_as_one_and_only_the_first_speaks(store: Path, tmp_path: Path) -> None:
    for n in (1, 2):
        out, err = run_child(
            "pretrain", "ecg", store, "-o", tmp_path / f"run{n}", *TINY, "--devices", str(n)
        )
        assert out.count("done: 4 steps") == 1
        assert "Initializing" not in out + err
    one, two = (
        ECGJEPA.from_pretrained(tmp_path / f"run{n}").jepa_.encoder.state_dict() for n in (1, 2)
    )
    assert all((one[k] - two[k]).abs().max() < 1e-5 for k in one)
    logs = [pd.read_csv(tmp_path / f"run{n}" / "metrics.csv")["loss"] for n in (1, 2)]
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-6)


def test_files_of_several_formats_are_pretrained_on(cohort: ECGCohort, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    counts = np.round(cohort.values[:8] / 0.005).astype(np.int16)
    labels = [f"ECG {lead}" for lead in STANDARD_12]
    for i, one in enumerate(counts):
        if i % 2:
            (folder / f"{i}.edf").write_bytes(edf_bytes(one, labels=labels, rate_hz=100))
        else:
            write_dicom(folder / f"{i}.dcm", one, rate_hz=100.0)
    assert main(["pretrain", "ecg", str(folder), "-o", str(tmp_path / "run"), *TINY]) == 0
    card = json.loads((tmp_path / "run" / "model_card.json").read_text())
    assert card["n_records"] == 8
