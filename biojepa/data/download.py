"""One file over HTTP: resumed where it stopped, retried, and compared with its SHA-256.

What has arrived lies in `NAME.part` until it is whole. A server that cannot continue a file sends
it anew; a web page in place of a file is refused; nothing leaves HTTPS on the way.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from biojepa import __version__
from biojepa.data._paths import shown
from biojepa.errors import DownloadError, RunError

_BLOCK = 1 << 18
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Retry:
    """How often and how patiently to try.

    Parameters
    ----------
    attempts : int
        In all; what has arrived before a failure is kept.
    pause_s : float
        Before the second attempt; doubled each time, at most a minute.
    timeout_s : float
        Silence of the server that counts as a failure.
    """

    attempts: int = 5
    pause_s: float = 1.0
    timeout_s: float = 60.0


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    retry: Retry | None = None,
    progress: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Fetch one file; continue one that was begun.

    Parameters
    ----------
    url : str
    path : Path
        Where it shall lie; the folder is made.
    sha256 : str or None
        Of the whole file, if it is known.
    retry : Retry, optional
    progress : callable, optional
        Called with the number of bytes of each block that arrives.
    stop : Event, optional
        Set by another thread to give up; the part stays.

    Raises
    ------
    DownloadError
        If it cannot be fetched, or its hash is another; a file with a wrong hash is removed.
    RunError
        If it cannot be written.
    """
    retry = retry or Retry()
    part = _Part(path)
    reason = ""
    for attempt in range(retry.attempts):
        if attempt:
            time.sleep(min(60.0, retry.pause_s * 2 ** (attempt - 1)))
        resumed = part.size() > 0
        try:
            _receive(url, part, retry.timeout_s, progress, stop)
        except _TransientError as error:
            reason = str(error)
            continue
        if sha256 is None or part.sha256() == sha256:
            part.finish()
            return
        part.remove()
        reason = f"its SHA-256 is not the expected {sha256}"
        if not resumed:
            break  # whole and wrong: the same would come again
    raise DownloadError(f"{url} cannot be fetched: {reason}")


class _TransientError(Exception):
    """Worth another attempt."""


class _Part:
    """The part of a file that has arrived, and what the server called that version of it."""

    def __init__(self, path: Path) -> None:
        self.whole = path
        self.path = path.with_name(path.name + ".part")
        self.tag = path.with_name(path.name + ".part.tag")
        with _written(path):
            path.parent.mkdir(parents=True, exist_ok=True)

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self) -> str:
        return self.tag.read_text(encoding="latin-1") if self.tag.is_file() else ""

    def open(self, start: int, validator: str) -> IO[bytes]:
        with _written(self.path):
            if not start:
                self.tag.write_text(validator, encoding="latin-1")
            return open(self.path, "ab" if start else "wb")

    def sha256(self) -> str:
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def finish(self) -> None:
        with _written(self.whole):
            os.replace(self.path, self.whole)
        self.tag.unlink(missing_ok=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


class _written:  # noqa: N801 - reads as a word in `with`
    """Turn errors of the disk into ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise RunError(
                f"{shown(self.path)} cannot be written: {error}; free space or check the "
                "permissions, then run again: what has arrived is kept"
            ) from error


class _SameOrSafer(urllib.request.HTTPRedirectHandler):
    """Follow redirections to web addresses only, and not from HTTPS to HTTP."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise DownloadError(f"{req.full_url} leads to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(
    url: str,
    part: _Part,
    timeout_s: float,
    progress: Callable[[int], None] | None,
    stop: threading.Event | None,
) -> None:
    """One attempt: append to the part until it is whole."""
    start = part.size()
    response = _open(url, part, start, timeout_s)
    if response is None:
        return
    with response:
        start = _first_byte(response, start)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None and length.isdigit() else None
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        with part.open(start, validator) as file:
            size = start
            while block := _read(response, url):
                with _written(part.path):
                    file.write(block)
                size += len(block)
                if progress is not None:
                    progress(len(block))
                if stop is not None and stop.is_set():
                    raise DownloadError(f"{url}: given up; run again to go on")
    if total is not None and size < total:
        raise _TransientError(f"the connection ended after {size:,} of {total:,} bytes")


def _open(url: str, part: _Part, start: int, timeout_s: float) -> http.client.HTTPResponse | None:
    """Ask for what is missing; None if nothing is."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"expected an address that begins with https://, got {url}")
    headers = {"User-Agent": f"biojepa/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        validator = part.validator()
        if validator and not validator.startswith("W/"):
            headers["If-Range"] = validator
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
    opener = urllib.request.build_opener(_SameOrSafer)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing after `start`
                if error.headers.get("Content-Range", "") == f"bytes */{start}":
                    return None
                part.remove()
                raise _TransientError("the part does not fit the file any more") from error
            if error.code in _TRY_AGAIN:
                raise _TransientError(f"the server answers {error.code} {error.reason}") from error
            raise DownloadError(
                f"{url} cannot be fetched: the server answers {error.code} {error.reason}"
            ) from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, DownloadError):
            raise
        raise _TransientError(f"no connection ({getattr(error, 'reason', error)})") from error
    if "text/html" in (response.headers.get("Content-Type") or "") and ".htm" not in url:
        response.close()
        raise DownloadError(f"{url} gives a web page in place of a file: it asks for a login")
    return response


def _first_byte(response: http.client.HTTPResponse, asked: int) -> int:
    """Where the body begins in the file."""
    if response.status != 206:
        return 0
    stated = (response.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0]
    if stated != str(asked):
        raise _TransientError(f"the server continues at byte {stated or '?'} in place of {asked}")
    return asked


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _TransientError(f"the connection broke ({error})") from error
