"""The run directory: one process at a time, settings, metrics that survive kills."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from biojepa.engine.run import MetricsLog, RunLock, as_stored, read_settings, write_settings
from biojepa.errors import ConfigError, RunError

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from biojepa.engine.run import RunLock
from biojepa.errors import RunError
try:
    with RunLock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except RunError as error:
    sys.exit(str(error))
"""


def holder(run: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_a_second_process_is_refused_and_a_dead_ones_lock_is_taken_over(tmp_path) -> None:
    with RunLock(tmp_path), holder(tmp_path) as second:
        _, message = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"in use by process {os.getpid()}" in message
    with holder(tmp_path) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"process {first.pid}"), RunLock(tmp_path):
            pass
        first.kill()
        first.wait()
        with RunLock(tmp_path):
            assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()}")


def test_a_file_in_the_way_is_a_run_error(tmp_path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="cannot use"), RunLock(tmp_path / "run"):
        pass


def test_settings_come_back_as_they_are_compared(tmp_path) -> None:
    settings = {"train": {"lr": 1e-6, "clip": None}, "leads": ("I", "V1"), "name": "Zürich"}
    write_settings(tmp_path, settings)
    assert read_settings(tmp_path) == as_stored(settings)
    assert as_stored(settings)["leads"] == ["I", "V1"]


def test_a_folder_without_settings_or_with_others_is_refused(tmp_path) -> None:
    with pytest.raises(RunError, match="no config.yaml"):
        read_settings(tmp_path)
    for text, message in [("- a\n", "mapping"), ("a: [", "not readable")]:
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_settings(tmp_path)


def test_new_columns_may_appear_on_the_way(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    log = MetricsLog(path)
    log.write({"step": 1, "loss": 0.5})
    log.write({"step": 2, "loss": 0.25, "rankme": 7.0})
    log.write({"step": 3, "loss": 0.125})
    assert path.read_text() == "step,loss,rankme\n1,0.5,\n2,0.25,7.0\n3,0.125,\n"


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    log = MetricsLog(path)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": step / 4})
    log = MetricsLog(path, resume_step=2)
    log.write({"step": 3, "loss": 9.0})
    assert path.read_text() == "step,loss\n1,0.25\n2,0.5\n3,9.0\n"
    MetricsLog(path)
    assert path.read_text() == ""


def test_a_row_that_a_kill_cut_off_is_dropped(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.5\n10,0.25\n1")  # the last one was to be 11
    MetricsLog(path, resume_step=10)
    assert path.read_text() == "step,loss\n1,0.5\n10,0.25\n"
