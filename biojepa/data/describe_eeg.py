"""What an EEG file holds and whether it looks right, for a person who has to decide what to do."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.edf_header import ANNOTATIONS, HEAD_BYTES, header_size, is_edf, parse_header
from biojepa.data.eeg_facts import facts_of, subject_of
from biojepa.data.eeg_reader import find_eeg, read_eeg
from biojepa.data.eeg_records import bad_channels, recordings_of
from biojepa.data.eeg_scale import check_eeg_scale
from biojepa.data.montage import clean_name, place_channels, template_positions
from biojepa.errors import BiojepaError, DataError, LeadError

_EEG_ONLY = (".fif", ".fif.gz", ".vhdr", ".set")
MAX_HEAD_BYTES = 1 << 16


def eeg_files(path: str | Path) -> list[Path]:
    """The files below a path that look like EEG, as far as MNE is installed to read them.

    FIF, BrainVision and EEGLAB are; EDF, BDF and tables are if most channels have 10-05 names.
    """
    if find_spec("mne") is None:
        return []
    try:
        found = find_eeg([Path(path)])
    except (DataError, OSError):
        return []
    return [file for file in found if _looks_like_eeg(file)]


def describe_eeg(path: str | Path, *, arbitrary: bool = False) -> dict[str, Any]:
    """Describe a file without refusing it.

    Parameters
    ----------
    path : path
    arbitrary : bool
        Its numbers are in no known unit, so that the scale is not judged.

    Returns
    -------
    dict
        JSON-able. Always `path`, `readable` and `problem` (a sentence, empty if none). If readable,
        also `channels`, `rate_hz`, `n_times`, `duration_s`, `unit`, `spread` (smallest and largest
        standard deviation of a channel, in `unit`), `placed` (how the channels were found, in
        lines), `unplaced`, `bad`, `flat`, `nan_fraction`, `subject`, `facts`, `warnings`.
    """
    result: dict[str, Any] = {"path": shown(path), "readable": False, "problem": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            raw = read_eeg(path)
            (recording,), places = recordings_of(raw, arbitrary=arbitrary)
        except BiojepaError as error:
            result["problem"] = str(error)
            return result
    bad = bad_channels(raw)
    used = np.array([name not in bad for name in recording.channels])
    values = recording.values[used] * (1 if arbitrary else 1e3)
    there = np.isfinite(values)
    spread = np.where(there, values, 0.0).std(axis=1, dtype=np.float64)
    names = [name for name in recording.channels if name not in bad]
    result.update(
        readable=True,
        channels=list(recording.channels),
        rate_hz=recording.rate_hz,
        n_times=recording.n_times,
        duration_s=recording.duration_s,
        unit="arbitrary" if arbitrary else "uV",
        spread=[float(spread.min()), float(spread.max())],
        bad=sorted(bad),
        flat=[name for name, s in zip(names, spread, strict=True) if s == 0],
        nan_fraction=float(1 - there.mean()),
        subject=subject_of(raw, Path(path)),
        facts=facts_of(raw, Path(path)),
        warnings=[str(w.message).removeprefix(f"{shown(path)}: ") for w in caught],
        placed=[],
        unplaced=[],
    )
    try:
        placed = place_channels(recording.channels, supplied=places, on_unknown="drop")
        result.update(placed=str(placed).splitlines(), unplaced=list(placed.dropped))
    except LeadError as error:
        result["problem"] = str(error)
        return result
    if not arbitrary:
        try:
            check_eeg_scale([values], where=shown(path), strict=True)
        except DataError as error:
            result["problem"] = str(error)
    return result


def _looks_like_eeg(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(_EEG_ONLY):
        return True
    try:
        labels = _labels(path)
    except (BiojepaError, OSError):
        return False
    known = [n for n in labels if clean_name(n).lower() in template_positions()]
    return len(known) * 2 > len(labels) or any(n.lower().startswith("eeg") for n in labels)


def _labels(path: Path) -> list[str]:
    """Names of the channels in the head of an EDF file or a table; empty for other files."""
    size = file_size(path)
    start = read_bytes(path, min(size, HEAD_BYTES))
    if is_edf(start):
        n_head = header_size(start, where=shown(path))
        head = parse_header(read_bytes(path, min(size, n_head)), where=shown(path))
        return [s.label for s in head.signals if s.label not in ANNOTATIONS]
    first = read_bytes(path, min(size, MAX_HEAD_BYTES)).partition(b"\n")[0]
    names = [cell.strip() for cell in first.decode("utf-8", "replace").split(",")]
    return [n for n in names if n][1:]  # after the time
