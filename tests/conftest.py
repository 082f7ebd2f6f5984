"""Shared factories, the way to the real recordings, and the list of what was skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# tiny models are faster on one thread, and runs of child processes do not fight for the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# scikit-learn skips its array-API check without it; it must be set before scipy is imported
os.environ.setdefault("SCIPY_ARRAY_API", "1")

ROOT = Path(__file__).resolve().parents[1]
PARITY = ROOT / "tests" / "parity"


def real_data(relative: str) -> Path:
    """Path of a real recording set, or skip the test and say where it was looked for."""
    root = Path(os.environ.get("BIOJEPA_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = root / relative
    if not path.exists():
        pytest.skip(f"no real recordings at {path} (set BIOJEPA_TEST_DATA)")
    return path


def pytest_terminal_summary(terminalreporter) -> None:
    """End the run with the list of what was skipped and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section(f"skipped: {len(skipped)}")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
