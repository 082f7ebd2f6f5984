"""`biojepa embed` with an EEG model: files, folders and stores; windows and recordings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.eeg import SignalJEPA, SignalJEPAClassifier
from tests.data.eeg_factory import write_edf
from tests.eeg.published import needs_eeg
from tests.eeg.toys import waves

pytestmark = needs_eeg
NAMES = ("Fp1", "C3", "Cz")


def table(path: Path) -> tuple[list[str], np.ndarray]:
    with np.load(path) as found:
        return found["record_id"].tolist(), found["features"]


def test_files_give_a_row_a_window_as_in_python(eeg_run, eegs, tmp_path, capsys) -> None:
    out = tmp_path / "f.csv"
    assert main(["embed", str(eeg_run), str(eegs), "-o", str(out)]) == 0
    assert "15 windows, 64 features" in capsys.readouterr().out
    with out.open(newline="") as handle:
        rows = list(csv.reader(handle))
    assert [row[0] for row in rows[1:6]] == ["a#0", "a#1", "a#2", "a#3", "a#4"]
    assert rows[0][:2] == ["record_id", "f0"]
    wanted = SignalJEPA.from_pretrained(eeg_run).transform(eegs)
    np.testing.assert_allclose(np.array(rows[1:])[:, 1:].astype(float), wanted, atol=1e-5)


def test_rows_of_recordings_are_means_over_their_windows(eeg_run, eegs, tmp_path) -> None:
    one, many = tmp_path / "one.npz", tmp_path / "many.npz"
    assert main(["embed", str(eeg_run), str(eegs), "-o", str(many)]) == 0
    line = ["embed", str(eeg_run), str(eegs), "-o", str(one), "--rows", "recording"]
    assert main(line) == 0
    names, features = table(one)
    assert names == ["a", "b", "c_raw"]
    np.testing.assert_allclose(features[0], table(many)[1][:5].mean(axis=0), atol=1e-6)


def test_a_store_gives_the_rows_of_its_files(eeg_run, eegs, tmp_path) -> None:
    store, one, two = tmp_path / "s", tmp_path / "one.npz", tmp_path / "two.npz"
    assert main(["prepare", "eeg", str(eegs), "-o", str(store)]) == 0
    assert main(["embed", str(eeg_run), str(store), "-o", str(one), "--layer", "0,-1"]) == 0
    assert main(["embed", str(eeg_run), str(eegs), "-o", str(two), "--layer", "0,-1"]) == 0
    rows = {name: row for name, row in zip(*table(two), strict=True)}
    for name, row in zip(*table(one), strict=True):
        np.testing.assert_allclose(row, rows[name], atol=0.02)  # 16 bits a sample
    assert set(rows) == set(table(one)[0])


def test_a_bad_file_stops_or_is_listed(eeg_run, eegs, tmp_path, capsys) -> None:
    bad = write_edf(tmp_path / "bad.edf", ("Fp1-F7", "C3", "Cz"), n_records=12)
    out = tmp_path / "f.csv"
    line = ["embed", str(eeg_run), str(bad), str(eegs / "a.edf"), "-o", str(out)]
    assert main(line) == 1
    said = capsys.readouterr().err
    assert "bad: " in said
    assert "--on-unknown drop" in said
    assert not out.exists()
    assert main([*line, "--on-error", "skip"]) == 0
    assert "Fp1-F7" in (tmp_path / "f.skipped.csv").read_text()
    assert main([*line, "--on-unknown", "drop"]) == 0


def test_options_of_ecg_models_and_implausible_files_are_refused(
    eeg_run, eegs, tmp_path, capsys
) -> None:
    line = ["embed", str(eeg_run), str(eegs), "-o", str(tmp_path / "f.csv")]
    for more in (["--fs", "100"], ["--leads", "C3"], ["--scale"]):
        assert main([*line, *more]) == 2
    assert main([*line, "--probabilities"]) == 1
    volts = write_edf(tmp_path / "volts.edf", NAMES, unit="V", n_records=12)
    line = ["embed", str(eeg_run), str(volts), "-o", str(tmp_path / "f.csv")]
    assert main(line) == 1
    assert "units='arbitrary'" in capsys.readouterr().err
    assert main([*line, "--units", "arbitrary"]) == 0


@pytest.mark.parametrize("regime", ["linear", "new"])
def test_a_classifier_gives_features_and_probabilities(regime, eeg_run, eegs, tmp_path) -> None:
    encoder = SignalJEPA.from_pretrained(eeg_run)
    X, y = waves(12, NAMES, n_times=encoder.model_config_.n_times), np.arange(12) % 2
    net = SignalJEPAClassifier(
        architecture="post-local",
        regime=regime,
        encoder=str(eeg_run),
        epochs=1,
        sfreq=128,
        ch_names=NAMES,
        random_state=0,
    )
    net.fit(X, np.array(["left", "right"])[y]).save_pretrained(tmp_path / "net")
    out, line = tmp_path / "f.npz", ["embed", str(tmp_path / "net"), str(eegs / "a.edf")]
    assert main([*line, "-o", str(out), "--probabilities"]) == 0
    with np.load(out) as found:
        assert found["classes"].tolist() == ["left", "right"]
        np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, atol=1e-5)
        features = found["features"]
    np.testing.assert_allclose(features, encoder.transform(eegs / "a.edf"), atol=1e-6)
