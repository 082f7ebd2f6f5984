"""Strict parser of the headers of EDF, EDF+, BDF and BDF+ files.

256 bytes of text, then 256 bytes for each signal, field by field; then records of one duration.
Every number is checked before anything of its size is read.

References
----------
Kemp et al. 1992, A simple format for exchange of digitized polygraphic recordings; Kemp & Olivan
2003, European data format 'plus'; the BDF page of BioSemi.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from biojepa.errors import FormatError

HEAD_BYTES = 256
MAX_SIGNALS = 1024
MAX_RECORD_SAMPLES = 50_000_000
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
# bytes of each field of a signal: label, transducer, unit, physical and digital range, filter,
# samples in a record, reserved
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_WHOLE = re.compile(r"[+-]?\d{1,9}")


@dataclass(frozen=True)
class EDFSignal:
    """One signal of a file.

    Parameters
    ----------
    label, unit : str
        As written.
    physical, digital : (float, float)
        Smallest and largest value, in the unit and in counts.
    n_samples : int
        In each record.
    offset : int
        Samples of other signals before it in a record.
    """

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    n_samples: int
    offset: int


@dataclass(frozen=True)
class EDFHeader:
    """What the header says.

    Parameters
    ----------
    signals : tuple of EDFSignal
        Annotations included.
    n_bytes : int
        Of the header.
    n_records : int
        -1 if the recorder did not say.
    duration_s : float
        Of a record; 0 is possible.
    width : int
        Bytes of a sample: 2 (EDF) or 3 (BDF).
    patient : str
        The field as written.
    kind : {"", "C", "D"}
        EDF+ continuous or discontinuous.
    """

    signals: tuple[EDFSignal, ...]
    n_bytes: int
    n_records: int
    duration_s: float
    width: int
    patient: str
    kind: str

    @property
    def record_samples(self) -> int:
        """Samples of all signals in a record."""
        return sum(signal.n_samples for signal in self.signals)


def is_edf(start: bytes) -> bool:
    """Whether the first bytes of a file are those of EDF or BDF."""
    return start[:8] == b"0       " or start[:8] == b"\xffBIOSEMI"


def header_size(start: bytes, *, where: str) -> int:
    """Bytes of the whole header, from the first 256.

    Raises
    ------
    FormatError
        If they are not of EDF or BDF, or the number of signals is impossible.
    """
    if len(start) < HEAD_BYTES or not is_edf(start):
        raise FormatError(f"{where}: expected an EDF or BDF file, its first bytes are others")
    n_signals = _whole(start[252:256], "number of signals", where)
    if not 1 <= n_signals <= MAX_SIGNALS:
        raise FormatError(f"{where}: expected 1 to {MAX_SIGNALS} signals, got {n_signals}")
    return HEAD_BYTES * (n_signals + 1)


def parse_header(head: bytes, *, where: str) -> EDFHeader:
    """Parse the whole header.

    Parameters
    ----------
    head : bytes
        As many as `header_size` says.
    where : str
        The file, for the messages.

    Raises
    ------
    FormatError
        If a field is no number or out of range.
    """
    n_bytes = header_size(head, where=where)
    if len(head) < n_bytes:
        raise FormatError(f"{where}: expected a header of {n_bytes} bytes, got {len(head)}")
    stated = _whole(head[184:192], "bytes of the header", where)
    if stated != n_bytes:
        raise FormatError(f"{where}: expected a header of {n_bytes} bytes, the field says {stated}")
    n_records = _whole(head[236:244], "number of records", where)
    if n_records < -1:
        raise FormatError(f"{where}: expected a number of records of -1 or more, got {n_records}")
    duration_s = _number(head[244:252], "duration of a record", where)
    if duration_s < 0:
        raise FormatError(
            f"{where}: expected a duration of a record of 0 or more, got {duration_s}"
        )
    reserved = _text(head[192:236])
    n = n_bytes // HEAD_BYTES - 1
    columns: list[list[bytes]] = []
    at = HEAD_BYTES
    for width in _WIDTHS:
        columns.append([head[at + i * width : at + (i + 1) * width] for i in range(n)])
        at += n * width
    signals: list[EDFSignal] = []
    offset = 0
    for label, _, unit, low, high, first, last, _, count, _ in zip(*columns, strict=True):
        name = _text(label)
        n_samples = _whole(count, f"samples of {name!r} in a record", where)
        if not 0 <= n_samples <= MAX_RECORD_SAMPLES:
            raise FormatError(f"{where}: expected samples of {name!r} in a record, got {n_samples}")
        signals.append(
            EDFSignal(
                label=name,
                unit=_text(unit),
                physical=(
                    _number(low, f"physical minimum of {name!r}", where),
                    _number(high, f"physical maximum of {name!r}", where),
                ),
                digital=(
                    _number(first, f"digital minimum of {name!r}", where),
                    _number(last, f"digital maximum of {name!r}", where),
                ),
                n_samples=n_samples,
                offset=offset,
            )
        )
        offset += n_samples
    if not 0 < offset <= MAX_RECORD_SAMPLES:
        raise FormatError(f"{where}: expected samples in a record, got {offset}")
    return EDFHeader(
        signals=tuple(signals),
        n_bytes=n_bytes,
        n_records=n_records,
        duration_s=duration_s,
        width=3 if head[:1] == b"\xff" else 2,
        patient=_text(head[8:88]),
        kind=reserved[4:5] if reserved[:4] in ("EDF+", "BDF+") else "",
    )


def _text(field: bytes) -> str:
    return field.decode("latin-1").replace("\0", " ").strip()


def _whole(field: bytes, what: str, where: str) -> int:
    text = _text(field)
    if _WHOLE.fullmatch(text) is None:
        raise FormatError(f"{where}: expected a whole number as {what}, got {text!r}")
    return int(text)


def _number(field: bytes, what: str, where: str) -> float:
    text = _text(field)
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{where}: expected a number as {what}, got {text!r}")
    return value
