"""EEG in text tables, as recorders of wearable devices write them (muse-lsl, OpenBCI by LSL).

The first row names the columns. One holds the time in seconds, which comes in packets: the rate is
that of the whole recording, and no single step is believed. Numbers are microvolt unless the header
row says otherwise (`TP9 [mV]`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.data._paths import shown
from biojepa.data.tables import read_table
from biojepa.data.units import canonical_unit
from biojepa.errors import DataError, FormatError
from biojepa.extras import require

_TIME = re.compile(r"timestamps?|time|lsl[ _]?time(stamps?)?|seconds?", re.IGNORECASE)
_MARKS = re.compile(r"^(marker|stim|event|trigger|status)", re.IGNORECASE)
_OTHER = re.compile(r"aux|acc|gyro|ppg|battery|index|counter", re.IGNORECASE)
_TO_VOLT = {"uV": 1e-6, "mV": 1e-3, "V": 1.0}
MAX_JITTER_S = 0.25  # ours: packets of a radio link come late by less; more is a gap


def read_eeg_table(path: Path) -> Any:
    """Read a table.

    Parameters
    ----------
    path : Path

    Returns
    -------
    mne.io.RawArray
        In volt; columns of markers and auxiliary inputs are marked as such.

    Raises
    ------
    FormatError
        If there is no header row, no time column, or a cell is no number.
    DataError
        If the time has gaps, or a unit is no voltage.
    """
    mne = require("mne", "eeg", why="to read EEG files")
    where, table = shown(path), read_table(path)
    times = [i for i, name in enumerate(table.names or []) if _TIME.fullmatch(name.strip())]
    if table.names is None or len(times) != 1:
        raise FormatError(
            f"{where}: expected a header row of channel names with one column of times in seconds "
            f"(timestamps), got {', '.join(table.names or ['numbers'])[:200]}"
        )
    rate_hz = _rate(table.numbers[:, times[0]], where)
    names, kinds, scales = [], [], []
    for i, name in enumerate(table.names):
        if i == times[0]:
            continue
        marks, other = _MARKS.match(name.strip()), _OTHER.search(name)
        names.append(name.strip())
        kinds.append("stim" if marks else "misc" if other else "eeg")
        unit = "uV" if table.units[i] is None else canonical_unit(str(table.units[i]))
        if unit not in _TO_VOLT and kinds[-1] == "eeg":
            raise DataError(f"{where}: expected a voltage in column {name!r}, got unit {unit}")
        scales.append(_TO_VOLT.get(unit, 1.0) if kinds[-1] == "eeg" else 1.0)
    values = np.delete(table.numbers, times[0], axis=1).T * np.array(scales)[:, None]
    return mne.io.RawArray(values, mne.create_info(names, rate_hz, kinds), verbose="error")


def _rate(time_s: np.ndarray, where: str) -> float:
    """Samples a second over the whole recording."""
    if len(time_s) < 2 or not np.isfinite(time_s).all() or not time_s[-1] > time_s[0]:
        raise DataError(f"{where}: expected rising times in seconds")
    rate = (len(time_s) - 1) / float(time_s[-1] - time_s[0])
    late = np.abs(time_s - time_s[0] - np.arange(len(time_s)) / rate).max()
    if late > MAX_JITTER_S:
        raise DataError(
            f"{where}: the times are up to {late:.2f} s off a regular {rate:.4g} Hz: cut the "
            "recording where it has gaps"
        )
    near = round(rate)  # times are written with few digits, and the clocks of devices differ
    return float(near) if near and abs(rate - near) < 1e-3 * rate else rate
