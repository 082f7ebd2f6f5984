"""ECGs in SCP-ECG files (EN 1064, versions 1 and 2), decoded by ecgdatakit.

Before the file is handed over, the numbers of samples that it declares are compared with its bytes;
what ecgdatakit warns of (checksums, for one) is an error or a note. Long-term data of version 3 and
decimated (bimodal) data are not read.

References
----------
EN 1064:2020, Standard communication protocol for computer-assisted electrocardiography.
"""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
from typing import Any

import numpy as np

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.assemble import DEFAULTS, Decoded, ReadOptions, assemble
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError, PlausibilityWarning
from biojepa.extras import require

EXTRA = "formats"
MAX_BYTES = 64 << 20  # resting ECGs have some ten kilobytes
MAX_BEAT_SAMPLES = 100_000
_HEAD, _SECTION_HEAD, _POINTER = 6, 16, 10
_SEX = {"M": "male", "F": "female"}
_UNREADABLE = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    LookupError,
    MemoryError,
    OSError,
    struct.error,
)  # what ecgdatakit lets through of damaged files, beside its own errors


def read_scp(path: str | os.PathLike[str], options: ReadOptions = DEFAULTS) -> Recording:
    """Read the rhythm of one SCP-ECG file, in millivolt.

    Parameters
    ----------
    path : path
    options : ReadOptions
        `verify` compares the checksums of the sections.

    Returns
    -------
    Recording
        `labels` holds age and sex; `subject_id` is the patient's id. Names and dates are not read.

    Raises
    ------
    FormatError
        If it is no SCP-ECG file, is damaged, or of a kind that is not read.
    DataError, LeadError
        See `biojepa.data.assemble.assemble`.
    MissingDependencyError
        Without ecgdatakit.

    Warns
    -----
    PlausibilityWarning
        If checksums differ, under `verify="warn"`.
    """
    parsers = require("ecgdatakit.parsing.parsers.scp_ecg", EXTRA, why="read SCP-ECG files")
    known = require("ecgdatakit.exceptions", EXTRA, why="read SCP-ECG files")
    where = shown(path)
    size = file_size(path)
    if size > min(MAX_BYTES, options.max_bytes):
        raise DataError(f"{where}: {size} bytes are too many for an SCP-ECG file")
    raw = read_bytes(path, size)
    _check_sizes(raw, where)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            record = parsers.SCPECGParser().parse(path)
        except known.ECGDataKitError as error:
            raise FormatError(f"{where}: {error}") from None
        except _UNREADABLE as error:
            raise FormatError(
                f"{where}: the SCP-ECG file is damaged ({type(error).__name__}: {str(error)[:120]})"
            ) from None
    wrong = [str(w.message) for w in caught if issubclass(w.category, known.ChecksumWarning)]
    notes = [str(w.message) for w in caught if not issubclass(w.category, known.ChecksumWarning)]
    if wrong and options.verify == "warn":
        notes += wrong
        warnings.warn(f"{where}: {wrong[0]}", PlausibilityWarning, stacklevel=2)
    elif wrong and options.verify:
        raise FormatError(
            f"{where}: {wrong[0]}; the file is damaged: fetch it again, or pass verify=False to "
            "read it as it is"
        )
    return assemble(_decoded(record, raw, notes, where), path, options)


def _decoded(record: Any, raw: bytes, notes: list[str], where: str) -> Decoded:
    leads = record.leads
    lengths = {len(lead.samples) for lead in leads}
    if len(lengths) != 1 or 0 in lengths:
        raise FormatError(
            f"{where}: expected leads of one length above 0, got "
            f"{', '.join(f'{lead.label} {len(lead.samples)}' for lead in leads) or 'no lead'}"
        )
    if starts := {lead.annotations.get("start_sample") for lead in leads} - {None}:
        notes.append(f"leads begin at samples {', '.join(sorted(map(str, starts)))}: not aligned")
    labels: dict[str, Any] = {}
    if record.patient.age is not None:
        labels["age"] = record.patient.age
    if record.patient.sex in _SEX:
        labels["sex"] = _SEX[record.patient.sex]
    return Decoded(
        values=np.stack([np.asarray(lead.samples) * lead.resolution for lead in leads]),
        names=[lead.label for lead in leads],
        units=[lead.resolution_unit for lead in leads],
        rate_hz=float(leads[0].sampling_rate),
        record_id="",
        subject_id=record.patient.patient_id or None,
        labels=labels,
        sha256=hashlib.sha256(raw).hexdigest(),
        notes=tuple(notes),
    )


def _check_sizes(raw: bytes, where: str) -> None:
    """Compare what the file says of its sections and samples with its bytes."""
    if len(raw) < _HEAD + _SECTION_HEAD or struct.unpack_from("<H", raw, 8)[0] != 0:
        raise FormatError(f"{where}: expected an SCP-ECG file, its first bytes are others")
    n_pointers = struct.unpack_from("<I", raw, 10)[0]
    if not _SECTION_HEAD <= n_pointers <= len(raw) - _HEAD:
        raise FormatError(f"{where}: section 0 declares {n_pointers} bytes; the file is cut")
    sections = {}
    for at in range(_HEAD + _SECTION_HEAD, _HEAD + n_pointers - _POINTER + 1, _POINTER):
        number, length, index = struct.unpack_from("<HII", raw, at)
        if length and index:
            if index - 1 + length > len(raw):
                raise FormatError(f"{where}: section {number} lies beyond the file; it is cut")
            sections[number] = raw[index - 1 + _SECTION_HEAD : index - 1 + length]
    leads, rhythm = sections.get(3, b""), sections.get(6, b"")
    n_leads = leads[0] if leads else 0
    if not n_leads or len(leads) < 2 + 9 * n_leads or not rhythm:
        raise FormatError(f"{where}: expected definitions of leads (3) and a rhythm (6)")
    for lead in range(n_leads):
        first, last = struct.unpack_from("<2I", leads, 2 + 9 * lead)
        if not first <= last or last - first + 1 > 8 * len(rhythm):  # a bit a sample at least
            raise FormatError(
                f"{where}: lead {lead + 1} declares samples {first} to {last}, the rhythm has "
                f"{len(rhythm)} bytes"
            )
    beat, median = sections.get(4, b""), sections.get(5, b"")
    if len(beat) >= 2 and len(median) >= 4:
        length_ms, step_us = (
            struct.unpack_from("<H", beat)[0],
            struct.unpack_from("<H", median, 2)[0],
        )
        if length_ms * 1000 > MAX_BEAT_SAMPLES * max(step_us, 1):
            raise FormatError(f"{where}: a beat of {length_ms} ms in steps of {step_us} us")
