from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from biojepa.data.archives import extract_archive
from biojepa.errors import FormatError


def zip_of(path, entries, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def tar_of(path, entries):
    with tarfile.open(path, "w:gz") as archive:
        for entry, content in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def everything(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_files_come_out_with_their_folders(make, tmp_path):
    path = make(tmp_path / "a.x", [("one.txt", b"1" * 10), ("deep/two.txt", b"2")])
    found = extract_archive(path, tmp_path / "out")
    assert found == [tmp_path / "out" / "one.txt", tmp_path / "out" / "deep" / "two.txt"]
    assert found[0].read_bytes() == b"1" * 10
    assert everything(tmp_path / "out") == ["deep", "deep/two.txt", "one.txt"]


def test_files_that_are_there_in_full_are_left(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("one.txt", b"new"), ("two.txt", b"longer")])
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.txt").write_bytes(b"old")
    (out / "two.txt").write_bytes(b"cut")
    extract_archive(path, out)
    assert [(out / n).read_bytes() for n in ("one.txt", "two.txt")] == [b"old", b"longer"]


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize(
    "name",
    ["../out.txt", "/abs.txt", "a/../../x", "a\\..\\x", "C:/x", "a//b", "a\nb", "n" * 300, " x"],
)
def test_a_name_that_leads_out_or_is_no_name_everywhere_is_refused(make, name, tmp_path):
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    path = make(tmp_path / "a.x", [("good.txt", b"1"), (name, b"2")])
    with pytest.raises(FormatError, match="a.x"):
        extract_archive(path, inside)
    assert everything(inside) == []
    assert everything(tmp_path) == ["a.x", "deep", "deep/inside"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_of_a_tar_are_refused(kind, tmp_path):
    path = tar_of(tmp_path / "a.tar.gz", [(member("link", kind, "/etc/passwd"), b"")])
    with pytest.raises(FormatError, match="link or device"):
        extract_archive(path, tmp_path / "out")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zip_of(tmp_path / "a.zip", [(info, "/etc/passwd")])
    with pytest.raises(FormatError, match="link or device"):
        extract_archive(path, tmp_path / "out")


def test_a_link_in_the_folder_is_not_followed_out_of_it(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "outside").mkdir()
    (out / "deep").symlink_to(tmp_path / "outside")
    path = zip_of(tmp_path / "a.zip", [("deep/x.txt", b"1")])
    with pytest.raises(FormatError, match="outside"):
        extract_archive(path, out)
    assert everything(tmp_path / "outside") == []


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_a_bomb_is_refused_before_anything_is_written(make, tmp_path):
    path = make(tmp_path / "a.x", [("zeros.bin", bytes(20_000_000))])
    with pytest.raises(FormatError, match="bytes"):
        extract_archive(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_too_many_files_or_bytes_are_refused(make, tmp_path):
    path = make(tmp_path / "a.x", [(f"{k}.txt", b"1234") for k in range(20)])
    for limits in ({"max_files": 19}, {"max_bytes": 79}):
        with pytest.raises(FormatError):
            extract_archive(path, tmp_path / "out", **limits)
    assert len(extract_archive(path, tmp_path / "out", max_files=20, max_bytes=80)) == 20


def test_names_that_differ_in_case_only_are_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("A.txt", b"1"), ("a.txt", b"2")])
    with pytest.raises(FormatError, match=r"A\.txt and a\.txt"):
        extract_archive(path, tmp_path / "out")


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_a_damaged_archive_is_a_format_error_and_no_file_is_half_written(make, tmp_path):
    content = bytes((i * i) % 251 for i in range(200_000))
    path = make(tmp_path / "a.x", [("x.bin", content)])
    raw = bytearray(path.read_bytes())
    raw[200] ^= 0xFF
    for damaged in (bytes(raw), bytes(raw[: len(raw) // 2]), b"<html>", b""):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="a.x"):
            extract_archive(path, tmp_path / "out")
        assert [n for n in everything(tmp_path / "out") if "x.bin" in n] == []


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("x.bin", b"abcd" * 1000)])
    raw = path.read_bytes()
    path.write_bytes(raw.replace((4000).to_bytes(4, "little"), (3999).to_bytes(4, "little")))
    with pytest.raises(FormatError):
        extract_archive(path, tmp_path / "out")
