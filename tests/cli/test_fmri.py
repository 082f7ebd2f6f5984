"""`biojepa gradients`, `prepare fmri` and `pretrain fmri` from end to end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from biojepa.cli.main import main
from biojepa.data.store import SignalStore
from biojepa.engine.files import read_tensors
from biojepa.fmri import BrainClassifier, BrainGradients, BrainJEPA, BrainRegressor
from biojepa.fmri.gradient_file import read_gradients
from biojepa.fmri.trials import trial_cohort
from tests.fmri.cohort import simulate_runs
from tests.fmri.fmriprep_factory import N_TIMES, TASKS, write_study


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fmri") / "series"
    folder.mkdir()
    for i, run in enumerate(simulate_runs(8, n_regions=12)[0]):
        np.save(folder / f"sub-{i}.npy", run)
    return folder


def runs_of(folder: Path) -> list[np.ndarray]:
    return [np.load(p) for p in sorted(folder.glob("*.npy"))]


def test_gradients_of_series_and_of_a_matrix(series, tmp_path, capsys) -> None:
    options = ["--components", "4", "--sparsity", "0.5"]
    out = tmp_path / "g.csv"
    assert main(["gradients", str(series), "-o", str(out), "--tr", "2", *options]) == 0
    expected = BrainGradients(n_components=4, sparsity=0.5).fit(runs_of(series))
    np.testing.assert_allclose(read_gradients(out), expected.gradients_, rtol=1e-6, atol=1e-9)
    assert "8 runs" in capsys.readouterr().out
    np.savetxt(tmp_path / "fc.csv", expected.connectivity_, delimiter=",")
    assert main(["gradients", str(tmp_path / "fc.csv"), "-o", str(out), *options]) == 0
    np.testing.assert_allclose(read_gradients(out), expected.gradients_, rtol=1e-5, atol=1e-7)


def test_gradients_are_drawn_alone_or_in_a_glass_brain(series, tmp_path, capsys) -> None:
    nibabel = pytest.importorskip("nibabel", reason="the extra fmri is not installed")
    pytest.importorskip("nilearn.plotting", reason="the extra fmri is not installed")
    labels = np.zeros((8, 8, 8), dtype=np.int16)
    labels[0, 0, ::2], labels[4, 4, ::2], labels[6, 2, ::2] = np.arange(1, 13).reshape(3, 4)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([10.0, 10, 10, 1])), tmp_path / "atlas.nii.gz")
    given = ["gradients", str(series), "-o", str(tmp_path / "g.csv"), "--tr", "2"]
    given += ["--components", "4", "--sparsity", "0.5"]
    plain, glass = tmp_path / "plain.png", tmp_path / "glass.png"
    assert main([*given, "--figure", str(plain)]) == 0
    atlas = ["--atlas", str(tmp_path / "atlas.nii.gz")]
    assert main([*given, "--figure", str(glass), *atlas]) == 0
    assert plain.stat().st_size > 1000 < glass.stat().st_size
    assert main([*given, *atlas]) != 0
    assert "expected --figure FILE.png with --atlas" in capsys.readouterr().err
    labels[labels == 12] = 0
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "atlas.nii.gz")
    assert main([*given, "--figure", str(glass), *atlas]) != 0
    assert "expected an atlas of 12 regions, got 11" in capsys.readouterr().err


def test_a_store_is_prepared_pretrained_on_and_gone_on_with(series, tmp_path) -> None:
    store, run = tmp_path / "store", tmp_path / "run"
    assert main(["prepare", "fmri", str(series), "-o", str(store), "--tr", "2"]) == 0
    with SignalStore(store) as opened:
        assert len(opened) == 8
        assert opened.rates_hz[0] == 0.5
        np.testing.assert_allclose(opened.read(3).T, runs_of(series)[3], rtol=1e-4)
    tiny = ["--preset", "tiny", "--steps", "4", "--batch-size", "4", "--device", "cpu"]
    assert main(["pretrain", "fmri", str(store), "-o", str(run), *tiny]) == 0
    model = BrainJEPA.from_pretrained(run).set_params(tr=2.0)
    assert model.transform(runs_of(series)).shape == (8, 64)
    card = json.loads((run / "model_card.json").read_text())
    assert (card["modality"], card["n_records"], card["atlases"]) == ("fmri", 8, [12])
    for name in ("curves", "masks", "gradients", "regions"):
        assert (run / f"{name}.png").stat().st_size > 1000
    assert main(["pretrain", "fmri", str(store), "-o", str(run), *tiny, "--resume", "auto"]) == 0


def test_a_killed_run_is_resumed_bit_for_bit(series, tmp_path) -> None:
    def command(out: Path) -> list[str]:
        size = ["--preset", "tiny", "--steps", "30", "--batch-size", "4", "--device", "cpu"]
        return ["pretrain", "fmri", str(series), "-o", str(out), "--tr", "2", *size]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(command(whole)) == 0
    kill = f"""
import importlib, os, signal
from biojepa.cli.main import main

train = importlib.import_module("biojepa.engine.train")
train.rotate = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)  # right after a checkpoint
main({[*command(killed), "--train.checkpoint_every", "12"]!r})
"""
    done = subprocess.run([sys.executable, "-c", kill], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-1000:]
    assert [p.name for p in (killed / "checkpoints").iterdir()] == ["step-00000012"]
    assert main(["info", str(killed)]) == 0
    assert main(["resume", str(killed)]) == 0
    weights = [read_tensors(run / "model" / "model.safetensors") for run in (whole, killed)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


@pytest.mark.slow  # two processes that import torch
def test_two_processes_train_and_one_of_them_writes(series, tmp_path) -> None:
    command = ["pretrain", "fmri", str(series), "--tr", "2", "--preset", "tiny", "--steps", "4"]
    command += ["--batch-size", "4", "--device", "cpu", "--train.log_every", "1"]
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert main([*command, "-o", str(alone)]) == 0
    start = [sys.executable, "-m", "biojepa.cli.main"]
    given = [*start, *command, "-o", str(both), "--devices", "2"]
    done = subprocess.run(given, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.count("done: 4 steps") == 1
    weights = [read_tensors(run / "model" / "model.safetensors") for run in (alone, both)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)


def test_runs_are_embedded_as_in_python_and_models_are_described(series, tmp_path, capsys) -> None:
    run, out = tmp_path / "run", tmp_path / "features.npz"
    tiny = ["--preset", "tiny", "--steps", "2", "--batch-size", "4", "--device", "cpu"]
    assert main(["pretrain", "fmri", str(series), "-o", str(run), "--tr", "2", *tiny]) == 0
    (tmp_path / "broken.npy").write_bytes(b"no array")
    files = [str(series), str(tmp_path / "broken.npy")]
    given = ["embed", str(run), *files, "-o", str(out), "--tr", "2"]
    assert main(given) != 0
    assert main([*given, "--on-error", "skip"]) == 0
    assert "8 runs, 64 features" in capsys.readouterr().out
    with np.load(out) as found:
        names, features = found["record_id"].tolist(), found["features"]
    assert names == [f"sub-{i}" for i in range(8)]
    expected = BrainJEPA.from_pretrained(run).set_params(tr=2.0).transform(runs_of(series))
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5)
    assert main(["info", str(run / "model")]) == 0
    said = capsys.readouterr().out
    assert "fmri, encoder" in said
    assert "12, 8 gradients each" in said
    assert main([*given, "--scale"]) != 0


def test_a_classifier_of_runs_gives_probabilities(series, tmp_path) -> None:
    model, out = tmp_path / "model", tmp_path / "features.npz"
    labels = np.array(["a", "b"] * 4)
    classifier = BrainClassifier(preset="tiny", tr=2.0, random_state=0)
    classifier.fit(runs_of(series), labels).save_pretrained(model)
    given = ["embed", str(model), str(series), "-o", str(out), "--tr", "2", "--probabilities"]
    assert main(given) == 0
    with np.load(out) as found:
        chances = found["probabilities"]
    expected = classifier.predict_proba(runs_of(series))
    np.testing.assert_allclose(chances, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "finetune"])
@pytest.mark.parametrize("kind", [BrainClassifier, BrainRegressor])
def test_runs_of_a_store_are_embedded_with_a_predictor_of_any_mode(
    series, tmp_path, capsys, kind, mode
) -> None:
    model, out, store = tmp_path / "model", tmp_path / "features.npz", tmp_path / "store"
    runs = runs_of(series)
    options = {"preset": "tiny", "tr": 2.0, "random_state": 0, "steps": 3, "device": "cpu"}
    predictor = kind(**options, mode=mode).fit(runs, np.arange(8) % 2)
    predictor.save_pretrained(model)
    assert main(["prepare", "fmri", str(series), "-o", str(store), "--tr", "2"]) == 0
    given = ["embed", str(model), str(store), "-o", str(out), "--pool", "mean"]
    assert main(given) == 0
    with np.load(out) as found:
        names, features = found["record_id"].tolist(), found["features"]
    assert names == [f"sub-{i}" for i in range(8)]
    reader = kind.from_pretrained(model)._reader.set_params(tr=2.0, pool="mean")
    np.testing.assert_allclose(features, reader.transform(runs), rtol=0, atol=1e-3)
    if mode == "finetune":  # the features are those of the network that was trained
        before = predictor._reader.set_params(tr=2.0, pool="mean").transform(runs)
        assert not np.allclose(features, before, atol=1e-3)
    if kind is BrainRegressor:
        assert main([*given, "--probabilities"]) != 0
        assert "is no classifier" in capsys.readouterr().err


def test_bad_files_are_listed_and_what_is_missing_is_asked_for(series, tmp_path, capsys) -> None:
    store = str(tmp_path / "store")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    paths = [str(p) for p in sorted(series.glob("*.npy"))]
    given = ["prepare", "fmri", *paths, str(tmp_path / "broken.npy"), "-o", store]
    assert main([*given, "--tr", "2"]) == 0
    assert "broken.npy" in (tmp_path / "store" / "skipped.csv").read_text()
    assert main(["prepare", "fmri", str(series), "-o", str(tmp_path / "x")]) != 0
    assert "pass --tr" in capsys.readouterr().err
    assert main(["pretrain", "fmri", str(series)]) != 0
    assert main(["gradients", str(series)]) != 0


def test_images_become_a_store_by_their_atlas(tmp_path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="the extra fmri is not installed")
    pytest.importorskip("nilearn", reason="the extra fmri is not installed")
    labels = np.zeros((6, 6, 6), dtype=np.int16)
    labels[:2], labels[4:] = 4, 8
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "atlas.nii.gz")
    (tmp_path / "names.csv").write_text("value,name\n4,left\n8,right\n")
    for i in range(2):
        data = np.random.default_rng(i).standard_normal((6, 6, 6, 12)).astype(np.float32)
        image = nibabel.Nifti1Image(data, np.eye(4))
        image.header.set_zooms((1, 1, 1, 1.5))
        nibabel.save(image, tmp_path / f"sub-{i}_bold.nii.gz")
    paths = [str(p) for p in sorted(tmp_path.glob("sub-*.nii.gz"))]
    given = ["prepare", "fmri", *paths, "-o", str(tmp_path / "store")]
    given += ["--atlas", str(tmp_path / "atlas.nii.gz"), "--labels", str(tmp_path / "names.csv")]
    assert main(given) == 0
    with SignalStore(tmp_path / "store") as store:
        assert tuple(store.channels) == ("left", "right")
        assert store.rates_hz[0] == pytest.approx(1 / 1.5)
        assert list(store.record_ids) == ["sub-0_bold", "sub-1_bold"]


def test_an_fmriprep_folder_becomes_a_store_of_runs_or_of_labelled_trials(tmp_path, capsys) -> None:
    pytest.importorskip("nilearn", reason="the extra fmri is not installed")
    bids, derivatives, atlas = write_study(tmp_path)
    func = derivatives / "sub-01" / "func"  # fMRIPrep leaves more beside a run
    for name in ("boldref", "desc-brain_mask"):
        shutil.copy(atlas, func / f"sub-01_task-blocks_{name}.nii.gz")
    store, trials = tmp_path / "store", tmp_path / "trials"
    given = ["prepare", "fmri", str(derivatives), "--atlas", str(atlas), "--events", str(bids)]
    given += ["--confounds", "fmriprep"]
    assert main([*given, "-o", str(store)]) == 0
    assert "2 files found" in capsys.readouterr().out
    assert main([*given, "-o", str(trials), "--trials", "--strategy", "motion,scrub"]) == 0
    with SignalStore(store) as opened:
        runs = [opened.recording(i) for i in range(len(opened))]
    assert [run.subject_id for run in runs] == ["sub-01", "sub-02"]
    assert [event["trial_type"] for event in runs[0].labels["events"]] == [*TASKS, *TASKS]
    assert len(runs[0].labels["frames"]) == runs[0].n_times < N_TIMES
    with SignalStore(trials) as opened:
        pieces = [opened.recording(i) for i in range(len(opened))]
    assert [piece.labels["trial_type"] for piece in pieces] == [*TASKS, *TASKS] * 2
    assert {piece.subject_id for piece in pieces} == {"sub-01", "sub-02"}
    cohort = trial_cohort(runs, name="blocks", title="blocks")
    assert cohort.column("trial_type").tolist() == [*TASKS, *TASKS] * 2
    for row, piece in zip(cohort.runs, pieces, strict=True):
        assert (row.n_times, row.labels["onset"]) == (piece.n_times, piece.labels["onset"])
    assert main([*given[:-4], "-o", str(tmp_path / "x"), "--trials"]) != 0
    assert "expected --events BIDS with --trials" in capsys.readouterr().err
