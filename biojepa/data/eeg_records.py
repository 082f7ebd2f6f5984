"""One way to EEG records, whatever the user has: arrays, MNE objects, files, stores.

Epochs and arrays are records as they are; of what is continuous (Raw, files) the model's windows
are cut after preprocessing, so that filters see no edges.

Letters: n records, C channels, T samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data._store_layout import MANIFEST
from biojepa.data.eeg_layouts import Layouts
from biojepa.data.eeg_reader import find_eeg, read_eeg
from biojepa.data.eeg_scale import check_eeg_scale
from biojepa.data.held_records import HeldRecordings
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

    @property
    def parts(self) -> tuple[EEGRecords, ...]:
        """Itself alone; see `MixedEEG`."""
        return (self,)

    @property
    def part_of(self) -> NDArray[np.int_]:
        """Of each record, the part that it is in."""
        return np.zeros(len(self.records), dtype=int)


@dataclass(frozen=True)
class MixedEEG:
    """Records of several montages.

    Parameters
    ----------
    parts : tuple of EEGRecords
        One a montage.
    part_of : ndarray of int, shape (n,)
        Of each record in the user's order, the part that it is in; in a part the order is the
        user's too.
    """

    parts: tuple[EEGRecords, ...]
    part_of: NDArray[np.int_]


def open_eeg(
    X: Any,
    *,
    sfreq: float | None = None,
    ch_names: Sequence[str] | None = None,
    units: str = "uV",
    montage: Any = None,
    strict: bool = False,
) -> EEGRecords | MixedEEG:
    """Open whatever a user passes as `X`.

    Parameters
    ----------
    X : array (n, C, T), list of arrays (C, T), mne.Epochs, mne.io.Raw, SignalStore, or paths
        Or several of the last four. Of MNE objects and files the EEG channels; those marked bad
        are missing, or left out if they are bad in all recordings. Paths are files, folders,
        patterns, or folders of `biojepa prepare eeg`.
    sfreq : float or None
        Samples per second of arrays, hertz.
    ch_names : sequence of str or None
        Names of the channels of arrays.
    units : {"uV", "mV", "V", "arbitrary"}
        Of arrays. `"arbitrary"` also says that MNE objects and files are not in volts.
    montage : str, dict, mne.channels.DigMontage or None
        Positions of channels that are not in the 10-05 system; a dict is in metres, head frame.
    strict : bool
        Refuse MNE objects of an implausible scale, as files are.

    Returns
    -------
    EEGRecords, or MixedEEG if there are several montages

    Raises
    ------
    DataError, LeadError, FormatError
        If `X` is nothing of this, holds no record, or is not in a plausible scale (files).
    """
    unit = canonical_unit(units)
    arbitrary = unit == "arbitrary"
    supplied = positions_of(montage)
    if isinstance(X, SignalStore | str | PathLike) or _is_mne(X):
        X = [X]
    several = isinstance(X, list | tuple) and len(X) > 0
    if several and all(isinstance(x, SignalStore | str | PathLike) for x in X):
        stores = [store for x in X for store in stores_of(x)]
        if stores:
            if any(not stores_of(x) for x in X):
                raise DataError(
                    "expected stores or files, got both: turn the files into a store with "
                    "`biojepa prepare eeg`"
                )
            return _from_stores(stores, arbitrary, supplied)
        paths = find_eeg([Path(p) for p in X])
        return _from_mne(
            ((read_eeg(path), str(path)) for path in paths), arbitrary, supplied, strict=True
        )
    if several and all(_is_mne(x) for x in X):
        return _from_mne(((x, _file_of(x)) for x in X), arbitrary, supplied, strict=strict)
    if sfreq is None:
        raise DataError("expected the sampling rate of the arrays, got none: pass sfreq= (hertz)")
    records = ArrayRecords(X, fs=sfreq, channels=ch_names, units=unit, judge=False)
    _judge(records, arbitrary)
    return EEGRecords(records, supplied, arbitrary=arbitrary)


def mixed(parts: Sequence[EEGRecords], part_of: Sequence[int]) -> EEGRecords | MixedEEG:
    """Records of one montage, or of several."""
    return parts[0] if len(parts) == 1 else MixedEEG(tuple(parts), np.asarray(part_of, dtype=int))


def stores_of(X: Any) -> list[SignalStore]:
    """The stores that something is: one, a folder of one, a folder of one for each montage."""
    if isinstance(X, SignalStore):
        return [X]
    folder = Path(X)
    if not folder.is_dir():
        return []
    inside = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    found = [p for p in inside if (p / MANIFEST).is_file()]
    if found[:1] == [folder]:
        return [SignalStore(folder)]
    return [store for store in map(SignalStore, found) if len(store)]


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


def _from_stores(
    stores: Sequence[SignalStore], arbitrary: bool, supplied: Mapping[str, Sequence[float]]
) -> EEGRecords | MixedEEG:
    """Stores with the positions that they keep, each of a montage of its own."""
    parts, part_of = list[EEGRecords](), list[int]()
    for store in stores:
        recipe = store.recipe if store.recipe.get("modality") == "eeg" else {}
        places = recipe.get("positions_head_m") or {}
        if len(store) and not (arbitrary or recipe or store.unit == "arbitrary"):
            _judge_store(store)  # those of `prepare_eeg` were judged when they were written
        parts.append(
            EEGRecords(
                StoreRecords(store),
                {name: tuple(xyz) for name, xyz in places.items()} | dict(supplied),
                continuous=bool(recipe),
                arbitrary=arbitrary or store.unit == "arbitrary",
            )
        )
        part_of += [len(parts) - 1] * len(store)
    return mixed(parts, part_of)


def _is_mne(X: Any) -> bool:
    return hasattr(X, "get_data") and hasattr(X, "info")


def _from_mne(
    objects: Iterable[tuple[Any, str]],
    arbitrary: bool,
    supplied: Mapping[str, Sequence[float]],
    strict: bool,
) -> EEGRecords | MixedEEG:
    """EEG channels of Raw and Epochs that are not marked bad, grouped by montage."""
    mne = require("mne", "eeg", why="to take MNE objects")
    layouts, held = Layouts(), list[list[Recording]]()
    lost: list[set[str]] = []  # channels of each montage that are bad everywhere
    part_of: list[int] = []
    bad: set[str] = set()
    continuous = False
    for own, where in objects:
        continuous = continuous or isinstance(own, mne.io.BaseRaw)
        recordings, positions = recordings_of(own, arbitrary=arbitrary, source=where)
        if strict and not arbitrary:
            values = recordings[0].values * 1e3
            check_eeg_scale([values], where=where or "X", strict=True)
        here, names = bad_channels(own), recordings[0].channels
        bad |= here
        k = layouts.number(names, positions)
        order = layouts.order(k, names)
        if k == len(held):
            held.append([])
            lost.append(here)
        lost[k] &= here
        held[k] += [
            replace(r, values=r.values[order], channels=layouts.names[k]) for r in recordings
        ]
        part_of += [k] * len(recordings)
    if bad:
        warnings.warn(
            f"left out the channels marked bad: {', '.join(sorted(bad))}",
            MissingLeadWarning,
            stacklevel=4,
        )
    parts = []
    for recordings, places, gone in zip(held, layouts.places, lost, strict=True):
        records = HeldRecordings([_without(r, gone) for r in recordings] if gone else recordings)
        parts.append(EEGRecords(records, dict(places) | dict(supplied), continuous, arbitrary))
    if not strict:
        for part in parts:
            _judge(part.records, arbitrary)
    return mixed(parts, part_of)


def recordings_of(
    own: Any, *, arbitrary: bool, source: str = ""
) -> tuple[list[Recording], dict[str, Sequence[float]]]:
    """Recordings of an MNE object, one an epoch, and the positions of their channels.

    Parameters
    ----------
    own : mne.io.Raw or mne.Epochs
        Of its EEG channels those that are marked bad hold NaN.
    arbitrary : bool
        Its numbers are not volts: they are left as they are, instead of millivolt.
    source : str
        The file behind it; its stem is the record's id.

    Raises
    ------
    LeadError
        If there is no EEG channel that is not marked bad.
    DataError
        If there is no epoch.
    """
    mne = require("mne", "eeg", why="to take MNE objects")
    picks = mne.pick_types(own.info, meg=False, eeg=True, exclude=[])
    names = tuple(own.ch_names[i] for i in picks)
    bad = np.array([name in own.info["bads"] for name in names], dtype=bool)
    if bad.all():
        where = f"{source}: " if source else ""
        raise LeadError(f"{where}expected EEG channels that are not marked bad, got none")
    places = {own.ch_names[i]: own.info["chs"][i]["loc"][:3] for i in picks}
    raw = isinstance(own, mne.io.BaseRaw)
    if not raw and not len(own):
        raise DataError("expected at least 1 epoch, got an empty MNE object")
    data = np.asarray(own.get_data(picks=picks, **({} if raw else {"copy": False})))
    data = data if data.ndim == 3 else data[None]
    scale, unit = (1.0, "arbitrary") if arbitrary else (1e3, "mV")
    rate, name = float(own.info["sfreq"]), Path(source).stem if len(data) == 1 else ""
    recordings = []
    for piece in data:
        values = np.multiply(piece, scale, dtype=np.float64).astype(np.float32)
        values[bad] = np.nan
        recordings.append(Recording(values, names, rate, unit=unit, record_id=name, source=source))
    return recordings, places


def bad_channels(own: Any) -> set[str]:
    """EEG channels of an MNE object that are marked bad."""
    mne = require("mne", "eeg", why="to take MNE objects")
    picks = mne.pick_types(own.info, meg=False, eeg=True, exclude=[])
    return set(own.info["bads"]) & {own.ch_names[i] for i in picks}


def _without(recording: Recording, names: set[str]) -> Recording:
    """A recording without some channels."""
    keep = [i for i, name in enumerate(recording.channels) if name not in names]
    channels = tuple(recording.channels[i] for i in keep)
    return replace(recording, values=recording.values[keep], channels=channels)


def _file_of(own: Any) -> str:
    """The file behind an MNE object, empty without one."""
    files = [name for name in getattr(own, "filenames", ()) or () if name is not None]
    return str(files[0]) if files else ""


def _judge_store(store: SignalStore) -> None:
    """Refuse a store of an implausible scale, by the starts of some records."""
    some = np.unique(np.linspace(0, len(store) - 1, min(N_JUDGED, len(store))).astype(int))
    starts = (store.read(int(i), 0, min(int(store.lengths[i]), 2000)) * 1e3 for i in some)
    check_eeg_scale(starts, where=str(store.path), strict=True)


def _judge(records: Records, arbitrary: bool) -> None:
    """Warn of the scale of some records, spread over all."""
    if arbitrary:
        return
    some = np.unique(np.linspace(0, len(records) - 1, min(N_JUDGED, len(records))).astype(int))
    values = (np.multiply(records.read(int(i)).values, 1e3, dtype=np.float64) for i in some)
    check_eeg_scale(values, where="X", strict=False)
