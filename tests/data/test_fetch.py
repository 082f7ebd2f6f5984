from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace

import pytest

from biojepa.data.cards import Download, load_card
from biojepa.data.download import Retry
from biojepa.data.fetch import by_hand, fetch_database, read_sums
from biojepa.errors import ConfigError, DataError, DownloadError, FormatError
from tests.data.web import serve

QUICK = Retry(attempts=2, pause_s=0.0, timeout_s=5.0)
FILES = {
    "training/georgia/g1/E00001.hea": b"head",
    "training/georgia/g1/E00001.mat": bytes(5000),
    "training/ningbo/g1/JS20000.hea": b"another database",
    "LICENSE.txt": b"licence",
}


def sums(files):
    return "".join(f"{hashlib.sha256(b).hexdigest()} {n}\n" for n, b in files.items()).encode()


@pytest.fixture
def web():
    with serve() as found:
        found.files |= FILES | {"SHA256SUMS.txt": sums(FILES)}
        yield found


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def fetch(name, out, web, **options):
    return fetch_database(load_card(name), out, base_url=web.url, retry=QUICK, **options)


def test_the_files_of_the_database_are_fetched_by_its_list_of_hashes(web, tmp_path):
    seen = []
    report = fetch("georgia", tmp_path, web, progress=lambda *done: seen.append(done))
    wanted = {n: b for n, b in FILES.items() if n.startswith("training/georgia/")}
    found = tree(tmp_path)
    assert found.pop("SHA256SUMS.txt") == web.files["SHA256SUMS.txt"]
    assert found == wanted
    assert (report.n_fetched, report.n_there, report.n_bytes) == (2, 0, 5004)
    assert (report.n_unverified, report.unpacked) == (0, ())
    assert seen[-1] == (2, 5004)


def test_files_that_are_there_are_left_and_damaged_ones_are_fetched_anew(web, tmp_path):
    fetch("georgia", tmp_path, web)
    (tmp_path / "training/georgia/g1/E00001.mat").write_bytes(b"damaged")
    web.asked.clear()
    report = fetch("georgia", tmp_path, web)
    assert (report.n_fetched, report.n_there) == (1, 1)
    assert [name for name, _ in web.asked] == ["SHA256SUMS.txt", "training/georgia/g1/E00001.mat"]


def test_an_interrupted_database_goes_on_where_it_was(web, tmp_path):
    web.cut["training/georgia/g1/E00001.mat"] = [1000, 1000]
    with pytest.raises(DownloadError, match="by hand"):
        fetch("georgia", tmp_path, web, connections=1)
    report = fetch("georgia", tmp_path, web, connections=1)
    assert web.asked[-1] == ("training/georgia/g1/E00001.mat", "bytes=2000-")
    assert (report.n_fetched, report.n_there, report.n_bytes) == (1, 1, 3000)
    assert tree(tmp_path)["training/georgia/g1/E00001.mat"] == bytes(5000)


def test_a_file_of_another_hash_stops_with_the_steps_by_hand_and_is_not_kept(web, tmp_path):
    web.files["training/georgia/g1/E00001.mat"] = bytes(4999) + b"x"
    with pytest.raises(DownloadError, match=r"SHA-256[\s\S]*by hand: 1\. open https://physionet"):
        fetch("georgia", tmp_path, web)
    assert not [name for name in tree(tmp_path) if "E00001.mat" in name]


def test_no_network_says_what_to_do_by_hand(tmp_path):
    with serve() as web:
        pass  # the server has gone
    with pytest.raises(DownloadError, match=r"no connection[\s\S]*biojepa prepare georgia"):
        fetch("georgia", tmp_path, web)


def test_an_archive_is_unpacked_beside_the_other_files(web, tmp_path):
    part = io.BytesIO()
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("exams_part0.hdf5", b"signals")
    card = load_card("code-15")
    names = dict.fromkeys(["exams.csv", "exams_part0.zip"])
    web.files |= {"exams.csv": b"exam_id\n", "exams_part0.zip": part.getvalue()}
    for n_fetched in (2, 0):
        report = fetch_database(replace(card, files=names), tmp_path, base_url=web.url, retry=QUICK)
        assert report.unpacked == (tmp_path / "exams_part0.hdf5",)
        assert (report.n_fetched, report.n_unverified) == (n_fetched, 2)
    assert tree(tmp_path)["exams_part0.hdf5"] == b"signals"


def test_a_hash_of_the_card_is_compared(web, tmp_path):
    card = load_card("code-15")
    web.files["exams.csv"] = b"exam_id\n"
    right, wrong = hashlib.sha256(b"exam_id\n").hexdigest(), "0" * 64
    report = fetch_database(replace(card, files={"exams.csv": right}), tmp_path, base_url=web.url)
    assert report.n_unverified == 0
    (tmp_path / "exams.csv").unlink()
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch_database(replace(card, files={"exams.csv": wrong}), tmp_path, base_url=web.url)


def test_a_credentialed_database_is_refused_with_the_steps_and_nothing_is_asked(web, tmp_path):
    card = replace(load_card("georgia"), access="credentialed")
    with pytest.raises(DataError, match=r"credentialed users only[\s\S]*sign in"):
        fetch_database(card, tmp_path, base_url=web.url)
    with pytest.raises(DataError, match="does not fetch georgia"):
        fetch_database(replace(load_card("georgia"), download=None), tmp_path)
    assert web.asked == []


def test_the_version_is_part_of_the_address(web, tmp_path):
    download = Download(f"{web.url}x/{{version}}/", "SHA256SUMS.txt", ("",))
    card = replace(load_card("ptb-xl"), download=download)
    for version, wanted in ((None, "x/1.0.3/SHA256SUMS.txt"), ("1.0.1", "x/1.0.1/SHA256SUMS.txt")):
        with pytest.raises(DownloadError, match="404"):
            fetch_database(card, tmp_path, version=version, retry=QUICK)
        assert web.asked[-1][0] == wanted
    for version in ("../..", "", "1.0/x"):
        with pytest.raises(ConfigError, match="a version such as"):
            fetch_database(replace(card, version=None), tmp_path, version=version)
    with pytest.raises(ConfigError, match="one version only"):
        fetch_database(load_card("code-15"), tmp_path, version="2")


@pytest.mark.parametrize("name", ["../out.txt", "/etc/x", "a/../../x", "s3://bucket/x"])
def test_a_name_of_the_list_that_leads_out_is_refused(name, web, tmp_path):
    web.files["SHA256SUMS.txt"] = f"{'0' * 64}  {name}\n".encode()
    with pytest.raises(FormatError):
        fetch("ptb-xl", tmp_path / "in", web)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(web.asked) == 1


def test_a_list_without_the_database_is_an_error(web, tmp_path):
    with pytest.raises(FormatError, match="names no file of cpsc"):
        fetch("cpsc", tmp_path, web)


@pytest.mark.parametrize("text", ["<html>", "abc  name\n", f"{'0' * 64}name\n", "\udcff"])
def test_a_list_that_is_none_is_an_error_with_its_line(text, tmp_path):
    path = tmp_path / "SHA256SUMS.txt"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=r"SHA256SUMS\.txt"):
        list(read_sums(path, ("",)))


def test_both_forms_of_a_list_are_read(tmp_path):
    path = tmp_path / "SHA256SUMS.txt"
    path.write_text(f"{'a' * 64} one.hea\n{'b' * 64} *two words.dat\r\n\n{'c' * 64}  three\n")
    names = [name for name, _ in read_sums(path, ("",))]
    assert names == ["one.hea", "two words.dat", "three"]


def test_the_steps_by_hand_end_with_the_next_command(tmp_path):
    assert "biojepa prepare ptb /data -o STORE" in by_hand(load_card("ptb"), "/data")
