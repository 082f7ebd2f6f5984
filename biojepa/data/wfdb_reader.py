"""Strict and fast reader of WFDB records into millivolt.

Every size is compared with the size of the file before memory is taken, checksums are verified,
nothing outside the header's folder is opened. One read per signal file; formats 16, 32,
80, 212 and 24 are decoded here, with the values of `wfdb.rdrecord` (in float32).

References
----------
signal(5) of the WFDB Applications Guide, physionet.org/physiotools/wag/signal-5.htm
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.gaps import check_gaps
from biojepa.data.leads import STANDARD_12, canonical_lead, canonical_leads
from biojepa.data.recording import Recording
from biojepa.data.units import canonical_unit, check_plausible_mv
from biojepa.data.wfdb_header import SignalLine, WFDBHeader, read_header
from biojepa.errors import ConfigError, DataError, FormatError, PlausibilityWarning

DEFAULT_MAX_BYTES = 4 << 30

_BITS = {16: 16, 212: 12, 80: 8, 24: 24, 32: 32}
_UNITS_PER_MV = {"mV": 1.0, "uV": 1e3, "V": 1e-3, "arbitrary": 1.0}


def read_wfdb(
    path: str | os.PathLike[str],
    *,
    verify: bool | Literal["warn"] = True,
    unit: str | None = None,
    digest: bool = False,
    follow_symlinks: bool = False,
    root: str | os.PathLike[str] | None = None,
    scale_check: bool = True,
    expect_gaps: bool = False,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Recording:
    """Read one WFDB record, all its voltage leads, in millivolt.

    Parameters
    ----------
    path : path
        The record, with or without `.hea`, `.dat` or `.mat`. Relative to `root` if that is given.
    verify : bool or "warn"
        Compare the checksums of the header: raise, warn, or do not compute them (False).
    unit : str, optional
        Replaces the unit that the header states for its leads; "arbitrary" keeps the header's
        numbers and skips the check of scale.
    digest : bool
        Compute the SHA-256 of the signal bytes; a third of the time of reading.
    follow_symlinks : bool
        Read signal files that are links, and let links inside `root` lead out of it.
    root : path, optional
        Folder that the record may not leave; for names that come out of a file.
    scale_check : bool
        Refuse a record whose peak-to-peak cannot be an ECG's in millivolt.
    expect_gaps : bool
        Missing samples are known of the database: however many, they are NaN with a note.
    max_bytes : int
        Largest signal file that is read.

    Returns
    -------
    Recording
        `values` float32, NaN where the file marks samples as missing; channels without a voltage
        (pressure, respiration) are left out and named in `notes`; `labels` holds the header's
        comments (`age` a number or None, `sex`, `dx` a list of codes, others as text).

    Raises
    ------
    FormatError
        If header or signals are damaged, cut, inconsistent or elsewhere.
    LeadError
        If two leads have the same name.
    DataError
        If the scale is implausible, or the file is larger than `max_bytes`.

    Warns
    -----
    PlausibilityWarning
        A negative gain, missing samples, a file longer than declared, a checksum under "warn".
    """
    if verify not in (True, False, "warn"):
        raise ConfigError(f"verify: expected True, False or 'warn', got {verify!r}")
    header = read_header(path, root=root, follow_symlinks=follow_symlinks)
    where = shown(header.path)
    given = None if unit is None else canonical_unit(unit)
    if given == "adc":
        raise DataError(f"{where}: a WFDB header has its own gain; pass unit='mV', 'uV' or 'V'")
    notes = list(header.notes)
    wanted = _voltage_signals(header, given, notes)
    channels = canonical_leads((header.signals[i].name for i in wanted), where=where)
    rate_hz = header.rate_hz * _samples_per_frame(header)
    hasher = hashlib.sha256() if digest else None
    counts = _read_counts(header, verify, hasher, follow_symlinks, max_bytes, notes)
    values, has_gaps = _to_millivolt(counts, header, given)
    if len(wanted) < len(values):
        values = values[wanted]
    if has_gaps and (note := check_gaps(values, channels, where=where, expected=expect_gaps)):
        notes.append(note)
    for i in wanted:
        if header.signals[i].gain < 0:
            notes.append(f"lead {header.signals[i].name} has a negative gain and is turned over")
            warnings.warn(f"{where}: {notes[-1]}", PlausibilityWarning, stacklevel=2)
    if scale_check:
        stated = given or canonical_unit(header.signals[wanted[0]].unit)
        check_plausible_mv(values, where=where, unit=stated, strict=True, argument="unit")
    return Recording(
        values=values,
        channels=channels,
        rate_hz=rate_hz,
        unit="arbitrary" if given == "arbitrary" else "mV",
        record_id=header.path.stem,
        labels=_labels(header.comments),
        source=os.fspath(header.path),
        sha256=hasher.hexdigest() if hasher else "",
        notes=tuple(notes),
    )


def _voltage_signals(header: WFDBHeader, given: str | None, notes: list[str]) -> list[int]:
    """Indices of the signals that are voltages; the rest is noted, an ECG lead in mmHg refused."""
    if given is not None:
        return list(range(len(header.signals)))
    wanted = []
    for index, signal in enumerate(header.signals):
        try:
            unit = canonical_unit(signal.unit)
        except DataError:
            unit = ""
        if unit in ("mV", "uV", "V"):
            wanted.append(index)
        elif canonical_lead(signal.name) in STANDARD_12:
            raise FormatError(
                f"{shown(header.path)}: expected mV, uV or V for lead {signal.name}, got "
                f"{signal.unit!r}; correct the header or pass unit='mV'"
            )
        else:
            notes.append(f"left out {signal.name}: its unit is {signal.unit!r}, not a voltage")
    if not wanted:
        raise FormatError(
            f"{shown(header.path)}: expected at least one lead in mV, uV or V, got "
            f"{', '.join(sorted({s.unit for s in header.signals}))}"
        )
    return wanted


def _samples_per_frame(header: WFDBHeader) -> int:
    per_frame = {s.samples_per_frame for s in header.signals}
    if len(per_frame) > 1:
        raise FormatError(
            f"{shown(header.path)}: leads have different rates ({sorted(per_frame)} samples per "
            "frame), which is not read; write them to records of their own"
        )
    return per_frame.pop()


def _signals_by_file(header: WFDBHeader) -> list[list[SignalLine]]:
    """Group the signals by their file, in order; a file holds neighbours of one layout."""
    groups = [list(group) for _, group in groupby(header.signals, key=lambda s: s.file_name)]
    where = shown(header.path)
    if len({group[0].file_name for group in groups}) < len(groups):
        raise FormatError(f"{where}: expected the leads of a signal file to stand together")
    for group in groups:
        if len({(s.format, s.byte_offset) for s in group}) > 1:
            raise FormatError(
                f"{where}: expected one format and offset for {group[0].file_name}, got several"
            )
    return groups


def _read_counts(
    header: WFDBHeader,
    verify: bool | Literal["warn"],
    hasher: hashlib._Hash | None,
    follow_symlinks: bool,
    max_bytes: int,
    notes: list[str],
) -> list[NDArray[np.integer]]:
    """Read the samples of each signal file, shape (n_signals_of_file, n_times)."""
    counts = []
    n_frames = header.n_frames
    for signals in _signals_by_file(header):
        path = header.path.parent / signals[0].file_name
        where = shown(path)
        first = signals[0]
        per_frame = sum(s.samples_per_frame for s in signals)
        n_bytes = file_size(path, follow_symlinks=follow_symlinks) - first.byte_offset
        if n_frames is None:
            n_frames = max(0, n_bytes) * 8 // (_BITS[first.format] * per_frame)
        n_samples = n_frames * per_frame
        needed = math.ceil(n_samples * _BITS[first.format] / 8)
        if n_bytes < needed or n_samples == 0:
            raise FormatError(
                f"{where}: expected {max(needed, 1)} bytes of samples after byte "
                f"{first.byte_offset}, got {max(n_bytes, 0)}; the file is cut or not of this header"
            )
        if needed > max_bytes:
            raise DataError(
                f"{where}: {needed} bytes are more than max_bytes={max_bytes}; raise max_bytes if "
                "the record is meant to be this long"
            )
        if n_bytes - needed >= max(1, per_frame * _BITS[first.format] // 8):
            notes.append(f"{path.name} has {n_bytes - needed} bytes more than its header declares")
            warnings.warn(f"{where}: {notes[-1]}", PlausibilityWarning, stacklevel=3)
        raw = read_bytes(path, needed, offset=first.byte_offset)
        if hasher:
            hasher.update(raw)
        samples = _decode(raw, first.format, n_samples)
        block = _by_channel(samples, len(signals), first.samples_per_frame)
        if verify:
            _verify(block, signals, where, verify, notes)
        counts.append(block)
    return counts


def _decode(data: bytes, fmt: int, n_samples: int) -> NDArray[np.integer]:
    """Turn bytes into counts, in file order."""
    if fmt in (16, 32):
        return np.frombuffer(data, dtype="<i2" if fmt == 16 else "<i4")
    raw = np.frombuffer(data, dtype=np.uint8)
    if fmt == 80:  # offset binary
        return raw.astype(np.int16) - 128
    if fmt == 24:  # little-endian two's complement
        three = raw.reshape(-1, 3).astype(np.int32)
        low = three[:, 0] | (three[:, 1] << 8)
        return low | ((three[:, 2] ^ 128) - 128 << 16)
    # 212: two samples of 12 bits in three bytes; the high nibbles share the middle one
    padded = np.zeros((n_samples + 1) // 2 * 3, dtype=np.int16)
    padded[: len(raw)] = raw
    low, middle, high = padded.reshape(-1, 3).T
    pairs = np.empty((len(low), 2), dtype=np.int16)
    pairs[:, 0] = low | (middle & 15) << 8
    pairs[:, 1] = high | (middle & 240) << 4
    samples = pairs.reshape(-1)[:n_samples]
    return (samples ^ 2048) - 2048


def _by_channel(
    samples: NDArray[np.integer], n_signals: int, per_frame: int
) -> NDArray[np.integer]:
    frames = samples.reshape(-1, n_signals, per_frame)
    return np.ascontiguousarray(frames.transpose(1, 0, 2)).reshape(n_signals, -1)


def _verify(
    block: NDArray[np.integer],
    signals: list[SignalLine],
    where: str,
    verify: bool | Literal["warn"],
    notes: list[str],
) -> None:
    """Compare the sums of all samples, which are wanted modulo 65536 only and so may wrap."""
    dtype = np.int16 if block.dtype.itemsize == 2 else np.int64
    sums = np.add.reduce(block, axis=1, dtype=dtype).tolist()
    wrong = [
        f"{signal.name} ({found % 65536}, not {signal.checksum})"
        for signal, found in zip(signals, sums, strict=True)
        if signal.checksum is not None and signal.checksum != found % 65536
    ]
    if not wrong:
        return
    text = f"the checksum differs in {', '.join(wrong)}"
    if verify == "warn":
        notes.append(text)
        warnings.warn(f"{where}: {text}", PlausibilityWarning, stacklevel=4)
        return
    raise FormatError(
        f"{where}: {text}; the samples are damaged: fetch the file again, or pass verify=False to "
        "read them as they are"
    )


def _to_millivolt(
    counts: list[NDArray[np.integer]], header: WFDBHeader, given: str | None
) -> tuple[NDArray[np.float32], bool]:
    """(count - baseline) / gain in millivolt, NaN for the code of a missing sample."""
    values = np.empty((len(header.signals), counts[0].shape[1]), dtype=np.float32)
    start, has_gaps = 0, False
    for block in counts:
        stop = start + len(block)
        signals = header.signals[start:stop]
        baseline = np.array([s.baseline for s in signals])
        per_mv = np.array([s.gain * _UNITS_PER_MV[given or _voltage(s.unit)] for s in signals])
        if block.dtype.itemsize == 2 and np.abs(baseline).max() < 1 << 23:
            # 16-bit counts and such baselines are exact in float32
            target = values[start:stop]
            target[...] = block
            if baseline.any():
                target -= baseline.astype(np.float32)[:, None]
            target /= per_mv.astype(np.float32)[:, None]
        else:
            values[start:stop] = (block.astype(np.float64) - baseline[:, None]) / per_mv[:, None]
        code = _missing_code(signals[0].format)
        if block.min() == code:
            values[start:stop][block == code] = np.nan
            has_gaps = True
        start = stop
    return values, has_gaps


def _voltage(unit: str) -> str:
    """Unit for the division; that of a signal which is left out does not matter."""
    try:
        return canonical_unit(unit)
    except DataError:
        return "mV"


def _missing_code(fmt: int) -> int:
    return -(1 << (_BITS[fmt] - 1))


def _labels(comments: tuple[str, ...]) -> dict:
    """`key: value` comments; the first of a key counts."""
    labels: dict = {}
    for comment in comments:
        key, colon, value = comment.partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon or not key or not value or key in labels:
            continue
        if key == "age":
            labels[key] = _age(value)
        elif key == "sex":
            labels[key] = {"m": "male", "f": "female"}.get(value.lower(), value.lower())
        elif key == "dx":
            labels[key] = [code.strip() for code in value.split(",") if code.strip()]
        else:
            labels[key] = value
    return labels


def _age(text: str) -> float | int | None:
    try:
        age = float(text)
    except ValueError:
        return None
    if not math.isfinite(age):
        return None
    return int(age) if age.is_integer() else age
