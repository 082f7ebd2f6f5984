"""EEG files through MNE, strictly: EDF, BDF, FIF, BrainVision, EEGLAB, and BIDS folders of these.

Tables of wearable devices (CSV) are read here too.

MNE reads a cut EDF file with a warning, follows `DataFile=../` out of a folder, raises channels of
other rates to the highest and calls any channel EEG. Here the header is judged first, only the EEG
channels are read, and whatever goes wrong is a FormatError.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from biojepa.data._foreign import raised_in
from biojepa.data._paths import file_size, read_bytes, record_path, shown
from biojepa.data.assemble import DEFAULTS
from biojepa.data.edf_header import (
    ANNOTATIONS,
    HEAD_BYTES,
    EDFHeader,
    EDFSignal,
    header_size,
    parse_header,
)
from biojepa.data.eeg_bids import take_bids
from biojepa.data.eeg_table import read_eeg_table
from biojepa.data.fif_chain import check_fif_file
from biojepa.data.mat_binary import HEADER_BYTES, is_mat5, read_mat5
from biojepa.data.mat_hdf5 import SIGNATURE, read_mat73
from biojepa.data.montage import clean_name
from biojepa.errors import BiojepaError, DataError, FormatError, LeadError, PlausibilityWarning
from biojepa.extras import require

SUFFIXES = (".edf", ".bdf", ".fif", ".fif.gz", ".vhdr", ".set", ".csv")
MAX_TEXT_BYTES = 4 << 20
MAX_RATE_HZ = 1e6  # what the preprocessing takes
# by MNE's conventions; and further parts of a recording, which are read with the first
_NOT_RAW = re.compile(
    r"-(?:eve|epo|ave|cov|ica|proj|fwd|inv|src|bem|sol|trans|annot|info|\d+)(?:\.fif|\.fif\.gz)$",
    re.IGNORECASE,
)
_NOT_EEG = re.compile(
    "ecg|ekg|eog|emg|stim|status|trig|event|mark|resp|flow|snore|thor|abd|pleth|puls|spo2|sao2|"
    "temp|acc|gsr|photic|pressure|light|battery|position",
    re.IGNORECASE,
)


def find_eeg(paths: Sequence[Path]) -> list[Path]:
    """Find EEG files.

    Parameters
    ----------
    paths : sequence of Path
        Files, patterns, and folders; of a BIDS folder the files that end in `_eeg`.

    Returns
    -------
    list of Path
        Sorted within each given path.

    Raises
    ------
    DataError
        If nothing was found.
    """
    found: list[Path] = []
    for given in paths:
        if given.is_dir():
            inside = sorted(
                p
                for p in given.rglob("*")
                if _suffix(p) and p.is_file() and not _NOT_RAW.search(p.name)
            )
            bids = [p for p in inside if p.name[: -len(_suffix(p))].endswith("_eeg")]
            # a table beside other files is of labels
            found += bids or [p for p in inside if _suffix(p) != ".csv"] or inside
        elif given.exists() or not any(c in str(given) for c in "*?["):
            found.append(given)
        else:
            found += sorted(p for p in given.parent.glob(given.name) if _suffix(p))
    if not found:
        raise DataError(
            f"no EEG in {', '.join(shown(p) for p in paths) or 'an empty list'}: expected files, "
            f"folders or patterns of {', '.join(SUFFIXES)}"
        )
    return list(dict.fromkeys(found))


def read_eeg(
    path: str | PathLike,
    *,
    root: str | PathLike | None = None,
    allow_truncated: bool = False,
    preload: bool = True,
) -> Any:
    """Read a file.

    Parameters
    ----------
    path : path
        Relative to `root` if that is given, which it may then not leave.
    root : path, optional
    allow_truncated : bool
        Read what is there of an EDF or BDF file that was cut.
    preload : bool
        Read the samples; False reads the header alone.

    Returns
    -------
    mne.io.Raw
        In volt as MNE understands the file; EDF with its EEG channels only. Channels
        that BIDS calls bad or of another type are marked so; see `eeg_bids`.

    Raises
    ------
    FormatError
        If the file is absent, damaged, of another kind, or leads out of its folder.
    DataError
        If its EEG channels have different rates.
    LeadError
        If it names an electrode twice, or has no EEG channel.
    """
    checked = record_path(path, root=root)
    where, suffix = shown(checked), _suffix(checked)
    if not suffix:
        raise FormatError(f"{where}: expected one of {', '.join(SUFFIXES)}")
    if file_size(checked) == 0:
        raise FormatError(f"{where}: the file is empty")
    mne = require("mne", "eeg", why="to read EEG files")
    if suffix in (".edf", ".bdf"):
        names = _edf_channels(checked, allow_truncated)
        read, options = mne.io.read_raw_edf, {"include": names}
        if suffix == ".bdf":
            read = mne.io.read_raw_bdf
    elif suffix == ".vhdr":
        _stay_beside(checked)
        read, options = mne.io.read_raw_brainvision, {}
    elif suffix == ".csv":
        return read_eeg_table(checked)
    elif suffix == ".set":
        require("pymatreader", "eeg", why="to read EEGLAB files")
        _check_matlab(checked, where)
        read, options = mne.io.read_raw_eeglab, {}
    else:
        check_fif_file(checked)
        read, options = mne.io.read_raw_fif, {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            raw = read(checked, preload=False, verbose="error", **options)
            _refuse_outside(raw, checked)
            if preload:
                raw.load_data(verbose="error")
            raw.get_channel_types()  # fails on kinds that there are not
            take_bids(raw, checked, checked.name[: -len(suffix)])
        except Exception as error:  # of any kind, also a bare one, if MNE raises it on damage
            if isinstance(error, BiojepaError) or not raised_in(error, "mne"):
                raise
            text = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise FormatError(f"{where} is damaged or not {suffix[1:]}: {text}") from error
    for warning in caught:
        if issubclass(warning.category, RuntimeWarning):
            warnings.warn(f"{where}: {warning.message}", PlausibilityWarning, stacklevel=2)
    if not 0 < float(raw.info["sfreq"]) <= MAX_RATE_HZ or raw.n_times < 1:
        raise FormatError(
            f"{where}: expected samples at a rate of up to {MAX_RATE_HZ:g} Hz, got {raw.n_times} "
            f"at {raw.info['sfreq']}"
        )
    return raw


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((s for s in (".fif.gz", *SUFFIXES) if name.endswith(s)), "")


def _edf_channels(path: Path, allow_truncated: bool) -> list[str]:
    """Judge the header; labels of the EEG channels, which have one rate."""
    where, size = shown(path), file_size(path)
    n_head = header_size(read_bytes(path, min(size, HEAD_BYTES)), where=where)
    if size < n_head:
        raise FormatError(f"{where}: expected a header of {n_head} bytes, the file has {size}")
    header = parse_header(read_bytes(path, n_head), where=where)
    _check_length(header, size, allow_truncated, where)
    chosen = _eeg_signals(header, where)
    rates = {s.n_samples / header.duration_s for s in chosen}
    if len(rates) > 1:
        raise DataError(
            f"{where}: expected EEG channels of one rate, got "
            f"{', '.join(f'{r:g}' for r in sorted(rates))} Hz: write them to files of their own"
        )
    others = {s.n_samples / header.duration_s for s in header.signals if s.n_samples} - rates
    if others - {s.n_samples / header.duration_s for s in header.signals if _marks(s)}:
        warnings.warn(
            f"{where}: left out channels of {', '.join(f'{r:g}' for r in sorted(others))} Hz",
            PlausibilityWarning,
            stacklevel=3,
        )
    seen: dict[str, str] = {}
    for signal in chosen:
        if signal.physical[0] == signal.physical[1] or signal.digital[0] >= signal.digital[1]:
            raise FormatError(
                f"{where}: expected a range of {signal.label!r}, got {signal.physical} physical "
                f"and {signal.digital} digital, which no scale follows from"
            )
        key = clean_name(signal.label).lower()
        if key in seen:
            raise LeadError(
                f"{where}: {seen[key]!r} and {signal.label!r} are one electrode: rename one"
            )
        seen[key] = signal.label
    return [signal.label for signal in chosen]


def _check_length(header: EDFHeader, size: int, allow_truncated: bool, where: str) -> None:
    if not header.duration_s > 0:
        raise FormatError(f"{where}: expected records of a duration above 0 s")
    there = (size - header.n_bytes) // (header.record_samples * header.width)
    if there < 1:
        raise FormatError(f"{where}: expected at least one whole record, the file has none")
    if header.n_records < 1 or there > header.n_records:
        said = (
            f"the header does not say how many records there are, {there} are"
            if header.n_records < 1
            else f"the header says {header.n_records} records, {there} are there and are read"
        )
        warnings.warn(f"{where}: {said}", PlausibilityWarning, stacklevel=4)
        return
    if there == header.n_records:
        return
    if not allow_truncated:
        raise FormatError(
            f"{where}: expected {header.n_records} records, got {there}: the file is cut; fetch it "
            "again, or pass allow_truncated=True to read what is there"
        )
    text = f"{where}: the file is cut: {there} of {header.n_records} records are there"
    warnings.warn(text, PlausibilityWarning, stacklevel=4)


def _eeg_signals(header: EDFHeader, where: str) -> list[EDFSignal]:
    """Signals called EEG, and those that are called nothing else: a bipolar one is to be seen."""
    signals = [s for s in header.signals if not _marks(s) and s.n_samples]
    chosen = [
        s for s in signals if s.label.lower().startswith("eeg") or not _NOT_EEG.search(s.label)
    ]
    if not chosen:
        raise LeadError(
            f"{where}: expected an EEG channel, got "
            f"{', '.join(s.label or 'unnamed' for s in header.signals)[:300]}"
        )
    return chosen


def _marks(signal: EDFSignal) -> bool:
    return signal.label in ANNOTATIONS


def _check_matlab(path: Path, where: str) -> None:
    """Read a MATLAB file strictly first: scipy, which MNE reads it with, can crash on damage."""
    size = file_size(path)
    if size > DEFAULTS.max_bytes:
        raise DataError(
            f"{where}: {size} bytes are more than {DEFAULTS.max_bytes}: save the samples in an "
            ".fdt file beside it"
        )
    raw = read_bytes(path, size)
    if is_mat5(raw[:HEADER_BYTES]):
        read_mat5(raw, max_bytes=DEFAULTS.max_bytes, where=where, whole=True)
    elif SIGNATURE in (raw[:8], raw[512:520]):
        read_mat73(path, max_bytes=DEFAULTS.max_bytes, where=where)
    else:
        raise FormatError(f"{where}: expected an EEGLAB file of MATLAB 5 to 7.3, it is damaged")


def _stay_beside(path: Path) -> None:
    """Refuse a BrainVision header whose files are not beside it."""
    where = shown(path)
    text = read_bytes(path, min(file_size(path), MAX_TEXT_BYTES)).decode("utf-8", "replace")
    for key in ("DataFile", "MarkerFile"):
        for name in re.findall(rf"(?im)^\s*{key}\s*=\s*(.+?)\s*$", text):
            if re.search(r"[/\\:\0]", name) or name in (".", ".."):
                raise FormatError(
                    f"{where}: {key}={name} leads out of the folder: expected a name beside it"
                )
            target = path.with_name(name)
            if target.is_symlink():
                raise FormatError(f"{where}: {key}={name} is a link: expected a file beside it")


def _refuse_outside(raw: Any, path: Path) -> None:
    """Refuse a header (EEGLAB's `.fdt`, a split FIF) whose samples lie in another folder."""
    folder = os.path.dirname(os.path.abspath(path))
    for name in raw.filenames or ():
        if name is not None and os.path.dirname(os.path.abspath(name)) != folder:
            raise FormatError(
                f"{shown(path)}: its samples lie in {shown(name)}: expected them beside it"
            )
        if name is not None and not os.path.samefile(name, path) and os.path.islink(name):
            raise FormatError(f"{shown(path)}: {shown(name)} is a link: expected a file beside it")
