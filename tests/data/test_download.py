from __future__ import annotations

import hashlib
import socket

import pytest

from biojepa.data.download import Retry, download
from biojepa.errors import DownloadError, RunError
from tests.data.web import serve

BODY = bytes(range(256)) * 4000  # 1 MB: several blocks
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Retry(attempts=3, pause_s=0.0, timeout_s=5.0)


@pytest.fixture
def web():
    with serve() as found:
        found.files["a.bin"] = BODY
        yield found


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_nothing_else_is_left(web, tmp_path):
    seen = []
    url = web.url + "a.bin"
    download(url, tmp_path / "deep" / "a.bin", sha256=SHA256, retry=QUICK, progress=seen.append)
    assert (tmp_path / "deep" / "a.bin").read_bytes() == BODY
    assert names(tmp_path / "deep") == ["a.bin"]
    assert sum(seen) == len(BODY)


def test_a_short_body_is_continued_where_it_ended(web, tmp_path):
    web.cut["a.bin"] = [300_000, 200_000]
    download(web.url + "a.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [asked for _, asked in web.asked] == [None, "bytes=300000-", "bytes=500000-"]


def test_a_body_that_stays_short_is_an_error_and_the_part_is_kept_for_later(web, tmp_path):
    web.cut["a.bin"] = [100_000, 100_000, 100_000]
    with pytest.raises(DownloadError, match=r"ended after 300,000 of 1,024,000 bytes"):
        download(web.url + "a.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.tag"]
    download(web.url + "a.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert web.asked[-1][1] == "bytes=300000-"


def test_a_server_without_ranges_sends_the_file_anew(web, tmp_path):
    web.ranges = False
    web.cut["a.bin"] = [300_000]
    download(web.url + "a.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_part_of_another_version_of_the_file_is_not_continued(web, tmp_path):
    web.cut["a.bin"] = [100_000]
    with pytest.raises(DownloadError):
        download(web.url + "a.bin", tmp_path / "a.bin", retry=Retry(attempts=1))
    web.etag, web.files["a.bin"] = '"two"', BODY[::-1]
    download(web.url + "a.bin", tmp_path / "a.bin", retry=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY[::-1]


def test_a_whole_part_is_taken_and_one_that_is_too_long_is_begun_anew(web, tmp_path):
    for left_over in (BODY, BODY + b"more"):
        (tmp_path / "a.bin.part").write_bytes(left_over)
        download(web.url + "a.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
        assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_wrong_hash_is_an_error_and_leaves_nothing(web, tmp_path):
    with pytest.raises(DownloadError, match="SHA-256"):
        download(web.url + "a.bin", tmp_path / "a.bin", sha256="0" * 64, retry=QUICK)
    assert names(tmp_path) == []
    assert len(web.asked) == 1  # whole and wrong: not asked for again


def test_a_part_with_wrong_bytes_is_fetched_anew(web, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    download(web.url + "a.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_page_that_is_not_there_is_an_error_at_once(web, tmp_path):
    with pytest.raises(DownloadError, match="404"):
        download(web.url + "b.bin", tmp_path / "b.bin", retry=QUICK)
    assert len(web.asked) == 1
    assert names(tmp_path) == []


def test_a_web_page_in_place_of_a_file_is_refused(web, tmp_path):
    web.files["login"] = b"<html>sign in</html>"
    web.html.add("login")
    with pytest.raises(DownloadError, match="web page"):
        download(web.url + "login", tmp_path / "login", retry=QUICK)
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(web, tmp_path):
    web.answers["a.bin"] = [(503, b"busy"), (429, b"slowly")]
    download(web.url + "a.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert len(web.asked) == 3


def test_no_network_is_an_error_that_says_so(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: the connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin"
        with pytest.raises(DownloadError, match="no connection"):
            download(url, tmp_path / "a.bin", retry=QUICK)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirection_to_no_web_address_is_not_followed(web, tmp_path, target):
    web.redirects["a.bin"] = target
    with pytest.raises(DownloadError):
        download(web.url + "a.bin", tmp_path / "a.bin", retry=QUICK)


def test_a_redirection_to_another_place_is_followed(web, tmp_path):
    web.redirects["old.bin"] = web.url + "a.bin"
    download(web.url + "old.bin", tmp_path / "a.bin", sha256=SHA256, retry=QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_only_web_addresses_are_opened(tmp_path):
    with pytest.raises(DownloadError, match="https"):
        download("file:///etc/passwd", tmp_path / "a.bin", retry=QUICK)


def test_a_place_that_cannot_be_written_is_a_run_error(web, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written"):
        download(web.url + "a.bin", tmp_path / "file" / "a.bin", retry=QUICK)
