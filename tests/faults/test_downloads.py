"""Rows A1 and A2: archives that lead out or explode, and downloads that go wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biojepa.data.archives import extract_archive
from biojepa.data.cards import load_card
from biojepa.data.download import Retry, download
from biojepa.data.fetch import fetch_database
from tests.data.test_archives import everything, member, tar_of, zip_of
from tests.data.web import Web, serve
from tests.faults.cage import MB
from tests.faults.rows import Row, fine

BODY = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Retry(attempts=2, pause_s=0.0, timeout_s=5.0)


def unpacked(make: Callable[[Path], Any], **limits: int) -> Callable[[Path], Callable]:
    """Unpack an archive that `make` writes."""

    def prepare(root: Path) -> Callable:
        make(root / "a.x")
        return lambda: len(extract_archive(root / "a.x", root / "out", **limits))

    return prepare


def nothing_came_out(root: Path) -> None:
    """No file was written, inside or outside."""
    assert [n for n in everything(root) if "/" in n] == []
    assert [p.name for p in root.parent.iterdir()] == ["root"]


def bad(make: Callable[[Path], Any], match: str) -> Row:
    """An archive that is refused within 64 MB, before anything is written."""
    return Row(unpacked(make), "refused", match, memory=64 * MB, after=nothing_came_out)


def linked(path: Path) -> None:
    """A link in a zip file."""
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    zip_of(path, [(info, "/etc/passwd")])


def many(path: Path) -> None:
    """A million entries: the list at the end of the file, and nothing else."""
    one = io.BytesIO()
    with zipfile.ZipFile(one, "w") as archive:
        archive.writestr("a", b"")
    raw = one.getvalue()
    start = raw.index(b"PK\1\2")
    entry = raw[start : raw.index(b"PK\5\6")]
    n = 1_000_000
    size, offset = (len(entry) * n).to_bytes(8, "little"), start.to_bytes(8, "little")
    count = n.to_bytes(8, "little")
    end64 = b"PK\6\6" + (44).to_bytes(8, "little") + bytes(4) + bytes(8) + count * 2 + size + offset
    where = (start + len(entry) * n).to_bytes(8, "little")
    locator = b"PK\6\7" + bytes(4) + where + (1).to_bytes(4, "little")
    end = b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2)
    path.write_bytes(raw[:start] + entry * n + end64 + locator + end)


def tar_bomb(path: Path) -> None:
    """Zeros without end after the name of one small file."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        info = tarfile.TarInfo("x")
        file.write(info.tobuf())
        for _ in range(256):
            file.write(bytes(MB))


OK = [("ok", b"1")]
WEB: list[Web] = []


@pytest.fixture(autouse=True, scope="module")
def web() -> Any:
    """A server on this machine; what a child asks of it is answered by this process."""
    with serve() as found:
        WEB[:] = [found]
        yield


def fetched(
    behave: Callable[[Web], Any] = lambda web: None,
    *,
    name: str = "a.bin",
    sha256: str | None = SHA256,
) -> Callable[[Path], Callable]:
    """Fetch a file of a server that behaves in some way."""

    def make(root: Path) -> Callable:
        web = WEB[0]
        web.files, web.cut, web.answers = {"a.bin": BODY}, {}, {}
        web.html, web.redirects, web.ranges = set(), {}, True
        behave(web)

        def call() -> list:
            download(web.url + name, root / "a.bin", sha256=sha256, retry=QUICK)
            return [(root / "a.bin").read_bytes() == BODY, sorted(p.name for p in root.iterdir())]

        return call

    return make


def removed(root: Path) -> None:
    """Nothing that could be taken for the file is left."""
    assert [p.name for p in root.iterdir()] == []


def part_kept(root: Path) -> None:
    """What has arrived is kept under a name of its own."""
    assert sorted(p.name for p in root.iterdir()) == ["a.bin.part", "a.bin.part.tag"]


def failing(match: str, after: Callable[[Path], None] = removed, **options: Any) -> Row:
    """A download that is refused."""
    return Row(fetched(**options), "refused", match, after=after, loopback=True)


def in_two_goes(root: Path) -> Callable:
    """Interrupted twice over; the next call goes on where it stopped."""
    make = fetched(lambda web: web.cut.update({"a.bin": [100_000, 100_000]}))
    call = make(root)

    def both() -> list:
        from biojepa.errors import DownloadError

        try:
            call()
        except DownloadError as error:
            first = str(error)
        return [first, *call()]

    return both


def database(root: Path) -> Callable:
    """A whole database from nowhere: the message says how to do it by hand."""
    card = load_card("ptb-xl")
    url = "http://127.0.0.1:9/"
    return lambda: fetch_database(card, root / "in", base_url=url, retry=QUICK)


ROWS: dict[str, Row] = {
    **{
        f"A1-{kind}-{what}": bad(
            lambda path, m=make, n=name: m(path, [("ok", b"1"), (n, b"2")]), "a.x"
        )
        for kind, make in (("zip", zip_of), ("tar", tar_of))
        for what, name in (
            ("parent", "../out.txt"),
            ("absolute", "/abs.txt"),
            ("deep-parent", "a/../../x"),
            ("backslash", "a\\..\\x"),
            ("drive", "C:/x"),
            ("control", "a\nb"),
            ("long", "n" * 300),
            ("case", "OK"),
        )
    },
    "A1-zip-link": bad(linked, "link or device"),
    **{
        f"A1-tar-{what}": bad(
            lambda path, k=kind: tar_of(path, [(member("link", k, "/etc/passwd"), b"")]),
            "link or device",
        )
        for what, kind in (
            ("symlink", tarfile.SYMTYPE),
            ("hard-link", tarfile.LNKTYPE),
            ("device", tarfile.CHRTYPE),
            ("pipe", tarfile.FIFOTYPE),
        )
    },
    "A1-million-entries": bad(many, "more than 100,000 files"),
    "A1-zip-bomb": bad(lambda path: zip_of(path, [("x", bytes(64 * MB))]), "unpacks to"),
    "A1-tar-bomb": bad(lambda path: tar_of(path, [("x", bytes(64 * MB))]), "files or bytes"),
    "A1-tar-tail-bomb": bad(tar_bomb, "goes on after"),
    "A1-empty": bad(lambda path: path.write_bytes(b""), "a.x"),
    "A1-html": bad(lambda path: path.write_bytes(b"<!DOCTYPE html>" * 50), "a.x"),
    "A1-good": fine(unpacked(lambda path: zip_of(path, [("deep/x", b"1"), ("y", b"2")])), "^2$"),
    "A2-good": fine(fetched(), r"True, \['a.bin'\]", loopback=True),
    "A2-wrong-hash": failing("SHA-256", sha256="0" * 64),
    "A2-404": failing("404", name="b.bin"),
    "A2-html": failing("web page", behave=lambda web: web.html.add("a.bin")),
    "A2-server-error": failing(
        "503", behave=lambda w: w.answers.update({"a.bin": [(503, b"x")] * 9})
    ),
    "A2-short-body": failing(
        "ended after", part_kept, behave=lambda web: web.cut.update({"a.bin": [1000] * 9})
    ),
    "A2-resumed": fine(in_two_goes, r"ended after.*True, \['a.bin'\]", loopback=True),
    "A2-busy-once": fine(
        fetched(lambda web: web.answers.update({"a.bin": [(503, b"x")]})), "True", loopback=True
    ),
    "A2-redirected-to-a-file": failing(
        "not followed|not allowed",
        behave=lambda web: web.redirects.update({"a.bin": "file:///etc/passwd"}),
    ),
    "A2-no-network": Row(
        database, "refused", "(?s)no connection.*by hand: 1.*biojepa prepare", loopback=True
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_what_comes_from_elsewhere_ends_as_the_catalogue_says(tmp_path, row) -> None:
    ROWS[row].check(tmp_path)
