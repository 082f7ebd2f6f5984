"""ruff and mypy find nothing. They keep caches, so that a second run takes seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

COMMANDS = {
    "ruff_check": ["ruff", "check", "--quiet", "--output-format=concise", "."],
    "ruff_format": ["ruff", "format", "--quiet", "--diff", "."],
    "mypy": ["mypy", "--no-error-summary"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_tool_finds_nothing(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *COMMANDS[name]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}"
