"""Unpacking archives that came from elsewhere: nothing leaves the folder, nothing explodes.

Zip and tar files. Refused before anything is written: names that lead out of the folder, links,
devices, encrypted entries, names that differ in case only, more than `MAX_FILES` entries, more
bytes than allowed in all or for the size of the archive (row A1 of the list of bad input).
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from biojepa.data._paths import file_size, shown
from biojepa.errors import FormatError, RunError

MAX_FILES = 100_000
MAX_BYTES = 256 << 30
MAX_RATIO = 200  # ours: recordings compress 2 to 5 times, tables of text up to about 20
_FREE_RATIO_BYTES = 1 << 20  # small archives of zeros do no harm
_BLOCK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
)


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def extract_archive(
    path: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
) -> list[Path]:
    """Unpack a zip or tar file; files that are there in full already are left.

    Parameters
    ----------
    path : Path
    folder : Path
        Made if it is not there.
    max_bytes : int
        Of all files together.
    max_files : int

    Returns
    -------
    list of Path
        The files, in the order of the archive.

    Raises
    ------
    FormatError
        If the archive is damaged or one of the things above; what was there before is untouched.
    RunError
        If a file cannot be written.
    """
    n_bytes = file_size(path)
    try:
        if zipfile.is_zipfile(path):
            if _n_zip_entries(path) > max_files:
                raise FormatError(f"{shown(path)} holds more than {max_files:,} files")
            with zipfile.ZipFile(path) as archive:
                return _write(path, folder, _zip_entries(path, archive), n_bytes, max_bytes)
        with tarfile.open(path, "r:*") as tar:
            entries = _tar_entries(path, tar, max_files, min(max_bytes, _allowed(n_bytes)))
            return _write(path, folder, entries, n_bytes, max_bytes)
    except (*_DAMAGE, struct.error) as error:
        raise FormatError(
            f"{shown(path)} cannot be unpacked ({error}): it is cut or damaged, fetch it again"
        ) from error
    except (NotImplementedError, RuntimeError) as error:  # a method that zipfile does not know
        raise FormatError(f"{shown(path)} cannot be unpacked: {error}") from error


def _write(
    path: Path, folder: Path, entries: Iterable[_Entry], n_bytes: int, max_bytes: int
) -> list[Path]:
    """Check all names and sizes, then write file by file."""
    found = list(entries)
    total = sum(entry.size for entry in found)
    if total > min(max_bytes, _allowed(n_bytes)):
        raise FormatError(
            f"{shown(path)} unpacks to {total:,} bytes from {n_bytes:,}: more than "
            f"{MAX_RATIO} times its size or {max_bytes:,} bytes is refused"
        )
    seen: dict[str, str] = {}
    for entry in found:
        key = entry.name.casefold()
        if key in seen:
            raise FormatError(f"{shown(path)} holds {shown(seen[key])} and {shown(entry.name)}")
        seen[key] = entry.name
    targets = [_target(path, folder, entry.name) for entry in found]
    for entry, target in zip(found, targets, strict=True):
        if not (target.is_file() and target.stat().st_size == entry.size):
            _write_one(path, entry, target)
    return targets


def _write_one(path: Path, entry: _Entry, target: Path) -> None:
    temporary = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            size = _copy(path, entry, file)
        if size != entry.size:
            raise FormatError(f"{shown(path)}: {shown(entry.name)} is not of the size it states")
        os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, FormatError):
            raise
        raise RunError(f"{shown(target)} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy(path: Path, entry: _Entry, file: IO[bytes]) -> int:
    """Copy one entry, at most a block beyond its size; how many bytes there were."""
    source = entry.open()
    if source is None:
        raise FormatError(f"{shown(path)}: {shown(entry.name)} has no content")
    size = 0
    with source:
        while size <= entry.size and (block := source.read(_BLOCK)):
            size += len(block)
            file.write(block)
    return size


def _target(path: Path, folder: Path, name: str) -> Path:
    parts = name.split("/")
    odd = any(
        part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > 255 for part in parts
    )
    if odd or "\\" in name or ":" in name or not name.isprintable() or name != name.strip():
        raise FormatError(
            f"{shown(path)}: the name {shown(name)!r} is refused: it may lead out of the folder "
            "or cannot be a file everywhere"
        )
    target = folder.joinpath(*parts)
    real = os.path.realpath(target)
    if not real.startswith(os.path.realpath(folder).rstrip(os.sep) + os.sep):
        raise FormatError(f"{shown(path)}: {shown(name)} lies outside {shown(folder)}")
    return target


def _allowed(n_bytes: int) -> int:
    return max(_FREE_RATIO_BYTES, MAX_RATIO * n_bytes)


def _zip_entries(path: Path, archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        if info.flag_bits & 1:
            raise FormatError(f"{shown(path)}: {shown(info.filename)} is encrypted")
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise FormatError(f"{shown(path)}: {shown(info.filename)} is a link or device")
        if not info.is_dir():
            yield _Entry(info.filename, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


def _tar_entries(
    path: Path, tar: tarfile.TarFile, max_files: int, max_bytes: int
) -> Iterator[_Entry]:
    total = 0
    for number, info in enumerate(tar, start=1):
        # judged while the archive is read: a compressed tar is unpacked to find its next name
        total += info.size
        if number > max_files or total > max_bytes:
            raise FormatError(f"{shown(path)} holds too many files or bytes ({total:,} at least)")
        if info.isdir():
            continue
        if not info.isreg():
            raise FormatError(f"{shown(path)}: {shown(info.name)} is a link or device")
        name = re.sub(r"^\./", "", info.name)
        yield _Entry(name, info.size, lambda info=info: tar.extractfile(info))  # type: ignore[misc]
    after = 0
    while tar.fileobj is not None and (rest := tar.fileobj.read(_BLOCK)):
        after += len(rest)  # to the end, where gzip has its checksum; tar fills up with zeros
        if after > _FREE_RATIO_BYTES:
            raise FormatError(f"{shown(path)} goes on after its last file: it is no plain archive")


def _n_zip_entries(path: Path) -> int:
    """Entries as the end of a zip file counts them; zipfile reads the whole list to know."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - 65_557 - 20)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0:
            raise FormatError(f"{shown(path)}: no end of a zip file found: it is cut")
        count = int(struct.unpack_from("<H", tail, at + 10)[0])
        locator = at - 20
        if count == 0xFFFF and locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
            file.seek(struct.unpack_from("<Q", tail, locator + 8)[0])
            record = file.read(56)
            count = int(struct.unpack_from("<Q", record, 32)[0])
    return count
