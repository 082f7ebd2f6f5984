"""One way to EEG records, whatever the user has: arrays, MNE objects, files, stores.

Epochs and arrays are records as they are; of what is continuous (Raw, files) the model's windows
are cut after preprocessing, so that filters see no edges.

Letters: n records, C channels, T samples.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.data.eeg_reader import find_eeg, read_eeg
from biojepa.data.eeg_scale import check_eeg_scale
from biojepa.data.recording import Recording
from biojepa.data.records import N_JUDGED, ArrayRecords, Records, StoreRecords
from biojepa.data.store import SignalStore
from biojepa.data.units import canonical_unit
from biojepa.errors import DataError, LeadError, MissingLeadWarning
from biojepa.extras import require


@dataclass(frozen=True)
class EEGRecords:
    """Records and what is known of their channels.

    Parameters
    ----------
    records : Records
        In millivolt, or in arbitrary units.
    supplied : dict of str to sequence of float
        Digitised positions by name, metres in MNE's head frame.
    continuous : bool
        Windows are to be cut from them.
    arbitrary : bool
        The unit is not known.
    """

    records: Records
    supplied: Mapping[str, Sequence[float]] = field(default_factory=dict)
    continuous: bool = False
    arbitrary: bool = False

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the channels, None if they have none."""
        return self.records.channels


class HeldRecordings:
    """Recordings in memory, of the same channels and of any lengths and rates.

    Parameters
    ----------
    recordings : sequence of Recording

    Raises
    ------
    DataError
        If there is none.
    LeadError
        If their channels differ.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        if not recordings:
            raise DataError("expected at least 1 recording, got 0")
        self.recordings = list(recordings)
        self.channels: tuple[str, ...] | None = self.recordings[0].channels
        for other in self.recordings[1:]:
            if other.channels != self.channels:
                differ = sorted(set(other.channels) ^ set(self.channels)) or ["another order"]
                raise LeadError(
                    f"expected recordings of the same channels, got {other.record_id or 'one'} "
                    f"that differs in {', '.join(differ)}: read them apart, or pick the common ones"
                )

    def __len__(self) -> int:
        return len(self.recordings)

    def length(self, index: int) -> tuple[int, float]:
        """Samples and rate (hertz) of a record."""
        return self.recordings[index].n_times, self.recordings[index].rate_hz

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (samples) and rates (hertz) that there are."""
        return {(own.n_times, own.rate_hz) for own in self.recordings}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A record, or a piece of it."""
        own = self.recordings[index]
        return Recording(
            own.values[:, start:stop],
            own.channels,
            own.rate_hz,
            unit=own.unit,
            record_id=own.record_id,
        )

    def identity(self, index: int) -> str:
        """Id of the record, or a hash of its values."""
        own = self.recordings[index]
        return own.record_id or "sha256:" + hashlib.sha256(_bytes(own)).hexdigest()[:24]

    def fingerprint(self) -> str:
        """Hash of the values of all records."""
        total = hashlib.sha256(json.dumps(self.channels).encode())
        for own in self.recordings:
            total.update(json.dumps(own.rate_hz).encode() + _bytes(own))
        return total.hexdigest()


def open_eeg(
    X: Any,
    *,
    sfreq: float | None = None,
    ch_names: Sequence[str] | None = None,
    units: str = "uV",
    montage: Any = None,
) -> EEGRecords:
    """Open whatever a user passes as `X`.

    Parameters
    ----------
    X : array (n, C, T), list of arrays (C, T), mne.Epochs, mne.io.Raw (or several), SignalStore,
        or paths
        Of MNE objects and files the EEG channels that are not marked bad; paths are files, folders
        or patterns.
    sfreq : float or None
        Samples per second of arrays, hertz.
    ch_names : sequence of str or None
        Names of the channels of arrays.
    units : {"uV", "mV", "V", "arbitrary"}
        Of arrays. `"arbitrary"` also says that MNE objects and files are not in volts.
    montage : str, dict, mne.channels.DigMontage or None
        Positions of channels that are not in the 10-05 system; a dict is in metres, head frame.

    Returns
    -------
    EEGRecords

    Raises
    ------
    DataError, LeadError, FormatError
        If `X` is nothing of this, holds no record, or is not in a plausible scale (files).
    """
    unit = canonical_unit(units)
    arbitrary = unit == "arbitrary"
    supplied = positions_of(montage)
    if isinstance(X, SignalStore):
        own = StoreRecords(X)
        return EEGRecords(own, supplied, arbitrary=arbitrary or X.unit == "arbitrary")
    if isinstance(X, str | PathLike):
        if (Path(X) / "manifest.json").is_file():
            return open_eeg(SignalStore(Path(X)), units=units, montage=montage)
        X = [X]
    if _is_mne(X):
        X = [X]
    if isinstance(X, list | tuple) and X and isinstance(X[0], str | PathLike):
        raws = [read_eeg(path) for path in find_eeg([Path(p) for p in X])]
        return _from_mne(raws, arbitrary, supplied, strict=True)
    if isinstance(X, list | tuple) and X and all(_is_mne(x) for x in X):
        return _from_mne(X, arbitrary, supplied, strict=False)
    if sfreq is None:
        raise DataError("expected the sampling rate of the arrays, got none: pass sfreq= (hertz)")
    records = ArrayRecords(X, fs=sfreq, channels=ch_names, units=unit, judge=False)
    _judge(records, arbitrary, strict=False)
    return EEGRecords(records, supplied, arbitrary=arbitrary)


def positions_of(montage: Any) -> dict[str, Sequence[float]]:
    """Positions by name of what a user calls a montage; metres in MNE's head frame.

    Raises
    ------
    DataError
        If it is nothing that holds positions.
    """
    if montage is None:
        return {}
    if isinstance(montage, Mapping):
        return {str(name): tuple(map(float, xyz)) for name, xyz in montage.items()}
    mne = require("mne", "eeg", why="to read a montage")
    if isinstance(montage, str):
        if montage not in mne.channels.get_builtin_montages():
            raise DataError(
                f"expected the name of a montage of MNE, got {montage!r}: one of "
                f"{', '.join(mne.channels.get_builtin_montages())}"
            )
        montage = mne.channels.make_standard_montage(montage)
    if not isinstance(montage, mne.channels.DigMontage):
        raise DataError(
            f"expected a montage's name, a dict or a DigMontage, got {type(montage).__name__}"
        )
    info = mne.create_info(montage.ch_names, 1000.0, "eeg").set_montage(montage)
    return {ch["ch_name"]: tuple(ch["loc"][:3]) for ch in info["chs"]}


def _is_mne(X: Any) -> bool:
    return hasattr(X, "get_data") and hasattr(X, "info")


def _from_mne(
    objects: Sequence[Any], arbitrary: bool, supplied: Mapping[str, Sequence[float]], strict: bool
) -> EEGRecords:
    """EEG channels of Raw and Epochs that are not marked bad, and their positions."""
    mne = require("mne", "eeg", why="to take MNE objects")
    recordings: list[Recording] = []
    places: dict[str, Sequence[float]] = {}
    bad: set[str] = set()
    for own in objects:
        picks = mne.pick_types(own.info, meg=False, eeg=True, exclude="bads")
        if not len(picks):
            raise LeadError("expected EEG channels that are not marked bad, got none")
        bad |= set(own.info["bads"]) & {
            own.ch_names[i] for i in mne.pick_types(own.info, meg=False, eeg=True, exclude=[])
        }
        names = tuple(own.ch_names[i] for i in picks)
        places |= {own.ch_names[i]: own.info["chs"][i]["loc"][:3] for i in picks}
        if not isinstance(own, mne.io.BaseRaw) and not len(own):
            raise DataError("expected at least 1 epoch, got an empty MNE object")
        options = {} if isinstance(own, mne.io.BaseRaw) else {"copy": False}
        data = np.asarray(own.get_data(picks=picks, **options))
        data = data if data.ndim == 3 else data[None]
        scale, unit = (1.0, "arbitrary") if arbitrary else (1e3, "mV")
        rate = float(own.info["sfreq"])
        identity = _name_of(own)
        for piece in data:
            values = np.multiply(piece, scale, dtype=np.float64).astype(np.float32)
            name = identity if len(data) == 1 else ""
            recordings.append(Recording(values, names, rate, unit=unit, record_id=name))
    if bad:
        warnings.warn(
            f"left out the channels marked bad: {', '.join(sorted(bad))}",
            MissingLeadWarning,
            stacklevel=4,
        )
    records = HeldRecordings(recordings)
    _judge(records, arbitrary, strict=strict)
    continuous = isinstance(objects[0], mne.io.BaseRaw)
    return EEGRecords(records, places | dict(supplied), continuous, arbitrary)


def _name_of(own: Any) -> str:
    """Stem of the file behind an MNE object, empty without one."""
    files = [name for name in getattr(own, "filenames", ()) or () if name is not None]
    return Path(files[0]).stem if files else ""


def _judge(records: Records, arbitrary: bool, *, strict: bool) -> None:
    """Judge the scale of some records, spread over all."""
    if arbitrary:
        return
    some = np.unique(np.linspace(0, len(records) - 1, min(N_JUDGED, len(records))).astype(int))
    values = (np.multiply(records.read(int(i)).values, 1e3, dtype=np.float64) for i in some)
    check_eeg_scale(values, where="X" if not strict else "the files", strict=strict)


def _bytes(recording: Recording) -> bytes:
    return np.ascontiguousarray(recording.values, dtype="<f4").tobytes()
