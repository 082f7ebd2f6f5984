"""The reference tensors of braindecode's Signal-JEPA, and what the EEG tests share."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

REFERENCE = ROOT / "tests" / "parity" / "eeg"
TINY = REFERENCE / "tiny_sjepa.safetensors"

TEN_TWENTY = (
    "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
)  # the 19 of the 10-20 system
_THERE = all(find_spec(name) is not None for name in ("mne", "braindecode"))
needs_eeg = pytest.mark.skipif(not _THERE, reason='needs pip install "biojepa[eeg]"')


def arrays() -> dict[str, np.ndarray]:
    with np.load(REFERENCE / "tiny_sjepa_io.npz") as file:
        return dict(file)


def spatial_blocks() -> dict:
    return json.loads(Path(REFERENCE / "spatial_blocks.json").read_text(encoding="utf-8"))
