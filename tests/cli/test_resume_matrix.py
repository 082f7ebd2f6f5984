"""Real child processes, killed and resumed, equal the run that was never touched: difference 0.0.

The `small` recipe through the command line; killed in the warm-up, at an epoch edge, at a random
step, with and without accumulation, loader workers and a second gloo process.
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from biojepa.data.leads import STANDARD_12
from biojepa.data.simulate import simulate_ecg

STEPS = 14
LAYOUTS = {
    "plain": [],
    "accumulated": ["--train.accumulate", "2"],
    "two-workers": ["--train.workers", "2"],
    "two-processes": ["--train.devices", "2"],
    "all-at-once": ["--train.devices", "2", "--train.workers", "2", "--train.accumulate", "2"],
}
# 24 records in batches of 8: an epoch is 3 steps, the warm-up 4, a checkpoint every 2
KILLS = {
    "killed-in-the-warm-up": (signal.SIGKILL, 3),
    "killed-at-an-epoch-edge": (signal.SIGKILL, 6),
    "killed-at-a-random-step": (signal.SIGKILL, int(np.random.default_rng(26).integers(3, 12))),
    "terminated-at-a-random-step": (signal.SIGTERM, int(np.random.default_rng(27).integers(2, 12))),
}
TIME_COLUMNS = ("seconds", "samples_per_s")

pytestmark = pytest.mark.slow


@cache
def data(root: Path) -> Path:
    """Twenty-four simulated records as one array."""
    path = root / "records.npy"
    np.save(path, simulate_ecg(24, rate_hz=100, random_state=0).values)
    return path


def command(root: Path, run: Path, layout: str) -> list[str]:
    """The command line of a run."""
    settings = {"steps": STEPS, "batch_size": 8, "warmup_steps": 4, "log_every": 1}
    settings |= {"checkpoint_every": 2, "keep_last": 3, "diagnose_every": 5, "device": "cpu"}
    options = [text for name, v in settings.items() for text in (f"--train.{name}", str(v))]
    where = ["pretrain", "ecg", str(data(root)), "-o", str(run), "--preset", "small"]
    where += ["--fs", "100", "--leads", ",".join(STANDARD_12)]
    return [*where, *options, *LAYOUTS[layout]]


def start(arguments: list[str]) -> subprocess.Popen:
    """A child process that leads its own group."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-m", "biojepa", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> None:
    """Wait for success."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


@cache
def untouched(root: Path, layout: str) -> Path:
    """The run that nobody killed."""
    run = root / f"untouched-{layout}"
    finish(start(command(root, run, layout)))
    return run


def rows(run: Path) -> list[dict[str, str]]:
    """Logged metrics without the columns of time."""
    path = run / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as handle:
        table = list(csv.DictReader(handle))
    return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in table]


def difference(a: Path, b: Path) -> float:
    """Largest difference between the last checkpoints of two runs, over every file and tensor."""
    folders = [run / "checkpoints" / f"step-{STEPS:08d}" for run in (a, b)]
    names = [sorted(p.name for p in f.glob("*.safetensors")) for f in folders]
    assert (
        names[0]
        == names[1]
        == ["model.safetensors", "optimizer.safetensors"] + ["target_encoder.safetensors"]
    )
    largest = 0.0
    for name in names[0]:
        left, right = (load_file(folder / name) for folder in folders)
        assert left.keys() == right.keys()
        for key in left:
            gap = np.abs(left[key].astype(np.float64) - right[key]).max(initial=0.0)
            largest = max(largest, float(gap))
    return largest


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """One folder for all runs."""
    return tmp_path_factory.mktemp("matrix")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_resumes_bit_for_bit(root, layout, kill):
    number, step = KILLS[kill]
    whole = untouched(root, layout)
    run = root / f"{kill}-{layout}"
    process = start(command(root, run, layout))
    deadline = time.monotonic() + 240
    while process.poll() is None and len(rows(run)) < step:
        assert time.monotonic() < deadline, "the run made no step"
        time.sleep(0.002)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=120)
    expected = -signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM
    assert process.returncode == expected, output
    assert len(rows(run)) < STEPS, "the run was over before it was killed"
    finish(start(["resume", str(run)]))
    assert difference(whole, run) == 0.0
    assert rows(run) == rows(whole)
