"""From folders, patterns and lists to recordings: find the files, read them, count what failed."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from biojepa.data._paths import file_size, read_bytes, record_path, shown
from biojepa.data.assemble import ReadOptions
from biojepa.data.formats import IN_FOLDERS, SUPPORTED, format_of, may_be_dicom, read_format
from biojepa.data.path_list import PathList
from biojepa.data.recording import Recording
from biojepa.data.skips import SkipReport
from biojepa.data.wfdb_header import SUFFIXES as WFDB_SUFFIXES
from biojepa.data.wfdb_header import header_path
from biojepa.errors import BiojepaError, ConfigError, DataError, FormatError

MAX_LIST_BYTES = 256 << 20
MIN_FILES_TO_JUDGE = 20


def find_records(paths: Sequence[str | Path], *, recursive: bool = True) -> list[Path]:
    """Find the files of recordings.

    Parameters
    ----------
    paths : sequence of path
        Files, WFDB records without suffix, folders, patterns (`data/*.hea`) and RECORDS lists.
        In a folder that holds WFDB headers only these are taken, since its tables hold labels.
    recursive : bool
        Look into folders of folders. Links to folders are not followed.

    Returns
    -------
    list of Path
        Headers (`.hea`) and files of other formats, sorted within each given path, none twice.

    Raises
    ------
    FormatError
        If a path does not exist, or a RECORDS list leads out of its folder.
    DataError
        If nothing was found.
    """
    return [Path(path) for path in list_records(paths, recursive=recursive)]


def list_records(paths: Sequence[str | Path], *, recursive: bool = True) -> PathList:
    """Find the files of recordings as `find_records` does, in little memory.

    Returns
    -------
    PathList
        The same files in the same order, as text.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found = PathList(path for given in paths for path in _expand(given, recursive))
    if not found:
        raise DataError(
            f"no recordings in {', '.join(shown(p) for p in paths) or 'an empty list'}: expected "
            f"files, folders or patterns of {', '.join(SUPPORTED)}"
        )
    return found.without_repeats()


def read_ecg(
    path: str | Path,
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    verify: bool | Literal["warn"] = True,
    root: str | Path | None = None,
    follow_symlinks: bool = False,
    scale_check: bool = True,
    allow_truncated: bool = False,
) -> list[Recording]:
    """Read a file of any supported kind, see `biojepa.data.formats`.

    Parameters
    ----------
    path : path
        Relative to `root` if that is given.
    leads : sequence of str, optional
        Names of the channels in the order of the file, in place of the file's own.
    rate_hz : float, optional
        Samples per second, for files that do not say; must agree with those that do.
    unit : str, optional
        Unit of the numbers, in place of the file's own.
    verify : bool or "warn"
        Compare checksums, where the format has them.
    root : path, optional
        Folder that the file may not leave.
    follow_symlinks : bool
        See `read_wfdb`.
    scale_check : bool
        Refuse implausible millivolt.
    allow_truncated : bool
        Read what is there of an EDF or BDF file that was cut.

    Returns
    -------
    list of Recording
        One, or one per record of an array.

    Raises
    ------
    FormatError
        If the kind of file is not supported or the file is damaged.
    DataError
        If rate, leads or unit are missing, contradictory or implausible.
    """
    options = ReadOptions(
        leads=leads,
        rate_hz=rate_hz,
        unit=unit,
        verify=verify,
        root=root,
        follow_symlinks=follow_symlinks,
        scale_check=scale_check,
        allow_truncated=allow_truncated,
    )
    return list(read_format(path, options))


def read_record(
    path: str | Path,
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    verify: bool | Literal["warn"] = True,
    root: str | Path | None = None,
) -> Recording:
    """Read a file that holds one recording; parameters and errors are those of `read_ecg`.

    Raises
    ------
    DataError
        If the file holds several.
    """
    found = read_ecg(path, leads=leads, rate_hz=rate_hz, unit=unit, verify=verify, root=root)
    if len(found) != 1:
        raise DataError(
            f"{shown(path)}: expected one recording in the file, got {len(found)}; use read_ecg or "
            "read_many, which give all of them"
        )
    return found[0]


def read_many(
    paths: Iterable[str | Path],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    max_bad_fraction: float = 0.05,
    report: SkipReport | None = None,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
    verify: bool | Literal["warn"] = True,
    root: str | Path | None = None,
    follow_symlinks: bool = False,
    allow_truncated: bool = False,
) -> Iterator[Recording]:
    """Read files one after the other, as `find_records` returns them.

    Parameters
    ----------
    paths : iterable of path
    on_error : {"raise", "skip"}
        Stop at the first bad file, or note it in `report` and go on.
    max_bad_fraction : float
        Under "skip": more bad files than this are an error at the end (from 20 files on; no good
        file at all is always one).
    report : SkipReport, optional
        Filled while reading; begin with `SkipReport(0)`, the files are counted here.
    leads, rate_hz, unit, verify, root, follow_symlinks, allow_truncated
        See `read_ecg`.

    Yields
    ------
    Recording

    Raises
    ------
    BiojepaError
        As `read_ecg`, under "raise".
    DataError
        At the end, if too many files were bad.
    """
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error: expected 'raise' or 'skip', got {on_error!r}")
    if not 0 <= max_bad_fraction <= 1:
        raise ConfigError(f"max_bad_fraction: expected 0 to 1, got {max_bad_fraction!r}")
    report = SkipReport(0) if report is None else report
    options = ReadOptions(
        leads=leads,
        rate_hz=rate_hz,
        unit=unit,
        verify=verify,
        root=root,
        follow_symlinks=follow_symlinks,
        allow_truncated=allow_truncated,
    )
    for path in paths:
        report.n_files += 1
        try:
            yield from read_format(path, options)
        except BiojepaError as error:
            if on_error == "raise":
                raise
            report.add(shown(path), error)
    if report.n_files >= MIN_FILES_TO_JUDGE or len(report) == report.n_files > 0:
        report.check(max_bad_fraction if len(report) < report.n_files else 0.0)


def _expand(given: str | Path, recursive: bool) -> Iterator[str | Path]:
    path = record_path(given)
    if os.path.isdir(path):
        yield from _folder(path, recursive)
    elif glob.has_magic(os.fspath(path)) and not os.path.exists(path):
        matches = (Path(p) for p in sorted(glob.glob(os.fspath(path), recursive=recursive)))
        for match in matches:
            if match.is_dir():
                yield from _folder(match, recursive)
            elif match.suffix.lower() in WFDB_SUFFIXES and os.path.isfile(header_path(match)):
                yield header_path(match)
            elif match.is_file() and format_of(match) is not None:
                yield match
    elif path.name.startswith("RECORDS") and not path.suffix:
        yield from _records_list(path, recursive)
    elif path.suffix.lower() == ".mat" and not os.path.isfile(header_path(path)):
        file_size(path)
        yield path
    elif path.suffix.lower() in WFDB_SUFFIXES or not os.path.exists(path):
        header = header_path(path)
        file_size(
            header if os.path.exists(header) or path.suffix.lower() in WFDB_SUFFIXES else path
        )
        yield header
    else:
        yield path


def _folder(folder: Path, recursive: bool) -> Iterator[str]:
    """Headers if there are any, else the files of all other formats."""
    headers = (".hea",)
    if _holds(folder, recursive, headers):
        yield from _walk(folder, recursive, headers)
        return
    for path in _walk(folder, recursive, IN_FOLDERS, also_nameless=True):
        if os.path.splitext(path)[1].lower() in IN_FOLDERS or format_of(Path(path)) is not None:
            yield path


def _holds(folder: Path, recursive: bool, suffixes: Sequence[str]) -> bool:
    """Whether a folder holds such a file; ends at the first."""
    waiting = [folder]
    while waiting:
        folders: list[Path] = []
        if next(_matching(waiting.pop(), suffixes, folders, False), None) is not None:
            return True
        waiting += folders if recursive else ()
    return False


def _walk(
    folder: Path, recursive: bool, suffixes: Sequence[str], *, also_nameless: bool = False
) -> Iterator[str]:
    """The files of a folder, then of its folders in turn, in the order of their names.

    As text: `Path` enters every name into a table of the interpreter that only grows.
    """
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        folders: list[Path] = []
        for name in _sorted_names(_matching(parent, suffixes, folders, also_nameless)):
            yield os.path.join(parent, os.fsdecode(name))
        if not recursive:
            break
        waiting += sorted(folders, reverse=True)


def _matching(
    folder: Path, suffixes: Sequence[str], folders: list[Path], also_nameless: bool
) -> Iterator[bytes]:
    """Names of files as they come; the folders in between, if they are no links, go to a list."""
    with (
        contextlib.suppress(PermissionError, FileNotFoundError),
        os.scandir(os.fsencode(folder)) as entries,
    ):
        for entry in entries:
            if entry.is_dir():
                if not entry.is_symlink():
                    folders.append(folder / os.fsdecode(entry.name))
            elif _suits(os.fsdecode(entry.name), suffixes, also_nameless):
                yield entry.name


def _suits(name: str, suffixes: Sequence[str], also_nameless: bool) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    return suffix in suffixes or (also_nameless and may_be_dicom(name))


def _sorted_names(names: Iterator[bytes]) -> Iterator[bytes]:
    """Sort names of similar length in a seventh of the memory that a list of them takes."""
    parts = []
    while part := list(itertools.islice(names, 1024)):
        parts.append(np.array(part, dtype=np.bytes_))
    whole = np.concatenate(parts) if parts else np.empty(0, dtype="S1")
    parts.clear()
    whole.sort()
    return (bytes(name) for name in whole)


def _records_list(path: Path, recursive: bool) -> Iterator[str | Path]:
    size = file_size(path)
    if size > MAX_LIST_BYTES:
        raise FormatError(f"{shown(path)}: {size} bytes are too many for a list of records")
    text = read_bytes(path, size).decode("utf-8-sig", "surrogateescape")
    for line in text.splitlines():
        if not line.strip():
            continue
        entry = record_path(line.strip(), root=path.parent)
        if line.strip().endswith("/"):  # a list of folders, as in the large PhysioNet databases
            yield from _folder(entry, recursive)
        else:
            yield header_path(entry)
