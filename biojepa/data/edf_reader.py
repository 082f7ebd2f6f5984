"""Strict reader of the ECG channels of EDF, EDF+, BDF and BDF+ files.

Sizes are compared with the file before memory is taken. Which channels are ECG follows from the
label (`ECG II`, `EKG V1`, `II`); other types are left out and noted. A cut file is an error unless
the caller allows it, and so is a discontinuous one (EDF+D) with a gap.

References
----------
See `biojepa.data.edf_header`; labels: "EDF+ standard texts", edfplus.info/specs/edftexts.html.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.assemble import DEFAULTS, Decoded, ReadOptions, agreed_rate, assemble
from biojepa.data.edf_header import (
    ANNOTATIONS,
    HEAD_BYTES,
    EDFHeader,
    EDFSignal,
    header_size,
    parse_header,
)
from biojepa.data.leads import STANDARD_12, canonical_lead
from biojepa.data.recording import Recording
from biojepa.data.units import canonical_unit
from biojepa.errors import DataError, FormatError, PlausibilityWarning

# signal types of EDF+ that are no ECG
_OTHER = {
    *("EEG", "EOG", "EMG", "ERG", "NC", "MEG", "MCG", "EP", "TEMP", "RESP", "SAO2", "SPO2"),
    *("LIGHT", "SOUND", "EVENT", "STATUS", "PLETH", "PPG", "ABP", "BP", "MARKER", "ACC"),
}
_ECG = re.compile(r"E[CK]G\b|E[CK]G[\d_]", re.IGNORECASE)
# an electrode of the 10-05 system: files of EEG often leave the type out
_ELECTRODE = re.compile(
    r"(fp|af|aff|f|ff[ct]|fc|fcc|ft|ftt|c|ccp|t|ttp|tp|tpp|cp|cpp|p|ppo|po|poo|o|oi|i|n)(z|\d{1,2}h?)"
    r"([-:].*)?",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"[\s_-]+(ref|le|avg)$", re.IGNORECASE)
_SEX = {"M": "male", "F": "female"}


def read_edf(path: str | os.PathLike[str], options: ReadOptions = DEFAULTS) -> Recording:
    """Read the ECG of one file, in millivolt.

    Parameters
    ----------
    path : path
    options : ReadOptions
        `allow_truncated` reads the whole records that are there of a cut file.

    Returns
    -------
    Recording
        `labels` holds the sex and `subject_id` the patient's code of EDF+; names are not read.

    Raises
    ------
    FormatError
        If the header is damaged, the file is cut, or there is no ECG channel.
    DataError, LeadError
        See `biojepa.data.assemble.assemble`; also if ECG channels have different rates.

    Warns
    -----
    PlausibilityWarning
        If the number or duration of records is missing, or the file is longer or shorter than it
        says.
    """
    where = shown(path)
    size = file_size(path)
    start = read_bytes(path, min(size, HEAD_BYTES))
    n_head = header_size(start, where=where)
    if size < n_head:
        raise FormatError(f"{where}: expected a header of {n_head} bytes, the file has {size}")
    header = parse_header(read_bytes(path, n_head), where=where)
    notes: list[str] = []
    chosen = _ecg_signals(header, options, notes, where)
    n_records = _n_records(header, size, options, notes, where)
    rate_hz = _rate(header, chosen, options, notes, where)
    record_bytes = header.record_samples * header.width
    if n_records * record_bytes > options.max_bytes:
        raise DataError(
            f"{where}: {n_records * record_bytes} bytes are more than max_bytes="
            f"{options.max_bytes}; raise max_bytes if the recording is meant to be this long"
        )
    raw = read_bytes(path, n_records * record_bytes, offset=n_head)
    records = np.frombuffer(raw, dtype=np.uint8).reshape(n_records, record_bytes)
    if header.kind == "D":
        _check_contiguous(header, records, where)
    values = np.empty((len(chosen), n_records * chosen[0].n_samples), dtype=np.float32)
    for row, signal in zip(values, chosen, strict=True):
        row[:] = _physical(_counts(records, signal, header.width), signal, notes, where)
    subject_id, labels = _patient(header)
    decoded = Decoded(
        values=values,
        names=[_lead_name(signal.label) for signal in chosen],
        units=[signal.unit for signal in chosen],
        rate_hz=rate_hz,
        record_id="",
        subject_id=subject_id,
        labels=labels,
        sha256=hashlib.sha256(raw).hexdigest(),
        notes=tuple(notes),
    )
    return assemble(decoded, path, options)


def _ecg_signals(
    header: EDFHeader, options: ReadOptions, notes: list[str], where: str
) -> list[EDFSignal]:
    """The signals that are ECG by their label; else those that could be, if nothing says no."""
    signals = [s for s in header.signals if s.label not in ANNOTATIONS and s.n_samples]
    chosen = [s for s in signals if _is_ecg(s.label)]
    if not chosen:
        chosen = [s for s in signals if _may_be_ecg(s)]
        if not chosen:
            raise FormatError(
                f"{where}: expected an ECG channel (ECG II, EKG V1, II, ...), got "
                f"{', '.join(s.label or 'unnamed' for s in header.signals)[:300]}"
            )
        if options.leads is None:
            notes.append(f"no channel is called ECG: took {', '.join(s.label for s in chosen)}")
    if others := [s.label for s in signals if s not in chosen]:
        notes.append(f"left out channels that are no ECG: {', '.join(others)}")
    if len({s.n_samples for s in chosen}) > 1:
        counts = ", ".join(f"{s.label} {s.n_samples}" for s in chosen)
        raise DataError(
            f"{where}: expected ECG channels of one rate, got these samples in a record: {counts}; "
            "write them to files of their own"
        )
    elif len({s.n_samples for s in signals}) > 1 and header.duration_s:
        rates = sorted({s.n_samples / header.duration_s for s in signals})
        notes.append(f"channels have different rates ({', '.join(f'{r:g}' for r in rates)} Hz)")
    return chosen


def _is_ecg(label: str) -> bool:
    return _ECG.match(label) is not None or canonical_lead(_bare(label)) in STANDARD_12


def _may_be_ecg(signal: EDFSignal) -> bool:
    words = re.split(r"[\s_:.-]+", signal.label.upper())
    if words[0] in _OTHER or _ELECTRODE.fullmatch(signal.label.rstrip(".")):
        return False
    if not signal.unit:
        return True
    try:
        return canonical_unit(signal.unit) in ("mV", "uV", "V")
    except DataError:
        return False


def _bare(label: str) -> str:
    return _REFERENCE.sub("", label)


def _lead_name(label: str) -> str:
    name = canonical_lead(_bare(label))
    return name if name in STANDARD_12 else label


def _n_records(
    header: EDFHeader, size: int, options: ReadOptions, notes: list[str], where: str
) -> int:
    """Whole records that are read."""
    record_bytes = header.record_samples * header.width
    n_bytes = size - header.n_bytes
    there = n_bytes // record_bytes
    if there < 1 or header.n_records == 0:
        raise FormatError(
            f"{where}: expected at least one record of {record_bytes} bytes, got {n_bytes} bytes "
            f"and {header.n_records} records declared"
        )
    if header.n_records == -1:
        _say(f"the header does not say how many records there are: read {there}", notes, where)
    elif there < header.n_records:
        if not options.allow_truncated:
            raise FormatError(
                f"{where}: expected {header.n_records} records ({header.n_records * record_bytes} "
                f"bytes), got {n_bytes} bytes; the file is cut: fetch it again, or pass "
                "allow_truncated=True to read what is there"
            )
        _say(f"the file is cut: {there} of {header.n_records} records are there", notes, where)
    elif n_bytes > header.n_records * record_bytes:
        extra = n_bytes - header.n_records * record_bytes
        _say(f"the file has {extra} bytes more than its header declares", notes, where)
        there = header.n_records
    return there


def _rate(
    header: EDFHeader,
    chosen: list[EDFSignal],
    options: ReadOptions,
    notes: list[str],
    where: str,
) -> float:
    if header.duration_s > 0:
        rate = chosen[0].n_samples / header.duration_s
        return float(round(rate)) if abs(rate - round(rate)) < 1e-6 * rate else rate
    rate = agreed_rate(None, options.rate_hz, where)
    _say(f"the header says that a record lasts 0 s: took the {rate:g} Hz given", notes, where)
    return rate


def _counts(records: NDArray[np.uint8], signal: EDFSignal, width: int) -> NDArray[np.integer]:
    start = signal.offset * width
    block = np.ascontiguousarray(records[:, start : start + signal.n_samples * width])
    if width == 2:
        return block.view("<i2").reshape(-1)
    three = block.reshape(-1, 3).astype(np.int32)
    return three[:, 0] | three[:, 1] << 8 | ((three[:, 2] ^ 128) - 128 << 16)


def _physical(
    counts: NDArray[np.integer], signal: EDFSignal, notes: list[str], where: str
) -> NDArray[np.float64]:
    low, high = signal.physical
    first, last = signal.digital
    if first >= last or low == high:
        raise FormatError(
            f"{where}: channel {signal.label} has the range {first:g} to {last:g} counts for "
            f"{low:g} to {high:g} {signal.unit}: expected a digital maximum above the minimum and "
            "two physical values"
        )
    if low > high:
        _say(f"channel {signal.label} has a negative gain and is turned over", notes, where)
    gain = (high - low) / (last - first)
    return np.asarray((counts - first) * gain + low, dtype=np.float64)


def _check_contiguous(header: EDFHeader, records: NDArray[np.uint8], where: str) -> None:
    """Refuse a discontinuous file with a gap; annotations say when each record starts."""
    marks = next((s for s in header.signals if s.label in ANNOTATIONS), None)
    if marks is None:
        raise FormatError(f"{where}: expected annotations with the start of each record (EDF+D)")
    at = marks.offset * header.width
    starts: list[float] = []
    for record in records:
        text = record[at : at + marks.n_samples * header.width].tobytes()
        found = re.match(rb"([+-]\d{1,9}(?:\.\d{1,9})?)(?:\x15[\d.]*)?\x14", text)
        if found is None:
            raise FormatError(f"{where}: record {len(starts) + 1} does not say when it starts")
        starts.append(float(found[1]))
    steps = np.diff(starts)
    gap = np.flatnonzero(np.abs(steps - header.duration_s) > 0.5 / header.record_samples)
    if gap.size:
        i = int(gap[0])
        raise FormatError(
            f"{where}: expected a recording without gaps, got {steps[i] - header.duration_s:.3f} s "
            f"after record {i + 1}; cut it there and read the parts"
        )


def _patient(header: EDFHeader) -> tuple[str | None, dict]:
    """Code and sex of EDF+, whose field is `code sex birthday name`."""
    words = header.patient.split()
    if not header.kind or len(words) < 4:
        return None, {}
    sex = _SEX.get(words[1].upper())
    return (None if words[0] == "X" else words[0]), ({"sex": sex} if sex else {})


def _say(note: str, notes: list[str], where: str) -> None:
    notes.append(note)
    warnings.warn(f"{where}: {note}", PlausibilityWarning, stacklevel=4)
