"""A small cohort as files and store, and a model that was pretrained on it by command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.simulate import simulate_ecg
from biojepa.data.simulated_cohort import ECGCohort, write_wfdb_cohort
from biojepa.ecg import ECGClassifier
from tests.data.eeg_factory import write_edf, write_fif

TINY = ["--preset", "tiny", "--steps", "4", "--batch-size", "8", "--device", "cpu"]


@pytest.fixture(scope="package")
def cohort() -> ECGCohort:
    return simulate_ecg(24, rate_hz=100, random_state=5)


@pytest.fixture(scope="package")
def files(cohort: ECGCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "wfdb"
    write_wfdb_cohort(cohort, folder)
    return folder


@pytest.fixture(scope="package")
def array(cohort: ECGCohort, files: Path) -> Path:
    path = files.parent / "ecgs.npy"
    np.save(path, cohort.values)
    return path


@pytest.fixture(scope="package")
def store(files: Path) -> Path:
    path = files.parent / "store"
    assert main(["prepare", str(files), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="package")
def trained(store: Path) -> Path:
    path = store.parent / "trained"
    assert main(["pretrain", "ecg", str(store), "-o", str(path), *TINY]) == 0
    return path


@pytest.fixture(scope="package")
def classifiers(trained: Path, cohort: ECGCohort) -> dict[str, Path]:
    """Model folders of a probe (linear) and of a network (attentive), on the cohort's labels."""
    folders = {}
    for mode in ("linear", "attentive"):
        classifier = ECGClassifier(
            encoder=trained, mode=mode, fs=100, leads=cohort.leads, steps=2, random_state=0
        )
        labels = np.where(cohort.y[:, 0] == 1, "normal", "other")
        classifier.fit(cohort.values, labels if mode == "linear" else cohort.y)
        folders[mode] = trained.parent / mode
        classifier.save_pretrained(folders[mode])
    return folders


def child(*argv: str | Path) -> subprocess.Popen[str]:
    """The command line as a process of its own, on one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "biojepa", *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def run_child(*argv: str | Path, code: int = 0) -> tuple[str, str]:
    """Run to the end; the two outputs."""
    process = child(*argv)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out, err


def stop_after(process: subprocess.Popen[str], path: Path, number: signal.Signals) -> str:
    """Send a signal as soon as a file is there; what the process said on standard output."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    return process.communicate(timeout=120)[0]


@pytest.fixture(scope="package")
def eegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two EEG files of one montage and one of another."""
    folder = tmp_path_factory.mktemp("eegs")
    for name in ("a", "b"):
        write_edf(folder / f"{name}.edf", ("EEG Fp1-LE", "EEG C3-LE", "EEG Cz-LE"), n_records=12)
    write_fif(folder / "c_raw.fif", ("Pz", "POz", "O1"), n_times=1500, subject="S7")
    return folder


@pytest.fixture(scope="package")
def eeg_run(eegs: Path) -> Path:
    """A run that was pretrained on them."""
    path = eegs.parent / "eeg-run"
    tiny = ["--preset", "tiny", "--steps", "2", "--batch-size", "4", "--device", "cpu"]
    assert main(["pretrain", "eeg", str(eegs), "-o", str(path), *tiny]) == 0
    return path
