"""Mutants of each kind of EEG file: read, or refused by an error of ours.

Two thousand where our own parser reads; of files that MNE alone reads, which takes it ten times as
long, five hundred.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.data.eeg_reader import read_eeg
from biojepa.data.eeg_records import recordings_of
from tests.data.eeg_factory import write_brainvision, write_edf, write_eeglab, write_fif
from tests.eeg.published import needs_eeg
from tests.faults.cage import MB, run_many
from tests.faults.test_fuzz import N_MUTANTS, mutant

pytestmark = needs_eeg


def write_table(path: Path) -> Path:
    """A table as muse-lsl writes it."""
    values = np.random.default_rng(0).normal(0, 15, (80, 4))
    rows = [f"{k / 256:.3f}," + ",".join(f"{v:.3f}" for v in r) for k, r in enumerate(values)]
    path.write_text("\n".join(["timestamps,TP9,AF7,AF8,TP10", *rows]) + "\n")
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "edf": lambda folder: write_edf(folder / "x.edf", n_records=3),
    "fif": lambda folder: write_fif(folder / "x_raw.fif", n_times=200),
    "brainvision": write_brainvision,
    "eeglab": lambda folder: write_eeglab(folder / "x.set", n_times=200),
    "table": lambda folder: write_table(folder / "x.csv"),
}


def meet(path: Path, raw: bytes, k: int) -> Any:
    """Read a mutant; a recording that is returned is a whole one."""
    path.write_bytes(mutant(raw, np.random.default_rng(k)))
    found = read_eeg(path, allow_truncated=k % 3 == 0)
    (recording,), places = recordings_of(found, arbitrary=k % 2 == 0)
    n_channels, n_times = recording.values.shape
    assert n_channels == len(recording.channels) == len(set(recording.channels)) == len(places)
    assert n_times > 0
    assert 0 < recording.rate_hz < np.inf
    return n_times


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mutants_of_eeg_files_are_read_whole_or_refused(tmp_path, kind) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = KINDS[kind](root)
    raw = path.read_bytes()
    read_eeg(path)  # MNE is loaded here, not in each child
    n_mutants = N_MUTANTS if kind in ("edf", "table", "eeglab") else N_MUTANTS // 4
    calls = [functools.partial(meet, path, raw, k) for k in range(n_mutants)]
    outcomes = run_many(calls, root=root, memory=256 * MB, cpu_s=4)
    bad = [
        f"mutant {k}: {o.ended} {o.error} {o.message} {o.escapes}\n{o.trace}"
        for k, o in enumerate(outcomes)
        if o.ended not in ("returned", "refused") or o.escapes
    ]
    assert bad == [], f"{len(bad)} mutants, first:\n{bad[0]}"
    refused = sum(o.ended == "refused" for o in outcomes)
    assert 0 < refused < n_mutants
    assert all(o.message for o in outcomes if o.ended == "refused")
    assert not any("MemoryError" in o.message or "allocate" in o.message for o in outcomes)
