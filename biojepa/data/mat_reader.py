"""Recordings from MATLAB files without a WFDB header: one matrix, alone or in a struct.

The signals are the variable or field `data`, `val`, `x`, `ecg`, `signal`..., shape leads x time or
time x leads; `fs`, `leads`, `unit`, `age`, `sex` and ids beside it are used. The struct `ECG` with
`sex`, `age` and 12 rows of `data` is the layout of CPSC 2018, whose leads (standard order), rate
(500 Hz) and unit (mV) the file itself does not state.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.arrays import ID_KEYS, LEAD_KEYS, RATE_KEYS, SIGNAL_KEYS, SUBJECT_KEYS
from biojepa.data.assemble import DEFAULTS, Decoded, ReadOptions, assemble
from biojepa.data.leads import STANDARD_12
from biojepa.data.mat_binary import Variable, is_mat4, is_mat5, read_mat4, read_mat5
from biojepa.data.mat_hdf5 import SIGNATURE, read_mat73
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError

MAX_CHANNELS = 512
CPSC_RATE_HZ = 500.0  # Liu et al. 2018, J. Med. Imaging Health Inform. 8:1368
_UNIT_KEYS = ("unit", "units")
_CPSC_FIELDS = {"sex", "age", "data"}


def read_mat(path: str | os.PathLike[str], options: ReadOptions = DEFAULTS) -> Recording:
    """Read the recording of a MATLAB file of any version.

    Parameters
    ----------
    path : path
    options : ReadOptions

    Returns
    -------
    Recording

    Raises
    ------
    FormatError
        If it is no MATLAB file, is damaged, or does not hold one matrix of signals.
    DataError, LeadError
        See `biojepa.data.assemble.assemble`.
    """
    where = shown(path)
    variables, sha256 = read_variables(path, max_bytes=options.max_bytes)
    fields, values = _signals(variables, where)
    side = {key.lower(): value for key, value in fields.items()}
    leads = _texts(side, LEAD_KEYS)
    rate_hz = _number(side, RATE_KEYS)
    unit = next(iter(_texts(side, _UNIT_KEYS) or []), None)
    notes: list[str] = []
    if len(values) > values.shape[1] and values.shape[1] <= MAX_CHANNELS:
        values = values.T
        notes.append("the matrix is time x leads and was turned")
    if side.keys() == _CPSC_FIELDS and len(values) == len(STANDARD_12):
        leads, unit = list(STANDARD_12), "mV"
        rate_hz = CPSC_RATE_HZ if options.rate_hz is None else None
        notes.append(
            "the layout of CPSC 2018: its 12 leads, 500 Hz and mV are taken unless others are "
            "given; the file does not state them"
        )
    if len(values) > MAX_CHANNELS:
        raise FormatError(f"{where}: expected leads x time, got a matrix of shape {values.shape}")
    decoded = Decoded(
        values=values,
        names=leads,
        units=[unit] * len(values),
        rate_hz=rate_hz,
        record_id=_identity(side, ID_KEYS) or Path(path).stem,
        subject_id=_identity(side, SUBJECT_KEYS),
        labels=_labels(side),
        sha256=sha256,
        notes=tuple(notes),
    )
    return assemble(decoded, path, options)


def read_variables(
    path: str | os.PathLike[str], *, max_bytes: int
) -> tuple[dict[str, Variable], str]:
    """All variables of a MATLAB file of any version.

    Parameters
    ----------
    path : path
    max_bytes : int
        Largest file, and most that its variables may unpack to.

    Returns
    -------
    variables : dict
        See `mat_binary.read_mat5`.
    sha256 : str
        Of the file.

    Raises
    ------
    FormatError
        If it is no MATLAB file, or damaged.
    DataError
        If it is larger than `max_bytes`, packed or unpacked.
    """
    where = shown(path)
    size = file_size(path)
    if size > max_bytes:
        raise DataError(f"{where}: {size} bytes are more than max_bytes={max_bytes}")
    raw = read_bytes(path, size)
    if SIGNATURE in (raw[:8], raw[512:520]):
        variables = read_mat73(path, max_bytes=max_bytes, where=where)
    elif is_mat5(raw[:128]):
        variables = read_mat5(raw, max_bytes=max_bytes, where=where)
    elif is_mat4(raw[:20]):
        variables = read_mat4(raw, where=where)
    else:
        raise FormatError(f"{where}: expected a MATLAB file, its first bytes are others")
    return variables, hashlib.sha256(raw).hexdigest()


def _signals(
    variables: Mapping[str, Variable], where: str
) -> tuple[dict[str, Variable], np.ndarray]:
    """The fields beside the signals, signals included, and the signals."""
    places = [dict(variables), *(v for v in variables.values() if isinstance(v, dict))]
    found = [
        (place, value)
        for place in places
        for key, value in place.items()
        if key.lower() in SIGNAL_KEYS and _is_signal(value)
    ]
    if not found:
        found = [(place, v) for place in places for v in place.values() if _is_signal(v)]
    if len(found) != 1:
        names = ", ".join(_describe(variables)) or "nothing that can be read"
        raise FormatError(
            f"{where}: expected one matrix of signals (named data, val, x, ecg, ...), got "
            f"{len(found)} among {names}"
        )
    place, values = found[0]
    beside = {k: v for k, v in variables.items() if not isinstance(v, dict)}
    return (place if place == places[0] else beside | place), np.asarray(values)


def _is_signal(value: Variable) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and max(value.shape, default=0) > 32


def _describe(variables: Mapping[str, Variable]) -> Iterator[str]:
    for name, value in variables.items():
        shape = f" {value.shape}" if isinstance(value, np.ndarray) else ""
        yield f"{name}{shape}"


def _texts(side: Mapping[str, Variable], keys: tuple[str, ...]) -> list[str] | None:
    value = next((side[key] for key in keys if key in side), None)
    if isinstance(value, str):
        return value.replace(",", " ").split()
    if isinstance(value, list) and all(isinstance(cell, str) for cell in value):
        return [str(cell) for cell in value]
    return None


def _number(side: Mapping[str, Variable], keys: tuple[str, ...]) -> float | None:
    value = next((side[key] for key in keys if key in side), None)
    if isinstance(value, np.ndarray) and value.size == 1:
        return float(value.ravel()[0])
    return None


def _identity(side: Mapping[str, Variable], keys: tuple[str, ...]) -> str | None:
    value = next((side[key] for key in keys if key in side), None)
    if isinstance(value, str):
        return value.strip() or None
    number = _number(side, keys)
    return None if number is None or not number.is_integer() else str(int(number))


def _labels(side: Mapping[str, Variable]) -> dict:
    labels: dict = {}
    age = _number(side, ("age",))
    if age is not None and np.isfinite(age):
        labels["age"] = int(age) if age.is_integer() else age
    sex = side.get("sex", "")
    if isinstance(sex, str) and sex.strip():
        word = sex.strip().lower()
        labels["sex"] = {"m": "male", "f": "female"}.get(word, word)
    return labels
