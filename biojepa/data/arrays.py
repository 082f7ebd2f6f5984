"""Recordings from NumPy files: `.npy` (one array) and `.npz` (an array with its names and rate).

Sizes are compared with the file and with `max_bytes` before memory is taken; nothing is unpickled.
An `.npy` file is memory-mapped and handed out record by record.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from biojepa.data._foreign import raised_in
from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.gaps import check_gaps
from biojepa.data.leads import canonical_leads
from biojepa.data.npy_header import (
    MAX_HEADER_BYTES,
    NpyHeader,
    array_from_bytes,
    parse_npy_header,
)
from biojepa.data.recording import Recording
from biojepa.data.units import canonical_unit, check_plausible_mv, to_millivolt
from biojepa.errors import BiojepaError, DataError, FormatError, LeadError

DEFAULT_MAX_BYTES = 4 << 30
MAX_RATE_HZ = 1e5
# ours: recordings compress 2 to 10 times, a bomb up to 1030; small members may be all zeros
MAX_RATIO, RATIO_FREE_BYTES, MAX_MEMBERS = 200, 16 << 20, 1000

SIGNAL_KEYS = ("x", "data", "values", "signals", "signal", "ecg", "val")
LEAD_KEYS = ("leads", "lead_names", "sig_name", "channels", "ch_names")
RATE_KEYS = ("fs", "rate_hz", "sampling_rate", "sfreq")
ID_KEYS = ("record_id", "ecg_id", "id", "ids")
SUBJECT_KEYS = ("subject_id", "patient_id", "subject")


def read_npy(
    path: str | os.PathLike[str],
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    scale_check: bool = True,
) -> list[Recording]:
    """Read an array of recordings, shape (n_channels, n_times) or (n_records, n_channels, n_times).

    Parameters
    ----------
    path : path
    leads : sequence of str
        Names of the channels, in the order of the array.
    rate_hz : float
        Samples per second.
    unit : str, optional
        Unit of the numbers; millivolt if left out. `adc` and `arbitrary` are not converted.
    max_bytes : int
        Largest array that is read.
    scale_check : bool
        Refuse numbers whose peak-to-peak cannot be an ECG's.

    Returns
    -------
    list of Recording
        In millivolt, or in the unit that is not converted.

    Raises
    ------
    FormatError
        If the file is damaged, cut, of objects, or of another shape.
    LeadError
        If `leads` is not given, or not as many as channels.
    DataError
        If the rate is not given, the array is larger than `max_bytes`, or the scale implausible.
    """
    return list(
        iter_npy(
            path,
            leads=leads,
            rate_hz=rate_hz,
            unit=unit,
            max_bytes=max_bytes,
            scale_check=scale_check,
        )
    )


def iter_npy(
    path: str | os.PathLike[str],
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    scale_check: bool = True,
) -> Iterator[Recording]:
    """Read the recordings of `read_npy` one at a time, from a memory map."""
    where = shown(path)
    size = file_size(path)
    start = read_bytes(path, min(size, MAX_HEADER_BYTES))
    header = parse_npy_header(start, where=where)
    _check_signal_array(header, where)
    if size - header.data_offset < header.n_bytes:
        raise FormatError(
            f"{where}: expected {header.n_bytes} bytes for an array of shape {header.shape}, got "
            f"{size - header.data_offset}; the file is cut"
        )
    _check_bytes(header.n_bytes, max_bytes, where)
    try:
        array = np.memmap(
            path,
            dtype=header.dtype,
            mode="r",
            offset=header.data_offset,
            shape=header.shape,
            order="F" if header.fortran_order else "C",
        )
    except OSError as error:
        raise FormatError(f"{where}: cannot be read ({error.strerror})") from None
    yield from _recordings(array, Path(path), leads, rate_hz, unit, scale_check, {}, ())


def read_npz(
    path: str | os.PathLike[str],
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    scale_check: bool = True,
) -> list[Recording]:
    """Read the recordings of an `.npz` archive.

    The signals are the array named `x`, `data`, `values`, `signals`, `ecg` or `val` (any case), or
    the only one with two or three axes. `leads`, `fs` (or `rate_hz`, `sampling_rate`, `sfreq`),
    `record_id` (`ecg_id`, `id`) and `subject_id` (`patient_id`; -1 means unknown) are used if they
    are there. Parameters, values and errors are those of `read_npy`; an archive that grows more
    than 200 times on unpacking is refused.
    """
    return list(
        iter_npz(
            path,
            leads=leads,
            rate_hz=rate_hz,
            unit=unit,
            max_bytes=max_bytes,
            scale_check=scale_check,
        )
    )


def iter_npz(
    path: str | os.PathLike[str],
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    scale_check: bool = True,
) -> Iterator[Recording]:
    """Read the recordings of `read_npz` one at a time (the archive's array stays in memory)."""
    where = shown(path)
    file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, max_bytes, where)
            headers, notes = _member_headers(archive, members, where)
            key = _signal_key(headers, where)
            array = _member_array(archive, members[key], headers[key], where)
            side = {}
            for name, header in headers.items():
                if name == key:
                    continue
                if name.lower() in (*LEAD_KEYS, *RATE_KEYS, *ID_KEYS, *SUBJECT_KEYS):
                    side[name.lower()] = _member_array(archive, members[name], header, where)
                else:
                    notes.append(f"array {name!r} of the archive was not used")
    except BiojepaError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise FormatError(f"{where}: expected an .npz archive, it is damaged ({error})") from None
    except (RuntimeError, ValueError) as error:  # encrypted, or an unknown version of the format
        if not raised_in(error, "zipfile"):
            raise
        raise FormatError(f"{where}: the archive cannot be unpacked ({error})") from None
    yield from _recordings(array, Path(path), leads, rate_hz, unit, scale_check, side, tuple(notes))


def check_rate(rate_hz: float | None, where: str) -> float:
    """Return the rate in hertz, or raise DataError if it is missing or impossible."""
    if rate_hz is None:
        raise DataError(
            f"{where}: the file states no sampling rate: pass rate_hz=... (fs= in the estimators)"
        )
    rate = float(rate_hz)
    if not 0 < rate <= MAX_RATE_HZ:
        raise DataError(f"{where}: expected a sampling rate in (0, {MAX_RATE_HZ:g}] Hz, got {rate}")
    return rate


def _check_bytes(n_bytes: int, max_bytes: int, where: str) -> None:
    if n_bytes > max_bytes:
        raise DataError(
            f"{where}: declares {n_bytes} bytes, more than max_bytes={max_bytes}; raise max_bytes "
            "if the file is meant to be this large"
        )


def _check_signal_array(header: NpyHeader, where: str) -> None:
    if header.dtype.kind == "U" or len(header.shape) not in (2, 3) or 0 in header.shape:
        raise FormatError(
            f"{where}: expected numbers of shape (n_channels, n_times) or (n_records, n_channels, "
            f"n_times), none of them 0, got dtype {header.dtype} and shape {header.shape}"
        )


def _members(archive: zipfile.ZipFile, max_bytes: int, where: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise FormatError(f"{where}: expected at most {MAX_MEMBERS} arrays, got {len(infos)}")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise FormatError(f"{where}: expected only arrays, got {shown(info.filename)}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(f"{where}: unknown compression; save with np.savez_compressed")
        if info.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * info.compress_size):
            raise FormatError(
                f"{where}: {shown(info.filename)} would grow from {info.compress_size} to "
                f"{info.file_size} bytes; that is no recording, it is not unpacked"
            )
        key = info.filename.removesuffix(".npy")
        if key in members:
            raise FormatError(f"{where}: holds {shown(info.filename)} twice")
        members[key] = info
    _check_bytes(sum(info.file_size for info in infos), max_bytes, where)
    return members


def _member_headers(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], where: str
) -> tuple[dict[str, NpyHeader], list[str]]:
    """Headers of the arrays that can be read, and notes on side arrays that cannot."""
    headers, notes = {}, []
    for key, info in members.items():
        try:
            headers[key] = _member_header(archive, info, where)
        except FormatError:
            if key.lower() in SIGNAL_KEYS or len(members) == 1:
                raise
            notes.append(f"array {key!r} of the archive holds no numbers or text")
    return headers, notes


def _member_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> NpyHeader:
    inside = f"{where}[{shown(info.filename)}]"
    with archive.open(info) as stream:
        header = parse_npy_header(stream.read(MAX_HEADER_BYTES), where=inside)
    if info.file_size - header.data_offset < header.n_bytes:
        raise FormatError(
            f"{inside}: expected {header.n_bytes} bytes for an array of shape {header.shape}, got "
            f"{info.file_size - header.data_offset}"
        )
    return header


def _member_array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: NpyHeader, where: str
) -> np.ndarray:
    with archive.open(info) as stream:
        data = stream.read(info.file_size)[header.data_offset :]
    if len(data) < header.n_bytes:
        raise FormatError(f"{where}[{shown(info.filename)}]: is cut")
    return array_from_bytes(header, data)


def _signal_key(headers: dict[str, NpyHeader], where: str) -> str:
    named = [key for key in headers if key.lower() in SIGNAL_KEYS]
    shaped = [key for key, h in headers.items() if len(h.shape) in (2, 3) and h.dtype.kind in "fiu"]
    found = named or shaped
    if len(found) != 1:
        raise FormatError(
            f"{where}: expected one array of signals (named x), got {', '.join(found) or 'none'} "
            f"among {', '.join(headers) or 'no arrays'}; save the signals as x"
        )
    _check_signal_array(headers[found[0]], f"{where}[{found[0]}]")
    return found[0]


def _recordings(
    array: np.ndarray,
    path: Path,
    leads: Sequence[str] | None,
    rate_hz: float | None,
    unit: str | None,
    scale_check: bool,
    side: dict[str, np.ndarray],
    notes: tuple[str, ...],
) -> Iterator[Recording]:
    where = shown(path)
    records = array[None] if array.ndim == 2 else array
    n_records, n_channels = records.shape[:2]
    if leads is None:
        named = next((side[key] for key in LEAD_KEYS if key in side), None)
        leads = None if named is None or named.dtype.kind != "U" else named.ravel().tolist()
    if leads is None or len(leads) != n_channels:
        raise LeadError(
            f"{where}: expected the names of {n_channels} channels for shape {array.shape}, got "
            f"{'none' if leads is None else len(leads)}: pass leads=[...] in the order of the file"
        )
    channels = canonical_leads(leads, where=where)
    if rate_hz is None:
        stated = next((side[key] for key in RATE_KEYS if key in side), None)
        rate_hz = float(stated.ravel()[0]) if stated is not None and stated.size == 1 else None
    rate = check_rate(rate_hz, where)
    given = canonical_unit(unit or "mV")
    ids = _column(side, ID_KEYS, n_records)
    subjects = _column(side, SUBJECT_KEYS, n_records)
    for i, one in enumerate(records):
        at = where if array.ndim == 2 else f"{where}[{i}]"
        raw = np.ascontiguousarray(one)
        values = convert(raw, given, channels, at, scale_check)
        gaps = check_gaps(values, channels, where=at) if np.isnan(values).any() else ""
        yield Recording(
            values=values,
            channels=channels,
            rate_hz=rate,
            unit=given if given in ("adc", "arbitrary") else "mV",
            record_id=ids[i] or (path.stem if array.ndim == 2 else f"{path.stem}[{i}]"),
            subject_id=subjects[i],
            source=os.fspath(path),
            sha256=hashlib.sha256(raw.data).hexdigest(),
            notes=(*notes, gaps) if gaps else notes,
        )


def convert(
    raw: np.ndarray, unit: str, channels: Sequence[str], where: str, scale_check: bool
) -> np.ndarray:
    """Convert to float32 millivolt (`adc` and `arbitrary` stay), refuse infinities and bad scale.

    Parameters
    ----------
    raw : ndarray, shape (n_channels, n_times)
    unit : str
        Canonical unit of `raw`.
    channels : sequence of str
    where : str
        For the messages.
    scale_check : bool

    Raises
    ------
    FormatError
        If a value is infinite or too large for float32.
    DataError
        If the scale is implausible.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.array(to_millivolt(raw, "arbitrary" if unit == "adc" else unit), copy=True)
    infinite = [c for c, row in zip(channels, values, strict=True) if np.isinf(row).any()]
    if infinite:
        raise FormatError(
            f"{where}: infinite values in {', '.join(infinite)}; mark missing samples as NaN"
        )
    if scale_check and unit != "adc":
        check_plausible_mv(values, where=where, unit=unit, strict=True, argument="unit")
    return values


def _column(
    side: dict[str, np.ndarray], keys: tuple[str, ...], n_records: int
) -> list[str] | list[None]:
    """Texts of a per-record array, or empty texts / None if there is none of that length."""
    found = next((side[key] for key in keys if key in side), None)
    if found is None or found.shape != (n_records,):
        return [None] * n_records
    return [None if text in ("", "-1", "nan") else text for text in map(str, found.tolist())]  # type: ignore[return-value]
