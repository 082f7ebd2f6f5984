"""One way to numbered recordings, whatever the user has: arrays, lists, files, stores, MNE epochs.

Letters: n records, C channels, T samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from biojepa.data.files import find_records, read_ecg
from biojepa.data.recording import Recording
from biojepa.data.store import SignalStore
from biojepa.data.units import canonical_unit, check_plausible_mv, to_millivolt
from biojepa.errors import DataError, LeadError

N_JUDGED = 64  # records whose scale is looked at


class Records(Protocol):
    """Numbered recordings, read one at a time.

    Attributes
    ----------
    channels : tuple of str or None
        Names shared by all records; None if they have none.
    """

    channels: tuple[str, ...] | None

    def __len__(self) -> int:
        """Number of records."""

    def length(self, index: int) -> tuple[int, float]:
        """Samples and rate (hertz) of a record."""

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (samples) and rates (hertz) that there are."""

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A record, or a piece of it, in millivolt (or arbitrary units)."""

    def identity(self, index: int) -> str:
        """Id of the record, or a hash of its values; for the check of overlaps."""

    def fingerprint(self) -> str:
        """Hash of all contents: a resumed run must find the same data."""


def open_records(
    X: Any,
    *,
    fs: float | None,
    channels: Sequence[str] | None,
    units: str = "mV",
    verify: bool = True,
) -> Records:
    """Open whatever a user passes as `X`.

    Parameters
    ----------
    X : array (n, C, T), list of arrays (C, T), SignalStore, mne.Epochs, or paths
        Paths are files, folders or patterns; a folder with a `manifest.json` is a store.
    fs : float or None
        Samples per second of arrays and of files that do not say.
    channels : sequence of str or None
        Names of the channels, in the order of `X`.
    units : {"mV", "uV", "V", "adc", "arbitrary"}
        Of arrays; files that declare a unit are converted.
    verify : bool
        Compare checksums of files.

    Returns
    -------
    Records

    Raises
    ------
    DataError
        If `X` is nothing of this, holds no record, or `fs` is needed and missing.
    LeadError
        If the number of names is not the number of channels.
    """
    if isinstance(X, SignalStore):
        return StoreRecords(X)
    if isinstance(X, str | PathLike):
        path = Path(X)
        return (
            StoreRecords(SignalStore(path))
            if (path / "manifest.json").is_file()
            else (FileRecords([path], fs=fs, channels=channels, units=units, verify=verify))
        )
    if hasattr(X, "get_data") and hasattr(X, "ch_names"):
        rate = float(X.info["sfreq"])
        return ArrayRecords(X.get_data(copy=False), fs=rate, channels=X.ch_names, units="V")
    if isinstance(X, list | tuple) and X and isinstance(X[0], str | PathLike):
        return FileRecords(X, fs=fs, channels=channels, units=units, verify=verify)
    return ArrayRecords(X, fs=fs, channels=channels, units=units)


def training_statement(records: Records) -> dict[str, Any]:
    """What a model has seen: count, ids (or hashes of values), and one fingerprint of all."""
    ids = [records.identity(i) for i in range(len(records))]
    return {"n_records": len(ids), "fingerprint": records.fingerprint(), "ids": ids}


def joined_statement(first: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """What a model has seen that was pretrained on one set of records and then on another.

    Ids of both, each once; `stages` keeps the count and fingerprint of each set.
    """
    stages = [*first.get("stages", [_stage(first)]), _stage(then)]
    ids = list(dict.fromkeys([*first["ids"], *then["ids"]]))
    new = len(ids) - len(set(first["ids"]))  # the first set may know its records by several names
    prints = "\n".join(stage["fingerprint"] for stage in stages)
    return {
        "n_records": first["n_records"] + new,
        "fingerprint": hashlib.sha256(prints.encode()).hexdigest(),
        "ids": ids,
        "stages": stages,
    }


def is_table(X: Any) -> bool:
    """Whether X is (n, time), one nameless channel, or something only scikit-learn can refuse."""
    if isinstance(X, str | PathLike | SignalStore) or hasattr(X, "ch_names"):
        return False
    if hasattr(X, "part_of"):  # records that were opened before
        return False
    if isinstance(X, list | tuple):
        first = X[0] if X else 0.0
        if hasattr(first, "ch_names"):
            return False
        return not isinstance(first, str | PathLike | np.ndarray) and np.ndim(first) < 2
    if isinstance(X, np.ndarray):
        return X.ndim != 3 and not (X.dtype == object and X.ndim == 1)
    return True


class ArrayRecords:
    """Records in memory: one array, or a list of arrays of unequal length."""

    def __init__(
        self,
        X: Any,
        *,
        fs: float | None,
        channels: Sequence[str] | None,
        units: str,
        judge: bool = True,
    ) -> None:
        self.values = _as_arrays(X)
        if fs is None:
            raise DataError(
                "expected the sampling rate of the arrays, got fs=None: pass fs= (hertz)"
            )
        if not (np.isfinite(fs) and fs > 0):
            raise DataError(f"expected a sampling rate fs > 0 hertz, got {fs}")
        self.rate_hz = float(fs)
        n_channels = self.values[0].shape[0]
        if channels is not None and len(channels) != n_channels:
            raise LeadError(
                f"expected {len(channels)} channels ({', '.join(channels)}), got {n_channels}: "
                "pass one name per channel, in the order of the array; axes are "
                "(records, channels, time)"
            )
        self.channels = None if channels is None else tuple(channels)
        self.units = canonical_unit(units)
        if judge:
            self._judge()

    def __len__(self) -> int:
        return len(self.values)

    def length(self, index: int) -> tuple[int, float]:
        """Samples and rate of a record."""
        return self.values[index].shape[1], self.rate_hz

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (samples) and rates (hertz) that there are."""
        return {(record.shape[1], self.rate_hz) for record in self.values}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A record in millivolt."""
        values = to_millivolt(self.values[index][:, start:stop], self.units)
        return Recording(values, self.channels or (), self.rate_hz, unit="mV")

    def _judge(self) -> None:
        """Warn if the scale of some records, spread over all, is not that of an ECG."""
        n_records = len(self.values)
        some = np.unique(np.linspace(0, n_records - 1, min(N_JUDGED, n_records)).astype(int))
        n_times = min(self.values[i].shape[1] for i in some)
        piece = np.stack([np.asarray(self.values[i][:, :n_times]) for i in some])
        values = to_millivolt(piece, self.units)
        check_plausible_mv(values, where="X", unit=self.units, strict=False)

    def identity(self, index: int) -> str:
        """Hash of the record's values in millivolt, as float32."""
        return "sha256:" + hashlib.sha256(self._bytes(index)).hexdigest()[:24]

    def fingerprint(self) -> str:
        """Hash of the values of all records."""
        total = hashlib.sha256(json.dumps([self.rate_hz, self.channels]).encode())
        for index in range(len(self)):
            total.update(self._bytes(index))
        return total.hexdigest()

    def _bytes(self, index: int) -> bytes:
        """Values in millivolt as little-endian float32."""
        return np.ascontiguousarray(self.read(index).values, dtype="<f4").tobytes()


class StoreRecords:
    """Records of a SignalStore."""

    def __init__(self, store: SignalStore) -> None:
        if not len(store):
            raise DataError(f"expected at least 1 record in {store}, got 0")
        self.store = store
        self.channels: tuple[str, ...] | None = tuple(store.channels)

    def __len__(self) -> int:
        return len(self.store)

    def length(self, index: int) -> tuple[int, float]:
        """Samples and rate of a record."""
        return int(self.store.lengths[index]), float(self.store.rates_hz[index])

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (samples) and rates (hertz) that there are."""
        # as one complex number each: sorting rows takes ten times as long
        pairs = np.unique(self.store.lengths + 1j * self.store.rates_hz)
        return {(int(pair.real), float(pair.imag)) for pair in pairs}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A record, or a piece of it."""
        values = self.store.read(index, start, stop)
        return Recording(
            values, tuple(self.store.channels), self.length(index)[1], unit=self.store.unit
        )

    def identity(self, index: int) -> str:
        """Id of the record."""
        return self.store.record_id(index)

    def fingerprint(self) -> str:
        """Hash over the hashes of the shards."""
        return self.store.fingerprint


class FileRecords:
    """Records in files, read when they are asked for; a file may hold several."""

    def __init__(
        self,
        paths: Sequence[str | PathLike],
        *,
        fs: float | None,
        channels: Sequence[str] | None,
        units: str,
        verify: bool,
    ) -> None:
        self.options: dict[str, Any] = {
            "rate_hz": fs,
            "leads": channels,
            "unit": None if units == "mV" else units,
            "verify": verify,
        }
        self.places: list[tuple[Path, int]] = []
        self._hash = hashlib.sha256()
        self._lengths: list[tuple[int, float]] = []
        self._last: tuple[Path | None, list[Recording]] = (None, [])
        names: tuple[str, ...] | None = None
        for path in find_records([Path(p) for p in paths]):
            for i, record in enumerate(self._open(path)):
                names = names or record.channels
                self.places.append((path, i))
                self._lengths.append((record.n_times, record.rate_hz))
                self._hash.update(f"{record.record_id} {record.sha256}\n".encode())
        self.channels = tuple(channels) if channels is not None else names

    def __len__(self) -> int:
        return len(self.places)

    def length(self, index: int) -> tuple[int, float]:
        """Samples and rate of a record."""
        return self._lengths[index]

    def lengths(self) -> set[tuple[int, float]]:
        """The different lengths (samples) and rates (hertz) that there are."""
        return set(self._lengths)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Recording:
        """A record, or a piece of it."""
        path, place = self.places[index]
        record = self._open(path)[place]
        return Recording(
            record.values[:, start:stop],
            record.channels,
            record.rate_hz,
            unit=record.unit,
            record_id=record.record_id,
            source=record.source,
        )

    def identity(self, index: int) -> str:
        """Id of the record."""
        path, place = self.places[index]
        return self._open(path)[place].record_id or f"{path.stem}#{place}"

    def fingerprint(self) -> str:
        """Hash over the ids and signal bytes of all files."""
        return self._hash.hexdigest()

    def _open(self, path: Path) -> list[Recording]:
        if self._last[0] != path:
            self._last = (path, read_ecg(path, **self.options))
        return self._last[1]


def _stage(statement: dict[str, Any]) -> dict[str, Any]:
    return {name: statement[name] for name in ("n_records", "fingerprint")}


def _as_arrays(X: Any) -> NDArray | list[NDArray]:
    """One array (n, C, T), or a list of arrays (C, T)."""
    if isinstance(X, np.ndarray) and X.dtype != object:
        if X.ndim != 3:
            raise DataError(f"expected an array of shape (records, channels, time), got {X.shape}")
        if 0 in X.shape:
            raise DataError(f"expected at least 1 record, channel and sample, got {X.shape}")
        return X
    if not isinstance(X, list | tuple | np.ndarray) or not len(X):
        raise DataError(
            "expected an array (records, channels, time), a list of arrays (channels, time), a "
            f"SignalStore, mne.Epochs or paths, got {type(X).__name__}"
        )
    arrays = [np.asarray(x) for x in X]
    arrays = [x[None] if x.ndim == 1 else x for x in arrays]
    for i, x in enumerate(arrays):
        if x.ndim != 2 or 0 in x.shape or x.shape[0] != arrays[0].shape[0]:
            raise DataError(
                f"expected arrays of shape ({arrays[0].shape[0]} channels, time), got {x.shape} "
                f"as record {i}"
            )
        if x.dtype.kind not in "fiu":
            raise DataError(f"expected real numbers, got dtype {x.dtype} as record {i}")
    return arrays
