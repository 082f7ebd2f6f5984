"""Strict parser of WFDB header files (`.hea`).

Unlike the reference library it guesses nothing: a gain of 0 is not 200, a missing rate is not
250 Hz, a count of leads that is not met is an error with its line number. Opens only the header.

References
----------
header(5) of the WFDB Applications Guide, physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from biojepa.data._paths import file_size, read_bytes, record_path, shown
from biojepa.errors import FormatError

SUFFIXES = (".hea", ".dat", ".mat")
FORMATS = (16, 212, 80, 24, 32)

MAX_HEADER_BYTES = 1 << 20  # ours: what comes later in the file can only be comments
MAX_COMMENTS, MAX_COMMENT_CHARS = 1000, 2000
MAX_RATE_HZ = 1e5  # ours: no surface recording is faster
GAIN_RANGE = (1e-6, 1e12)  # ours: keeps float32 millivolt finite and not all zero
MAX_BASELINE = 1 << 32

_NUMBER = r"[+-]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][+-]?\d{1,5})?"
_RECORD_NAME = re.compile(r"([\w\-]{1,255})(/\d{1,18})?")
_RATE = re.compile(rf"(-?{_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?")
_FORMAT = re.compile(r"(\d{1,6})(?:x(\d{1,18}))?(?::(\d{1,18}))?(?:\+(\d{1,18}))?")
_GAIN = re.compile(r"([^(/\s]+)(?:\((-?\d{1,18})\))?(?:/(\S+))?")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_FILE_NAME = re.compile(r"[\w\-][\w\-.+@()]{0,254}")


class SignalLine(NamedTuple):
    """One signal of a header.

    Parameters
    ----------
    file_name : str
        Bare name of the signal file, in the header's folder.
    format : int
        Storage format, one of `FORMATS`.
    samples_per_frame : int
    byte_offset : int
        Bytes before the first sample (24 in the `.mat` files of the CinC challenges).
    gain : float
        Counts per unit; finite, not 0, may be negative.
    baseline : int
        Count that stands for 0 units.
    unit : str
        As written; `"mV"` if left out, as the format says.
    checksum : int or None
        Sum of all samples modulo 65536, 0 <= checksum < 65536.
    name : str
        Lead name as written, or `"signal <index>"` if the header has none.
    """

    file_name: str
    format: int
    samples_per_frame: int
    byte_offset: int
    gain: float
    baseline: int
    unit: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class WFDBHeader:
    """What a `.hea` file says.

    Parameters
    ----------
    path : Path
        The header file.
    record_name : str
        As written inside the header.
    rate_hz : float
        Frames per second.
    n_frames : int or None
        Samples per signal (at one sample per frame); None if the header leaves it to the file.
    signals : tuple of SignalLine
    comments : tuple of str
        Without the `#`, outer blanks removed.
    notes : tuple of str
        What was passed over, in sentences.
    """

    path: Path
    record_name: str
    rate_hz: float
    n_frames: int | None
    signals: tuple[SignalLine, ...]
    comments: tuple[str, ...]
    notes: tuple[str, ...]


def header_path(path: str | os.PathLike[str]) -> Path:
    """Path of the header of a record given with or without `.hea`, `.dat` or `.mat`."""
    text = os.fspath(path)
    stem, suffix = os.path.splitext(text)
    return Path((stem if suffix.lower() in SUFFIXES else text) + ".hea")


def read_header(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    follow_symlinks: bool = False,
) -> WFDBHeader:
    """Read and check a WFDB header.

    Parameters
    ----------
    path : path
        Record or header, with or without suffix. Relative to `root` if that is given.
    root : path, optional
        Folder that the record may not leave.
    follow_symlinks : bool
        Let links inside `root` lead out of it.

    Returns
    -------
    WFDBHeader

    Raises
    ------
    FormatError
        If the file is missing, not a header, inconsistent, a multi-segment record, or names
        signal files elsewhere. The message holds the line number.
    """
    where = header_path(record_path(path, root=root, follow_symlinks=follow_symlinks))
    size = file_size(where)
    raw = read_bytes(where, min(size, MAX_HEADER_BYTES))
    return parse_header(raw, path=where, cut=size > len(raw))


def parse_header(raw: bytes, *, path: Path, cut: bool = False) -> WFDBHeader:
    """Parse the bytes of a header; see `read_header`.

    Parameters
    ----------
    raw : bytes
    path : Path
        For the messages, and returned in the header.
    cut : bool
        `raw` is only the start of the file; an unfinished last line is left out.
    """
    where = shown(path)
    notes = []
    text = _decode(raw, where)
    lines = re.split(r"\r\n|\n|\r", text)
    if cut:
        lines.pop()
        notes.append(f"only the first {MAX_HEADER_BYTES} bytes of the header were read")
    content: list[tuple[int, str]] = []
    comments: list[str] = []
    n_comments = 0
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if line.startswith("#"):
            n_comments += 1
            if n_comments <= MAX_COMMENTS:
                comments.append(line[1:].strip()[:MAX_COMMENT_CHARS])
        elif line:
            content.append((number, line))
    if n_comments > MAX_COMMENTS:
        notes.append(f"{n_comments - MAX_COMMENTS} of {n_comments} comment lines were passed over")
    if not content:
        raise FormatError(f"{where}: expected a record line (name, leads, rate), got no such line")
    name, n_signals, rate_hz, n_frames = _record_line(*content[0], where)
    if len(content) - 1 != n_signals:
        raise FormatError(
            f"{where}, line {content[min(len(content) - 1, n_signals + 1)][0]}: expected "
            f"{n_signals} signal lines as line {content[0][0]} says, got {len(content) - 1}; the "
            "header is cut or not of this record"
        )
    signals = tuple(_signal_line(n, line, i, where) for i, (n, line) in enumerate(content[1:]))
    if name != path.stem:
        notes.append(f"the header calls the record {name!r}")
    return WFDBHeader(path, name, rate_hz, n_frames, signals, tuple(comments), tuple(notes))


def _decode(raw: bytes, where: str) -> str:
    if b"\0" in raw:
        raise FormatError(f"{where}: expected a text header, got binary data")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _record_line(number: int, line: str, where: str) -> tuple[str, int, float, int | None]:
    at = f"{where}, line {number}"
    tokens = line.split()
    name = _RECORD_NAME.fullmatch(tokens[0])
    if name is None:
        raise FormatError(
            f"{at}: expected a record name of letters, digits, '-' and '_', got {tokens[0][:80]!r}"
        )
    if name[2] is not None:
        raise FormatError(
            f"{at}: multi-segment records are not read; name the headers of its segments instead"
        )
    if len(tokens) < 3:
        raise FormatError(
            f"{at}: expected name, number of signals and sampling rate, got {line[:80]!r}; add the "
            "rate, it is not guessed"
        )
    if _INTEGER.fullmatch(tokens[1]) is None or int(tokens[1]) < 1:
        raise FormatError(f"{at}: expected a number of signals >= 1, got {tokens[1][:80]!r}")
    rate = _RATE.fullmatch(tokens[2])
    rate_hz = float(rate[1]) if rate else math.nan
    if not 0 < rate_hz <= MAX_RATE_HZ:
        raise FormatError(
            f"{at}: expected a sampling rate in (0, {MAX_RATE_HZ:g}] Hz, got {tokens[2][:80]!r}"
        )
    n_frames = None
    if len(tokens) > 3:
        if _INTEGER.fullmatch(tokens[3]) is None or int(tokens[3]) < 0:
            raise FormatError(f"{at}: expected a number of samples, got {tokens[3][:80]!r}")
        n_frames = int(tokens[3]) or None  # 0 means: not stated
    return name[1], int(tokens[1]), rate_hz, n_frames


def _signal_line(number: int, line: str, index: int, where: str) -> SignalLine:
    at = f"{where}, line {number}"
    tokens = line.split(maxsplit=8)
    if len(tokens) < 3:
        raise FormatError(
            f"{at}: expected signal file, format and gain, got {line[:80]!r}; without a gain the "
            "amplitude is not known"
        )
    if not _is_bare_name(tokens[0]):
        raise FormatError(
            f"{at}: expected the bare name of a signal file next to the header, got "
            f"{tokens[0][:80]!r}; it is not opened"
        )
    layout = _layout(tokens[1])
    if layout is None or layout.format not in FORMATS or layout.per_frame < 1:
        raise FormatError(
            f"{at}: expected signal format {', '.join(map(str, FORMATS))}, got {tokens[1][:80]!r}; "
            "convert the record with WFDB's xform or wfdb.wrsamp"
        )
    if layout.skew != 0:
        raise FormatError(
            f"{at}: expected leads that start together, got a skew of {layout.skew} samples; align "
            "the leads first (wfdb.rdrecord and wfdb.wrsamp do)"
        )
    scale = _gain(tokens[2])
    if scale is None:
        raise FormatError(
            f"{at}: expected a gain such as 1000(0)/mV, finite and not 0, got {tokens[2][:80]!r}; "
            "correct the header, the amplitude is not known without it"
        )
    gain, baseline, unit = scale
    numbers = _integers(tokens[3:8], at)
    if baseline is None:  # header(5): the ADC zero takes its place
        baseline = numbers[1] if len(numbers) > 1 and abs(numbers[1]) <= MAX_BASELINE else 0
    name = tokens[8].strip() if len(tokens) > 8 else f"signal {index}"
    return SignalLine(
        file_name=tokens[0],
        format=layout.format,
        samples_per_frame=layout.per_frame,
        byte_offset=layout.byte_offset,
        gain=gain,
        baseline=baseline,
        unit=unit,
        checksum=numbers[3] % 65536 if len(numbers) > 3 else None,
        name=name,
    )


class _Layout(NamedTuple):
    format: int
    per_frame: int
    skew: int
    byte_offset: int


# The parts of a signal line repeat from lead to lead and file to file, hence the caches.


@lru_cache(maxsize=1024)
def _is_bare_name(name: str) -> bool:
    return _FILE_NAME.fullmatch(name) is not None and ".." not in name and name != "-"


@lru_cache(maxsize=1024)
def _layout(token: str) -> _Layout | None:
    parts = _FORMAT.fullmatch(token)
    if parts is None:
        return None
    return _Layout(int(parts[1]), int(parts[2] or 1), int(parts[3] or 0), int(parts[4] or 0))


@lru_cache(maxsize=1024)
def _gain(token: str) -> tuple[float, int | None, str] | None:
    parts = _GAIN.fullmatch(token)
    if parts is None or re.fullmatch(_NUMBER, parts[1]) is None:
        return None
    gain, baseline = float(parts[1]), None if parts[2] is None else int(parts[2])
    if not GAIN_RANGE[0] <= abs(gain) <= GAIN_RANGE[1] or abs(baseline or 0) > MAX_BASELINE:
        return None
    return gain, baseline, parts[3] or "mV"


def _integers(tokens: list[str], at: str) -> list[int]:
    """ADC resolution, ADC zero, first value, checksum, block size, as far as they are there."""
    try:
        return [int(token) for token in tokens]
    except ValueError:
        raise FormatError(
            f"{at}: expected whole numbers for resolution, zero, first value, checksum and block "
            f"size before the lead name, got {' '.join(tokens)[:80]!r}"
        ) from None
