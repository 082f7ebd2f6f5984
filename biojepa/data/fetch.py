"""A public database into a folder: its list of hashes, its files, its archives unpacked.

The list (`SHA256SUMS.txt` of PhysioNet) is the database's own; files that are there with the right
hash are left. What cannot be fetched says how to do it by hand.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from biojepa.data._paths import record_path, shown
from biojepa.data.archives import extract_archive
from biojepa.data.cards import DatasetCard
from biojepa.data.download import Retry, download
from biojepa.errors import ConfigError, DataError, DownloadError, FormatError

_SUMS_LINE = re.compile(r"([0-9a-f]{64}) [ *]?([^ ].*)")
_AHEAD = 8  # files asked for per connection


@dataclass(frozen=True)
class FetchReport:
    """What `fetch_database` did.

    Parameters
    ----------
    path : Path
    n_fetched, n_there : int
        Files fetched now, and files that were there (with the right hash, where it is known).
    n_bytes : int
        Fetched now.
    n_unverified : int
        Files whose hash nobody states.
    unpacked : tuple of Path
    """

    path: Path
    n_fetched: int
    n_there: int
    n_bytes: int
    n_unverified: int
    unpacked: tuple[Path, ...]


def fetch_database(
    card: DatasetCard,
    out: Path,
    *,
    version: str | None = None,
    base_url: str | None = None,
    connections: int = 4,
    retry: Retry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FetchReport:
    """Fetch a database, or what of it is missing.

    Parameters
    ----------
    card : DatasetCard
    out : Path
        Folder; files keep the names that they have in the database.
    version : str, optional
        In place of the card's.
    base_url : str, optional
        Folder of the files elsewhere (a mirror), in place of the card's.
    connections : int
        Files fetched at a time.
    retry : Retry, optional
    progress : callable, optional
        Called with (files done, bytes fetched) as they arrive, from several threads in turn.

    Raises
    ------
    DataError
        If the database asks for credentials or is not fetched by biojepa; says what to do.
    DownloadError
        If a file cannot be fetched; says how to do it by hand.
    FormatError
        If the list of hashes or an archive cannot be used.
    ConfigError
        If a setting is out of range, or the database has one version only.
    """
    base = _base_url(card, version, base_url)
    if connections < 1:
        raise ConfigError(f"expected connections >= 1, got {connections}")
    try:
        return _fetch(card, base, Path(out), connections, retry or Retry(), progress, version)
    except DownloadError as error:
        raise DownloadError(f"{error}\n{by_hand(card, out)}") from error


def by_hand(card: DatasetCard, out: str | Path) -> str:
    """How to get a database without `fetch_database`."""
    begin = f"by hand: 1. open {card.url or 'the page of the database'} in a browser"
    if card.access == "credentialed":
        begin += ", sign in, complete what is asked for there (training, agreement)"
    return (
        f"{begin}; 2. download the files and unpack archives, keeping their folders; 3. put them "
        f"into {shown(out)}; then: biojepa prepare {card.name} {shown(out)} -o STORE"
    )


def read_sums(path: Path, folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Names and SHA-256 of a list of hashes, those below `folders`.

    Raises
    ------
    FormatError
        If a line is something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                found = _SUMS_LINE.fullmatch(line.rstrip("\r\n"))
                if found is None:
                    raise FormatError(
                        f"{shown(path)}, line {number}: expected a SHA-256 and a name, got "
                        f"{shown(line.strip()[:80])!r}"
                    )
                name = found[2].removeprefix("./")
                if name.startswith(folders):
                    yield name, found[1]
    except UnicodeDecodeError as error:
        raise FormatError(f"{shown(path)} is no text: {error}") from error


def _base_url(card: DatasetCard, version: str | None, base_url: str | None) -> str:
    """Where the files are; refuses what may not or cannot be fetched."""
    if card.access == "credentialed":
        raise DataError(
            f"{card.name} is for credentialed users only, so biojepa does not fetch it; "
            f"{by_hand(card, Path('FOLDER'))}"
        )
    if card.download is None:
        raise DataError(f"biojepa does not fetch {card.name}; {by_hand(card, Path('FOLDER'))}")
    address = card.download.url if base_url is None else base_url
    if urlsplit(address).scheme not in ("http", "https"):
        raise ConfigError(f"expected an address that begins with https://, got {address!r}")
    address = address.rstrip("/") + "/"
    if "{version}" not in address:
        if version is not None and base_url is None:
            raise ConfigError(f"{card.name} has one version only: leave version out")
        return address
    chosen = version or card.version or ""
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.\-]*", chosen):
        raise ConfigError(f"expected a version such as {card.version}, got {chosen!r}")
    return address.replace("{version}", chosen)


def _fetch(
    card: DatasetCard,
    base: str,
    out: Path,
    connections: int,
    retry: Retry,
    progress: Callable[[int, int], None] | None,
    version: str | None,
) -> FetchReport:
    assert card.download is not None
    # hashes of the card are those of its own version
    known = (card.files or {}) if version in (None, card.version) else {}
    if card.download.sums is None:
        names: Iterator[tuple[str, str | None]] = iter((card.files or {}).items())
    else:
        sums = out / card.download.sums
        # anew each time: the list of another version would lead astray
        sums.unlink(missing_ok=True)
        download(base + card.download.sums, sums, sha256=known.get(sums.name), retry=retry)
        names = ((n, d) for n, d in read_sums(sums, card.download.folders) if n != sums.name)
    counts, archives, stop = _Counts(progress), [], threading.Event()
    one = partial(_fetch_one, base=base, out=out, retry=retry, stop=stop, counts=counts)
    try:
        for name, digest, is_new in _in_order(one, names, connections, stop):
            counts.add(digest, is_new)
            if name.endswith(".zip") and card.download.sums is None:
                archives.append(out / name)
    except DownloadError as error:
        # the first failure, not that of a connection which was ended because of it
        raise counts.failure or error from error
    if not counts.fetched + counts.there:
        raise FormatError(f"{base}{card.download.sums} names no file of {card.name}")
    unpacked = tuple(path for archive in archives for path in extract_archive(archive, out))
    return FetchReport(
        out, counts.fetched, counts.there, counts.n_bytes, counts.unverified, unpacked
    )


class _Counts:
    """What was done so far; blocks are counted from several threads."""

    def __init__(self, progress: Callable[[int, int], None] | None) -> None:
        self.fetched = self.there = self.n_bytes = self.unverified = 0
        self.failure: DownloadError | None = None
        self._progress, self._lock = progress, threading.Lock()

    def add(self, digest: str | None, is_new: bool) -> None:
        """Count one file."""
        self.there += not is_new
        self.fetched += is_new
        self.unverified += digest is None
        self.arrived(0)

    def arrived(self, n_bytes: int) -> None:
        """Count bytes, and say so."""
        with self._lock:
            self.n_bytes += n_bytes
            if self._progress is not None:
                self._progress(self.fetched + self.there, self.n_bytes)


Fetched = tuple[str, str | None, bool]


def _fetch_one(
    name: str,
    digest: str | None,
    *,
    base: str,
    out: Path,
    retry: Retry,
    stop: threading.Event,
    counts: _Counts,
) -> Fetched:
    """Fetch one file unless it is there; says whether it was fetched."""
    path = record_path(name, root=out)
    if stop.is_set() or (path.is_file() and (digest is None or _sha256(path) == digest)):
        return name, digest, False
    try:
        url = base + quote(name)
        download(url, path, sha256=digest, retry=retry, progress=counts.arrived, stop=stop)
    except BaseException as error:
        if isinstance(error, DownloadError) and counts.failure is None:
            counts.failure = error
        stop.set()  # the other connections end at their next block
        raise
    return name, digest, True


def _in_order(
    one: Callable[[str, str | None], Fetched],
    names: Iterator[tuple[str, str | None]],
    connections: int,
    stop: threading.Event,
) -> Iterator[Fetched]:
    """Run `one` on all names, some at a time; a million names are never all in memory."""
    pending: deque[Future[Fetched]] = deque()
    pool = ThreadPoolExecutor(connections)
    try:
        for name, digest in names:
            pending.append(pool.submit(one, name, digest))
            if len(pending) >= connections * _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
