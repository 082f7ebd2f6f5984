"""From the channels that a format's reader decoded to a `Recording`.

Units, lead names, rate, gaps and scale are judged here, by the same rules for every format; a
format's own file only decodes. What the caller says of a file comes in as `ReadOptions`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import shown
from biojepa.data.arrays import DEFAULT_MAX_BYTES, check_rate, convert
from biojepa.data.gaps import check_gaps
from biojepa.data.leads import STANDARD_12, canonical_lead, canonical_leads
from biojepa.data.recording import Recording
from biojepa.data.units import canonical_unit
from biojepa.errors import DataError, FormatError, LeadError

_PER_MV = {"mV": 1.0, "uV": 1e-3, "V": 1e3}


@dataclass(frozen=True)
class ReadOptions:
    """What a caller says of a file, the same for every format.

    Parameters
    ----------
    leads : sequence of str or None
        Names of the channels in the order of the file, in place of the file's own.
    rate_hz : float or None
        Samples per second, for files that do not say; must agree with those that do.
    unit : str or None
        Unit of the numbers, in place of the file's own.
    verify : bool or "warn"
        Compare checksums, where the format has them.
    root : path or None
        Folder that the file may not leave.
    follow_symlinks : bool
        See `biojepa.data.wfdb_reader.read_wfdb`.
    scale_check : bool
        Refuse implausible millivolt.
    allow_truncated : bool
        Read what is there of an EDF or BDF file that was cut.
    max_bytes : int
        Largest file that is read.
    """

    leads: Sequence[str] | None = None
    rate_hz: float | None = None
    unit: str | None = None
    verify: bool | Literal["warn"] = True
    root: str | os.PathLike[str] | None = None
    follow_symlinks: bool = False
    scale_check: bool = True
    allow_truncated: bool = False
    max_bytes: int = DEFAULT_MAX_BYTES


DEFAULTS = ReadOptions()


@dataclass(frozen=True)
class Decoded:
    """What a format's reader has found in a file.

    Parameters
    ----------
    values : ndarray of float, shape (n_channels, n_times)
        In `units`; NaN where the file marks samples as missing.
    names : sequence of str or None
        None if the file does not name its channels.
    units : sequence of (str or None)
        As the file writes them; None or blank where it says nothing.
    rate_hz : float or None
    record_id : str
    subject_id : str or None
    labels : dict
        JSON-able.
    sha256 : str
        Of the bytes on disk.
    notes : tuple of str
    """

    values: NDArray[np.floating]
    names: Sequence[str] | None
    units: Sequence[str | None]
    rate_hz: float | None
    record_id: str
    subject_id: str | None = None
    labels: dict = field(default_factory=dict)
    sha256: str = ""
    notes: tuple[str, ...] = ()


def assemble(
    decoded: Decoded, path: str | os.PathLike[str], options: ReadOptions, *, where: str = ""
) -> Recording:
    """Turn decoded channels into a recording in millivolt.

    Parameters
    ----------
    decoded : Decoded
    path : path
        Of the file.
    options : ReadOptions
    where : str
        For the messages, in place of the path.

    Returns
    -------
    Recording
        Channels whose unit is no voltage are left out and noted.

    Raises
    ------
    FormatError
        If values are infinite, a lead is mostly missing or has no voltage.
    LeadError
        If names are missing, twice, or not as many as channels.
    DataError
        If the rate is missing or contradicted, a unit is unknown, or the scale implausible.
    """
    where = where or shown(path)
    notes = list(decoded.notes)
    values, names, unit = _in_one_unit(decoded, options, notes, where)
    chosen = options.leads if options.leads is not None else names
    if chosen is None or len(chosen) != len(values):
        inside = "" if names is None else f"; the file has {', '.join(names)}"
        raise LeadError(
            f"{where}: expected {len(values)} lead names, got "
            f"{'none' if chosen is None else len(chosen)}: pass leads=[...] in the order of the "
            f"file{inside}"
        )
    channels = canonical_leads(chosen, where=where)
    rate = agreed_rate(decoded.rate_hz, options.rate_hz, where)
    values = convert(values, unit, channels, where, options.scale_check)
    if np.isnan(values).any() and (gaps := check_gaps(values, channels, where=where)):
        notes.append(gaps)
    return Recording(
        values=values,
        channels=channels,
        rate_hz=rate,
        unit=unit if unit in ("adc", "arbitrary") else "mV",
        record_id=decoded.record_id or Path(path).stem,
        subject_id=decoded.subject_id or None,
        labels=decoded.labels,
        source=os.fspath(path),
        sha256=decoded.sha256,
        notes=tuple(notes),
    )


def agreed_rate(stated: float | None, given: float | None, where: str) -> float:
    """Rate that the file states, or that the caller gives if it states none.

    Raises
    ------
    DataError
        If neither says, both disagree, or the rate is impossible.
    """
    if stated is None:
        return check_rate(given, where)
    rate = check_rate(stated, where)
    if given is not None and abs(given - rate) > 1e-3 * rate:
        raise DataError(
            f"{where}: the file says {rate:g} Hz, rate_hz={given:g} was given; leave rate_hz out"
        )
    return rate


def renamed(recording: Recording, options: ReadOptions) -> Recording:
    """Apply the leads and the rate that the caller gives to a recording that states its own.

    Raises
    ------
    LeadError
        If the names are not as many as the channels.
    DataError
        If the rates disagree.
    """
    where = shown(recording.source)
    agreed_rate(recording.rate_hz, options.rate_hz, where)
    if options.leads is None:
        return recording
    if len(options.leads) != len(recording.channels):
        raise LeadError(
            f"{where}: expected {len(recording.channels)} lead names, got {len(options.leads)}; "
            f"the file has {', '.join(recording.channels)}"
        )
    return replace(recording, channels=canonical_leads(options.leads, where=where))


def _in_one_unit(
    decoded: Decoded, options: ReadOptions, notes: list[str], where: str
) -> tuple[NDArray[np.floating], list[str] | None, str]:
    """Voltage channels, their names, and the one unit that they are in."""
    names = None if decoded.names is None else list(decoded.names)
    if options.unit is not None:
        return decoded.values, names, canonical_unit(options.unit)
    stated = [(unit or "").strip() for unit in decoded.units]
    units = [_voltage(unit) if unit else "mV" for unit in stated]
    wrong = [i for i, unit in enumerate(units) if unit is None]
    for i in wrong:
        if names is None or canonical_lead(names[i]) in STANDARD_12:
            name = f"channel {i + 1}" if names is None else f"lead {names[i]}"
            raise FormatError(
                f"{where}: expected mV, uV or V for {name}, got {stated[i]!r}; correct the file "
                "or pass unit='mV'"
            )
        notes.append(f"left out {names[i]}: its unit is {stated[i]!r}, not a voltage")
    keep = [i for i in range(len(units)) if i not in wrong]
    if not keep:
        raise FormatError(
            f"{where}: expected at least one channel in mV, uV or V, got "
            f"{', '.join(sorted(set(stated)))}"
        )
    if silent := [i for i in keep if not stated[i]]:
        which = "channels" if names is None else ", ".join(names[i] for i in silent)
        notes.append(f"the file states no unit of {which}: read as mV")
    values = decoded.values
    if wrong:
        values = values[keep]
        names = None if names is None else [names[i] for i in keep]
    kept = [unit for i in keep if (unit := units[i]) is not None]
    if len(set(kept)) == 1:
        return values, names, kept[0]
    if not set(kept) <= _PER_MV.keys():
        raise DataError(f"{where}: channels have different units ({', '.join(sorted(set(kept)))})")
    return values * np.array([_PER_MV[unit] for unit in kept])[:, None], names, "mV"


def _voltage(unit: str) -> str | None:
    """Canonical unit, or None if it is unknown."""
    try:
        return canonical_unit(unit)
    except DataError:
        return None
