"""ECGs in DICOM waveform objects (12-lead, general and ambulatory ECG), through pydicom.

Of several multiplex groups the one with the most standard leads is taken, the longest of these, and
the others are noted; a median beat, which devices store beside the rhythm, never is. Only
little-endian files without compression are opened, and their size is checked first.

References
----------
DICOM PS3.3, C.10.9 Waveform Module; PS3.16, CID 3001 ECG Leads.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import warnings
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from biojepa.data._foreign import raised_in
from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.assemble import DEFAULTS, Decoded, ReadOptions, assemble
from biojepa.data.leads import STANDARD_12, canonical_lead
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError
from biojepa.extras import require

EXTRA = "formats"
MAGIC_OFFSET, MAGIC = 128, b"DICM"
MAX_CHANNELS = 512
_SYNTAXES = {
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.1.2.1": "explicit little endian",
}
_DEFLATED = b"1.2.840.10008.1.2.1.99"
# lead numbers of ISO/IEEE 11073 (`2:1`) and SCP-ECG (`5.6.3-9-1`) are the same
_NUMBERS = dict(zip((1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), STANDARD_12, strict=True))
_CODE = re.compile(r"(?:2:|5\.6\.3-9-)(\d{1,3})")
_DTYPES = {
    ("SB", 8): "i1",
    ("UB", 8): "u1",
    ("SS", 16): "<i2",
    ("US", 16): "<u2",
    ("SL", 32): "<i4",
    ("UL", 32): "<u4",
}
Number = TypeVar("Number", int, float)
_SEX = {"M": "male", "F": "female"}
_BEAT = re.compile("median|average|representative|template", re.IGNORECASE)
_AGE = re.compile(r"(\d{3})Y")
_UNREADABLE = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    NotImplementedError,
    AssertionError,
    RecursionError,
    struct.error,
)  # what pydicom raises on files that begin as DICOM and are damaged


def is_dicom(start: bytes) -> bool:
    """Whether the first 132 bytes are those of a DICOM file."""
    return start[MAGIC_OFFSET : MAGIC_OFFSET + 4] == MAGIC


def read_dicom(path: str | os.PathLike[str], options: ReadOptions = DEFAULTS) -> Recording:
    """Read the ECG of one DICOM file, in millivolt.

    Parameters
    ----------
    path : path
    options : ReadOptions

    Returns
    -------
    Recording
        `labels` holds sex and age; `subject_id` is the PatientID. Names and dates are not read.

    Raises
    ------
    FormatError
        If it is no DICOM waveform, is damaged, or a channel has no sensitivity.
    DataError, LeadError
        See `biojepa.data.assemble.assemble`.
    MissingDependencyError
        Without pydicom.
    """
    pydicom = require("pydicom", EXTRA, why="read DICOM files")
    errors = require("pydicom.errors", EXTRA, why="read DICOM files")
    where = shown(path)
    size = file_size(path)
    if size > options.max_bytes:
        raise DataError(f"{where}: {size} bytes are more than max_bytes={options.max_bytes}")
    raw = read_bytes(path, size)
    if not is_dicom(raw):
        raise FormatError(f"{where}: expected a DICOM file, its first bytes are others")
    if _DEFLATED in raw:  # pydicom would unpack it without a bound
        raise FormatError(f"{where}: is compressed as a whole (deflated); store it uncompressed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on values that are not read here
        try:
            # from memory: a file object would allocate whatever length an element declares
            dataset = pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=True)
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
            if syntax not in _SYNTAXES:
                raise FormatError(
                    f"{where}: expected uncompressed little-endian DICOM, got transfer syntax "
                    f"{syntax or 'none'}; convert it to explicit little endian"
                )
            decoded = _decode(dataset, options, where)
        except (*_UNREADABLE, errors.BytesLengthException, errors.InvalidDicomError) as error:
            if isinstance(error, DataError) or not raised_in(error, "pydicom"):
                raise
            raise FormatError(
                f"{where}: the DICOM file is damaged ({type(error).__name__}: {str(error)[:120]})"
            ) from None
    return assemble(decoded, path, options)


def _decode(dataset: Any, options: ReadOptions, where: str) -> Decoded:
    groups = _items(dataset, "WaveformSequence", where)
    if not groups:
        raise FormatError(
            f"{where}: expected a DICOM waveform, got "
            f"{dataset.get('Modality', None) or 'an object'} without WaveformSequence"
        )
    names = [_lead_names(group, where) for group in groups]
    rhythms = [i for i in range(len(groups)) if not _BEAT.search(_label(groups[i]))]
    if not rhythms:
        raise FormatError(f"{where}: expected a rhythm, the file holds averaged beats alone")
    best = min(
        rhythms,
        key=lambda i: (
            -len(set(names[i]) & set(STANDARD_12)),
            -_as(int, groups[i].NumberOfWaveformSamples, "NumberOfWaveformSamples", where),
            i,
        ),
    )
    notes = [
        f"left out waveform group {i + 1} ({_label(groups[i])}): {len(names[i])} channels of "
        f"{groups[i].NumberOfWaveformSamples} samples at {groups[i].SamplingFrequency} Hz"
        for i in range(len(groups))
        if i != best
    ]
    group = groups[best]
    values, units, digest = _samples(group, names[best], options, where)
    return Decoded(
        values=values,
        names=names[best],
        units=units,
        rate_hz=_as(float, group.SamplingFrequency, "SamplingFrequency", where),
        record_id="",
        subject_id=str(dataset.get("PatientID", None) or "") or None,
        labels=_labels(dataset),
        sha256=digest,
        notes=tuple(notes),
    )


def _samples(
    group: Any, names: list[str], options: ReadOptions, where: str
) -> tuple[NDArray[np.float64], list[str | None], str]:
    """Values in each channel's unit, the units, and the hash of the samples."""
    n_channels = len(names)
    n_times = _as(int, group.NumberOfWaveformSamples, "NumberOfWaveformSamples", where)
    bits = _as(int, group.WaveformBitsAllocated, "WaveformBitsAllocated", where)
    kind = (str(group.WaveformSampleInterpretation), bits)
    if kind not in _DTYPES:
        raise FormatError(
            f"{where}: expected samples of {', '.join(k for k, _ in _DTYPES)}, got {kind[0]} with "
            f"{kind[1]} bits"
        )
    dtype = np.dtype(_DTYPES[kind])
    raw = group.WaveformData
    if not isinstance(raw, bytes):
        raise FormatError(f"{where}: expected samples as WaveformData, got {type(raw).__name__}")
    needed = n_channels * n_times * dtype.itemsize
    if n_times < 1 or not needed <= len(raw) <= needed + 1:
        raise FormatError(
            f"{where}: expected {needed} bytes for {n_channels} channels of {n_times} samples, got "
            f"{len(raw)}; the file is cut"
        )
    counts = np.frombuffer(raw, dtype, n_channels * n_times).reshape(n_times, n_channels).T
    values = counts.astype(np.float64)
    units: list[str | None] = []
    for row, name, channel in zip(
        values, names, _items(group, "ChannelDefinitionSequence", where), strict=True
    ):
        gain, baseline, unit = _sensitivity(channel, name, options, where)
        row *= gain
        row += baseline
        units.append(unit)
    padding = group.get("WaveformPaddingValue", None)
    if padding is not None:
        values[counts == _padding(padding, dtype, where)] = np.nan
    return values, units, hashlib.sha256(raw).hexdigest()


def _sensitivity(
    channel: Any, name: str, options: ReadOptions, where: str
) -> tuple[float, float, str | None]:
    """Size of a count, value of count 0, and their unit."""
    size = channel.get("ChannelSensitivity", None)
    if size is None:
        if options.unit is None:
            raise FormatError(
                f"{where}: expected a ChannelSensitivity of lead {name}, there is none, so the "
                "size of a count is not known: pass unit='arbitrary' to read the counts"
            )
        return 1.0, 0.0, None
    gain = _as(float, size, "ChannelSensitivity", where)
    correction = channel.get("ChannelSensitivityCorrectionFactor", None) or 1.0
    gain *= _as(float, correction, "ChannelSensitivityCorrectionFactor", where)
    baseline = _as(float, channel.get("ChannelBaseline", None) or 0.0, "ChannelBaseline", where)
    if not np.isfinite(gain) or not np.isfinite(baseline) or gain == 0:
        raise FormatError(f"{where}: expected a finite sensitivity of lead {name}, not 0")
    units = _items(channel, "ChannelSensitivityUnitsSequence", where)
    return gain, baseline, str(units[0].CodeValue) if units else None


def _lead_names(group: Any, where: str) -> list[str]:
    channels = _items(group, "ChannelDefinitionSequence", where)
    stated = _as(int, group.NumberOfWaveformChannels, "NumberOfWaveformChannels", where)
    if stated != len(channels) or not 1 <= stated <= MAX_CHANNELS:
        raise FormatError(
            f"{where}: expected 1 to {MAX_CHANNELS} channels, each defined, got {stated} and "
            f"{len(channels)} definitions"
        )
    return [_lead_name(channel, f"channel {i + 1}", where) for i, channel in enumerate(channels)]


def _lead_name(channel: Any, fallback: str, where: str) -> str:
    """From the code of the source, else its meaning (`Lead V1`), else the label."""
    source = _items(channel, "ChannelSourceSequence", where)
    meaning = ""
    if source:
        code = str(source[0].get("CodeValue", ""))
        number = _CODE.fullmatch(code)
        if number and int(number[1]) in _NUMBERS:
            return _NUMBERS[int(number[1])]
        meaning = str(source[0].get("CodeMeaning", "")).partition("(")[0].strip()
        for text in (code, meaning):
            if canonical_lead(text) in STANDARD_12:
                return canonical_lead(text)
    label = str(channel.get("ChannelLabel", "")).strip()
    if canonical_lead(label) in STANDARD_12:
        return canonical_lead(label)
    return meaning or label or fallback


def _padding(value: Any, dtype: np.dtype, where: str) -> int:
    if isinstance(value, bytes):
        if len(value) < dtype.itemsize:
            raise FormatError(f"{where}: WaveformPaddingValue has {len(value)} bytes")
        return int(np.frombuffer(value, dtype, 1)[0])
    return _as(int, value, "WaveformPaddingValue", where)


def _items(dataset: Any, keyword: str, where: str) -> list[Any]:
    """Items of a sequence; none if it is not there."""
    value = dataset.get(keyword, None)
    if value is None:
        return []
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise FormatError(f"{where}: expected items as {keyword}, got {str(value)[:60]!r}")
    return list(value)


def _as(kind: type[Number], value: Any, name: str, where: str) -> Number:
    """A number of the file, which may hold anything in its place."""
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise FormatError(
            f"{where}: expected a number as {name}, got {str(value)[:60]!r}"
        ) from None


def _label(group: Any) -> str:
    return str(group.get("MultiplexGroupLabel", "")).strip() or "unnamed"


def _labels(dataset: Any) -> dict:
    labels: dict = {}
    age = _AGE.fullmatch(str(dataset.get("PatientAge", None) or ""))
    if age:
        labels["age"] = int(age[1])
    sex = _SEX.get(str(dataset.get("PatientSex", None) or ""))
    if sex:
        labels["sex"] = sex
    return labels
