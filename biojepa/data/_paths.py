"""Which paths a reader may open: no escape from the root, no links, no devices, no addresses."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from biojepa.errors import FormatError

_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+:/")


def shown(path: str | os.PathLike[str]) -> str:
    """Write a path so that it can always be printed, on one line."""
    text = os.fspath(path)
    if text.isprintable():
        return text
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def record_path(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    follow_symlinks: bool = False,
) -> Path:
    """Check the name of a record before anything is opened.

    Parameters
    ----------
    path : path
        Without `root`, the user's own path, taken as it is. With `root` (names from a label file
        or a RECORDS list), relative names start there and may not leave it.
    root : path, optional
    follow_symlinks : bool
        Let links inside `root` lead out of it.

    Raises
    ------
    FormatError
        If the name is empty, has a NUL, is an address (`s3://`), or leaves `root`.
    """
    text = os.fspath(path)
    if not isinstance(text, str) or not text.strip():
        raise FormatError(f"expected the path of a record, got {text!r}")
    if "\0" in text:
        raise FormatError(f"{shown(text)}: a path cannot hold a NUL character")
    if _ADDRESS.match(text):
        raise FormatError(f"{shown(text)}: only local files are read, download it first")
    if root is None:
        return Path(text)
    base = os.path.abspath(root)
    if ".." in re.split(r"[\\/]", text):
        raise FormatError(f"{shown(text)}: a record name may not hold '..' (root {shown(base)})")
    joined = os.path.join(base, text)
    inside = joined.startswith(base.rstrip(os.sep) + os.sep)
    real = os.path.realpath(joined)
    real_base = os.path.realpath(base).rstrip(os.sep) + os.sep
    if not inside or (not follow_symlinks and not real.startswith(real_base)):
        raise FormatError(f"{shown(text)}: lies outside {shown(base)} and is not opened")
    return Path(joined)


def file_size(path: str | os.PathLike[str], *, follow_symlinks: bool = True) -> int:
    """Size in bytes of a plain file; anything else is refused without opening it.

    Raises
    ------
    FormatError
        If there is no such file, it is a folder, device or pipe, or a link that may not be
        followed.
    """
    info = _status(path, follow=False)
    if stat.S_ISLNK(info.st_mode):
        if not follow_symlinks:
            raise FormatError(
                f"{shown(path)}: is a symbolic link and is not followed: pass "
                "follow_symlinks=True if you trust where it leads"
            )
        info = _status(path, follow=True)
    if not stat.S_ISREG(info.st_mode):
        raise FormatError(f"{shown(path)}: expected a plain file, got a folder, device or pipe")
    return info.st_size


def read_bytes(path: str | os.PathLike[str], n_bytes: int, *, offset: int = 0) -> bytes:
    """Read `n_bytes` of a file from `offset` on, without a buffer in between.

    Raises
    ------
    FormatError
        If the file cannot be read or ends earlier.
    """
    try:
        with open(path, "rb", buffering=0) as stream:
            if offset:
                stream.seek(offset)
            raw = stream.read(n_bytes)
            while len(raw) < n_bytes and (more := stream.read(n_bytes - len(raw))):
                raw += more  # one call returns at most 2 GiB
    except OSError as error:
        raise FormatError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    if len(raw) < n_bytes:
        raise FormatError(f"{shown(path)}: became shorter while it was read")
    return raw


def _status(path: str | os.PathLike[str], *, follow: bool) -> os.stat_result:
    try:
        return os.stat(path, follow_symlinks=follow)
    except FileNotFoundError:
        raise FormatError(f"{shown(path)}: no such file") from None
    except OSError as error:
        raise FormatError(f"{shown(path)}: cannot be opened ({error.strerror})") from None
    except ValueError as error:  # a NUL in the path
        raise FormatError(f"{shown(path)}: not a possible path ({error})") from None
