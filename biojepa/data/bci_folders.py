"""Public recordings of brain-computer interfaces, read from folders laid out as published.

- EEGMMIDB (PhysioNet, Schalk et al. 2004): `S001R04.edf`, ...; runs 4, 8, 12 are imagined left and
  right fist, with rest between the trials.
- SSVEP exoskeleton (Kalunga et al. 2016): `subjectNN/*_raw.fif` with `*-eve.fif`; not in volts.
- Muse visual ERP (muse-lsl): `visual/P300/subjectN/sessionN/*.csv`, microvolt; timestamps come in
  bursts, so that the nominal rate holds.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from biojepa.data.bci import RATE_HZ, BCIRecordings, BCIRun, condition, file_hashes
from biojepa.data.eeg_reader import read_eeg
from biojepa.data.montage import place_channels
from biojepa.errors import DataError, FormatError
from biojepa.extras import require

IMAGERY_RUNS = (4, 8, 12)
_EEGMMIDB = {"T0": "rest", "T1": "left", "T2": "right"}
_SSVEP = {1: "rest", 2: "13 Hz", 3: "21 Hz", 4: "17 Hz"}
_MUSE = {1: "non-target", 2: "target"}
MUSE_CHANNELS, MUSE_HZ = ("TP9", "AF7", "AF8", "TP10"), 256.0


def eegmmidb_files(root: Path) -> list[Path]:
    """Files of imagery of EEGMMIDB.

    Raises
    ------
    DataError
        If there is none.
    """
    named = {p: re.fullmatch(r"S\d{3}R(\d{2})\.edf", p.name) for p in _files(root, "*.edf")}
    files = [p for p, name in named.items() if name and int(name[1]) in IMAGERY_RUNS]
    if not files:
        raise DataError(f"{root}: expected EEGMMIDB's S001R04.edf, ..., found none")
    return files


def read_eegmmidb(root: Path) -> BCIRecordings:
    """Imagery of the left and right fist.

    Raises
    ------
    DataError
        If no run of imagery is there.
    FormatError
        If a file is damaged.
    """
    files = eegmmidb_files(root)
    runs: list[BCIRun] = []
    channels: tuple[str, ...] = ()
    for path in files:
        raw = read_eeg(path)
        marks = [(a["onset"], _EEGMMIDB[a["description"]]) for a in _marks(raw, _EEGMMIDB)]
        channels = _same(channels, place_channels(raw.ch_names).names, path)
        subject, number = path.stem.split("R")
        runs.append(
            BCIRun(
                subject,
                f"R{number}",
                condition(1e6 * raw.get_data(), float(raw.info["sfreq"])),
                np.array([round(s * RATE_HZ) for s, _ in marks], dtype=np.int64),
                tuple(label for _, label in marks),
            )
        )
    return BCIRecordings(
        "EEGMMIDB, imagined fists", tuple(runs), channels, sha256=file_hashes(files, root)
    )


def read_ssvep_exoskeleton(root: Path) -> BCIRecordings:
    """Gaze at a light that flickers at 13, 17 or 21 hertz.

    Raises
    ------
    DataError
        If no run is there.
    FormatError
        If a file is damaged, or its events are not there.
    """
    files = _files(root, "*_raw.fif")
    if not files:
        raise DataError(f"{root}: expected subject01/..._raw.fif, ..., found none")
    mne = require("mne", "eeg", why="to read FIF files")
    runs: list[BCIRun] = []
    read: list[Path] = []
    channels: tuple[str, ...] = ()
    for path in files:
        raw = read_eeg(path)
        marks = path.with_name(path.name.removesuffix("_raw.fif") + "-eve.fif")
        if not marks.is_file():
            raise FormatError(f"{path}: expected its events in {marks.name} beside it")
        events = mne.read_events(marks, verbose="error")
        events = events[np.isin(events[:, 2], list(_SSVEP))]
        channels = _same(channels, place_channels(raw.ch_names).names, path)
        rate = float(raw.info["sfreq"])
        onsets = np.round((events[:, 0] - raw.first_samp) / rate * RATE_HZ).astype(np.int64)
        labels = tuple(_SSVEP[int(code)] for code in events[:, 2])
        values = condition(raw.get_data(), rate)
        runs.append(BCIRun(path.parent.name, path.name[:30], values, onsets, labels))
        read += [path, marks]
    return BCIRecordings(
        "SSVEP exoskeleton", tuple(runs), channels, "arbitrary", file_hashes(read, root)
    )


def read_muse(root: Path) -> BCIRecordings:
    """A rare picture among frequent ones, on four dry electrodes.

    Raises
    ------
    DataError
        If no run is there.
    FormatError
        If a column is missing or not of numbers.
    """
    files = [p for p in _files(root, "*.csv") if "P300" in p.parts]
    if not files:
        raise DataError(f"{root}: expected visual/P300/subject1/session1/*.csv, found none")
    runs = []
    for path in files:
        table = pd.read_csv(path)
        wanted = [*MUSE_CHANNELS, "Marker"]
        if any(name not in table or table[name].dtype.kind not in "if" for name in wanted):
            raise FormatError(f"{path}: expected columns of numbers {', '.join(wanted)}")
        marker = table["Marker"].to_numpy()
        at = np.flatnonzero(np.isin(marker, list(_MUSE)))
        subject, session = path.parent.parent.name, path.parent.name
        runs.append(
            BCIRun(
                subject,
                f"{session} {path.stem}",
                condition(table[list(MUSE_CHANNELS)].to_numpy().T, MUSE_HZ),
                np.round(at / MUSE_HZ * RATE_HZ).astype(np.int64),
                tuple(_MUSE[int(code)] for code in marker[at]),
            )
        )
    return BCIRecordings(
        "Muse visual P300", tuple(runs), MUSE_CHANNELS, sha256=file_hashes(files, root)
    )


def _files(root: Path, pattern: str) -> list[Path]:
    return sorted(p for p in root.rglob(pattern) if p.is_file())


def _marks(raw, known) -> list:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return [a for a in raw.annotations if a["description"] in known]


def _same(before: tuple[str, ...], now: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if before and before != now:
        raise FormatError(f"{path}: expected the channels of the other files, got {', '.join(now)}")
    return now
