"""The two set-up commands say what is wrong with a machine that cannot run them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    inherited.pop("MFLAGS", None)
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True)


def _fake_python(folder: Path, body: str) -> Path:
    path = folder / "python3"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("target", ["demo", "test"])
def test_a_missing_interpreter_is_named(tmp_path: Path, target: str) -> None:
    done = _make(target, f"VENV={tmp_path / 'venv'}", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "there is no 'no-such-python'" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_old_interpreter_is_refused_with_its_version(tmp_path: Path) -> None:
    old = _fake_python(tmp_path, 'test "$1" = --version && echo "Python 3.10.4" || exit 1')
    done = _make("test", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "is Python 3.10.4" in done.stderr


def test_an_interpreter_without_venv_is_refused_with_the_fix(tmp_path: Path) -> None:
    bare = _fake_python(tmp_path, 'case "$2" in venv|virtualenv|pip) exit 1;; *) exit 0;; esac')
    done = _make("test", f"VENV={tmp_path / 'venv'}", f"PYTHON={bare}")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stderr


def test_a_failed_install_is_tried_again(tmp_path: Path) -> None:
    stub = _fake_python(
        tmp_path,
        f"""case "$*" in
        "-m venv"*) mkdir -p {tmp_path}/venv/bin; cp "$0" {tmp_path}/venv/bin/python;;
        *"pip install"*) exit 1;;
        esac""",
    )
    for _ in range(2):
        done = _make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={stub}")
        assert done.returncode != 0
        assert "installing biojepa" in done.stdout
    assert not (tmp_path / "venv" / ".ready").exists()


def test_make_test_runs_everything_but_gpu_and_benchmarks(tmp_path: Path) -> None:
    whole = _make("-n", "test", f"VENV={tmp_path}").stdout.splitlines()[-1]
    assert whole.endswith('-m pytest -m "not gpu and not benchmark"')
    fast = _make("-n", "test-fast", f"VENV={tmp_path}").stdout.splitlines()[-1]
    assert fast.endswith('-m pytest -m "not slow and not gpu and not benchmark"')


def test_help_lists_every_public_target() -> None:
    text = _make("help").stdout
    for target in ("demo", "test", "test-fast", "lint", "bench", "readme", "clean"):
        assert f"make {target} " in text


def test_continuous_integration_calls_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"
