"""What BIDS keeps beside a recording: types and state of its channels, places of its electrodes.

`*_channels.tsv` says which channels are bad or no EEG; `*_electrodes.tsv` with `*_coordsystem.json`
says where they are. Of the coordinate systems CapTrak is taken, which is MNE's head frame and what
MNE-BIDS writes for EEG; others are passed over, and names are looked up.

References
----------
Pernet et al. 2019, EEG-BIDS, Scientific Data 6:103.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biojepa.data._paths import file_size, read_bytes
from biojepa.extras import require

MAX_BYTES = 4 << 20
_PER_METRE = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
_TYPES = ("EOG", "ECG", "EMG", "STIM")


def take_bids(raw: Any, path: Path, stem: str) -> None:
    """Mark channels and set places as the files beside a recording say.

    Parameters
    ----------
    raw : mne.io.Raw
        Changed in place.
    path : Path
    stem : str
        Its name without suffix; nothing is done unless it ends in `_eeg`.
    """
    if not stem.endswith("_eeg"):
        return
    types: dict[str, str] = {}
    bad = []
    for row in _rows(path.with_name(stem.removesuffix("eeg") + "channels.tsv")):
        name, kind = row.get("name") or "", (row.get("type") or "").upper()
        if name in raw.ch_names:
            if kind and kind != "EEG":
                types[name] = kind.lower() if kind in _TYPES else "misc"
            if (row.get("status") or "").lower() == "bad":
                bad.append(name)
    if types:
        raw.set_channel_types(types, on_unit_change="ignore")
    raw.info["bads"] = sorted({*raw.info["bads"], *bad}, key=raw.ch_names.index)
    places = {n: xyz for n, xyz in _electrodes(path, stem).items() if n in raw.ch_names}
    if places:
        mne = require("mne", "eeg", why="to place EEG electrodes")
        montage = mne.channels.make_dig_montage(places, coord_frame="head")
        raw.set_montage(montage, on_missing="ignore", verbose="error")


def beside(path: Path, ending: str) -> dict[str, Any]:
    """A JSON file of BIDS as a dict; empty if it is absent, large or no JSON object."""
    file = path.with_name(ending)
    try:
        found = json.loads(_text(file)) if file.is_file() else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _electrodes(path: Path, stem: str) -> dict[str, tuple[float, float, float]]:
    """Places of the electrodes of this subject and session, metres, head frame."""
    own = set(stem.split("_"))
    for file in sorted(path.parent.glob("sub-*_electrodes.tsv")):
        head = file.name.removesuffix("electrodes.tsv")
        entities = [part for part in head.split("_") if part]
        if not {e for e in entities if not e.startswith("space-")} <= own:
            continue
        system = beside(path, f"{head}coordsystem.json")
        scale = _PER_METRE.get(str(system.get("EEGCoordinateUnits")))
        if system.get("EEGCoordinateSystem") != "CapTrak" or scale is None:
            continue
        found = {}
        for row in _rows(file):
            xyz = [_number(row.get(axis)) for axis in "xyz"]
            if row.get("name") and all(value is not None for value in xyz):
                x, y, z = (scale * float(value or 0.0) for value in xyz)
                found[str(row["name"])] = (x, y, z)
        return found
    return {}


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", text, re.I) else None


def _rows(file: Path) -> Iterator[dict[str, str]]:
    if file.is_file():
        yield from csv.DictReader(_text(file).splitlines(), delimiter="\t")


def _text(file: Path) -> str:
    return read_bytes(file, min(file_size(file), MAX_BYTES)).decode("utf-8-sig", "replace")
