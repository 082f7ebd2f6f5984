"""Which reader reads which file: by suffix, by what lies beside it, or by its first bytes.

A reader is a function of (path, `ReadOptions`) that yields `Recording`s. To add a format, write the
reader in a file of its own and add a line to `FORMATS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from biojepa.data import mat_reader, xml_reader
from biojepa.data._paths import file_size, read_bytes, record_path, shown
from biojepa.data.arrays import iter_npy, iter_npz
from biojepa.data.assemble import ReadOptions, renamed
from biojepa.data.dicom_reader import is_dicom, read_dicom
from biojepa.data.edf_reader import read_edf
from biojepa.data.recording import Recording
from biojepa.data.scp_reader import read_scp
from biojepa.data.tables import read_csv
from biojepa.data.wfdb_header import SUFFIXES as WFDB_SUFFIXES
from biojepa.data.wfdb_header import header_path
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.errors import FormatError

Read = Callable[[Path, ReadOptions], Iterable[Recording]]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Parameters
    ----------
    name : str
    suffixes : tuple of str
        Lower case, with the dot.
    read : callable
        (path, ReadOptions) to recordings.
    in_folders : bool
        Look for it in folders; a `.txt` there is a licence or a note more often.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Read
    in_folders: bool = True


def _wfdb(path: Path, options: ReadOptions) -> Iterable[Recording]:
    recording = read_wfdb(
        path,
        verify=options.verify,
        unit=options.unit,
        digest=True,
        follow_symlinks=options.follow_symlinks,
        root=options.root,
        scale_check=options.scale_check,
    )
    return [renamed(recording, options)]


def _table(path: Path, options: ReadOptions) -> Iterable[Recording]:
    return [
        read_csv(
            path,
            leads=options.leads,
            rate_hz=options.rate_hz,
            unit=options.unit,
            scale_check=options.scale_check,
        )
    ]


def _npy(path: Path, options: ReadOptions) -> Iterable[Recording]:
    return iter_npy(
        path,
        leads=options.leads,
        rate_hz=options.rate_hz,
        unit=options.unit,
        scale_check=options.scale_check,
    )


def _npz(path: Path, options: ReadOptions) -> Iterable[Recording]:
    return iter_npz(
        path,
        leads=options.leads,
        rate_hz=options.rate_hz,
        unit=options.unit,
        scale_check=options.scale_check,
    )


def _edf(path: Path, options: ReadOptions) -> Iterable[Recording]:
    return [read_edf(path, options)]


def _dicom(path: Path, options: ReadOptions) -> Iterable[Recording]:
    return [read_dicom(path, options)]


def _mat(path: Path, options: ReadOptions) -> Iterable[Recording]:
    return [mat_reader.read_mat(path, options)]


def _scp(path: Path, options: ReadOptions) -> Iterable[Recording]:
    return [read_scp(path, options)]


WFDB = Format("WFDB", (".hea",), _wfdb)
DICOM = Format("DICOM waveform", (".dcm",), _dicom)
FORMATS = (
    WFDB,
    Format("text table", (".csv", ".tsv"), _table),
    Format("text table", (".txt",), _table, in_folders=False),
    Format("NumPy array", (".npy",), _npy),
    Format("NumPy archive", (".npz",), _npz),
    Format("EDF or BDF", (".edf", ".bdf"), _edf),
    DICOM,
    Format("ECG in XML", (".xml",), xml_reader.iter_xml),
    Format("MATLAB", (".mat",), _mat),
    Format("SCP-ECG", (".scp",), _scp),
)
SUPPORTED = tuple(suffix for entry in FORMATS for suffix in entry.suffixes)
IN_FOLDERS = tuple(s for entry in FORMATS if entry.in_folders for s in entry.suffixes)
_BY_SUFFIX = {suffix: entry for entry in FORMATS for suffix in entry.suffixes}
# exports of archives are named IM0001 or by a UID, whose last number looks like a suffix
_NAMELESS = re.compile(r"(\.\d+)?")


def format_of(path: str | os.PathLike[str]) -> Format | None:
    """The format of a file, or None if it is of no supported kind.

    Parameters
    ----------
    path : path
        A file, or a WFDB record without suffix. Only files without a telling suffix are opened.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in WFDB_SUFFIXES:
        if suffix == ".mat" and not os.path.isfile(header_path(path)):
            return _BY_SUFFIX[suffix]
        return WFDB
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if os.path.isfile(header_path(path)):
        return WFDB
    return DICOM if may_be_dicom(path.name) and _starts_as_dicom(path) else None


def may_be_dicom(name: str) -> bool:
    """Whether a file without a telling suffix is worth opening."""
    return name.upper() != "DICOMDIR" and _NAMELESS.fullmatch(os.path.splitext(name)[1]) is not None


def read_format(path: str | os.PathLike[str], options: ReadOptions) -> Iterable[Recording]:
    """Read a file of any supported kind.

    Parameters
    ----------
    path : path
        Relative to `options.root` if that is given.
    options : ReadOptions

    Raises
    ------
    FormatError
        If the kind of file is not supported or the file is damaged.
    DataError, LeadError
        If rate, leads or unit are missing, contradictory or implausible.
    """
    checked = record_path(path, root=options.root, follow_symlinks=options.follow_symlinks)
    entry = format_of(checked)
    if entry is None:
        suffix = checked.suffix.lower()
        raise FormatError(
            f"{shown(path)}: expected one of {', '.join(SUPPORTED)} (or a WFDB record name), got "
            f"{suffix or 'no suffix and no header beside it'}; convert the file to one of these"
        )
    # a WFDB header checks its own path, and those of its signal files, against the root
    return entry.read(Path(path) if entry is WFDB else checked, options)


def _starts_as_dicom(path: Path) -> bool:
    try:
        size = file_size(path)
        return size >= 132 and is_dicom(read_bytes(path, 132))
    except FormatError:
        return False
