"""README and docs say what is true: their code runs, their numbers come from results."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from biojepa.cli.main import COMMANDS
from biojepa.data.simulate import simulate_ecg
from biojepa.ecg.recipes import get_recipe
from biojepa.eeg.recipes import get_recipe as eeg_recipe
from biojepa.fmri.recipes import get_recipe as fmri_recipe
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)  # ECG, EEG, fMRI


def test_the_numbers_of_the_documents_are_those_of_the_results():
    command = [sys.executable, str(ROOT / "docs" / "render_numbers.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_block_of_numbers_is_empty():
    for name in ("README.md", "docs/measurements.md", "docs/eeg.md", "docs/fmri.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        blocks = re.findall(r"<!-- numbers: ([a-z-]+) -->\n(.*?)<!-- /numbers -->", text, re.DOTALL)
        assert blocks
        assert [block for block, body in blocks if not body.strip()] == []


def test_the_ten_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
    cohort = simulate_ecg(60, rate_hz=250, random_state=0)
    rows = [cohort.leads.index(lead) for lead in ("I", "II", "V1", "V5")]
    np.save(tmp_path / "ecgs.npy", cohort.values[:, rows])
    np.save(tmp_path / "labels.npy", cohort.y[:, 0])
    np.save(tmp_path / "patients.npy", np.asarray(cohort.patient_id))
    monkeypatch.chdir(tmp_path)
    # the small preset trains for minutes; the lines are what is tested
    monkeypatch.setattr("biojepa.ecg.estimator.get_recipe", lambda name: get_recipe("tiny"))
    code = LINES[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    exec(compile(code, "README.md", "exec"), {})
    assert "[" in capsys.readouterr().out
    assert (tmp_path / "my_model" / "model.safetensors").is_file()


def test_the_lines_on_eeg_run(tmp_path, monkeypatch, capsys):
    mne = pytest.importorskip("mne")
    rng = np.random.default_rng(0)
    names = ["Fz", "C3", "Cz", "C4", "Pz"]
    info = mne.create_info(names, 128.0, "eeg")
    events = np.stack([300 * np.arange(24), np.zeros(24, int), 1 + np.arange(24) % 2], axis=1)
    values = 1e-5 * rng.standard_normal((24, 5, 300))
    epochs = mne.EpochsArray(values, info, events, verbose="error")
    epochs.save(tmp_path / "my-epo.fif", verbose="error")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("biojepa.eeg.estimator.get_recipe", lambda _: eeg_recipe("tiny"))
    kept: dict = {}
    with mne.use_log_level("error"):
        exec(compile(LINES[1], "README.md", "exec"), kept)
    assert "Cz" in capsys.readouterr().out
    assert kept["probabilities"].shape == (24, 2)


def test_the_lines_on_fmri_run(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for i in range(16):
        np.save(tmp_path / f"run{i}.npy", rng.standard_normal((80 + i, 20)))
    np.save(tmp_path / "ages.npy", rng.uniform(20, 80, 16))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("biojepa.fmri.estimator.get_recipe", lambda _: fmri_recipe("tiny"))
    exec(compile(LINES[2], "README.md", "exec"), {})
    assert len(capsys.readouterr().out.strip("[]\n").split()) == 16


def test_every_command_of_the_readme_exists():
    named = set(re.findall(r"biojepa (demo|[a-z]+(?: ecg)?)(?= )", README))
    known = {name for name, _, _ in COMMANDS}
    commands = {name for name in named if name.split()[0] in {k.split()[0] for k in known}}
    assert commands <= known | {k.split()[0] for k in known}
    assert {name for name in known if f"biojepa {name}" not in README} == set()
