"""Bad WFDB records: refused or warned of, and nothing outside their folder is opened."""

import os
import socket
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from biojepa.data import wfdb_header
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.errors import BiojepaError, ConfigError, DataError, FormatError, PlausibilityWarning
from tests.data.test_wfdb_header import mutated
from tests.data.wfdb_factory import edit, signals, write


def flip(record):
    data = bytearray(record.with_suffix(".dat").read_bytes())
    data[101] ^= 0x40
    record.with_suffix(".dat").write_bytes(data)


def test_a_flipped_bit_is_found_warned_of_or_not_looked_for(tmp_path):
    record = write(tmp_path)
    flip(record)
    with pytest.raises(FormatError, match="checksum differs in .*verify=False"):
        read_wfdb(record)
    with pytest.warns(PlausibilityWarning, match="checksum"):
        assert "checksum" in read_wfdb(record, verify="warn").notes[0]
    assert read_wfdb(record, verify=False).notes == ()
    with pytest.raises(ConfigError):
        read_wfdb(record, verify="maybe")


def resize(record, n_bytes):
    data = record.with_suffix(".dat").read_bytes()
    record.with_suffix(".dat").write_bytes((data * 3)[:n_bytes])


FILE_BYTES = 500 * 12 * 2
# Rows W1 to W16 of the catalogue of bad input that are errors: (row, what is done to the record).
REFUSED = {
    "W1 parent": lambda r: edit(r, "r1.dat", "../r1.dat"),
    "W1 absolute": lambda r: edit(r, "r1.dat", "/etc/passwd"),
    "W1 address": lambda r: edit(r, "r1.dat", "https://example.org/r1.dat"),
    "W4 zero": lambda r: edit(r, "200.0(0)/mV", "0(0)/mV"),
    "W4 nan": lambda r: edit(r, "200.0(0)/mV", "nan"),
    "W4 overflow": lambda r: edit(r, "200.0(0)/mV", "1e400(0)/mV"),
    "W5 zero": lambda r: edit(r, "r1 12 500 500", "r1 12 0 500"),
    "W5 negative": lambda r: edit(r, "r1 12 500 500", "r1 12 -100 500"),
    "W5 huge": lambda r: edit(r, "r1 12 500 500", "r1 12 1e308 500"),
    "W5 missing": lambda r: edit(r, "r1 12 500 500", "r1 12"),
    "W6": flip,
    "W7 cut": lambda r: resize(r, FILE_BYTES - 1),
    "W7 empty": lambda r: resize(r, 0),
    "W8 length": lambda r: edit(r, "r1 12 500 500", "r1 12 500 99999999999"),
    "W8 frame": lambda r: edit(r, " 16 200", " 16x99999999 200"),
    "W8 signals": lambda r: edit(r, "r1 12 500 500", "r1 1000000000 500 500"),
    "W8 offset": lambda r: edit(r, " 16 200", " 16+999999999999 200"),
    "W9 lines": lambda r: edit(r, "r1 12 500 500", "r1 14 500 500"),
    "W9 empty": lambda r: r.with_suffix(".hea").write_text(""),
    "W9 comments": lambda r: r.with_suffix(".hea").write_text("# a\n# b\n"),
    "W9 binary": lambda r: r.with_suffix(".hea").write_bytes(bytes(range(256))),
    "W9 format": lambda r: edit(r, " 16 200", " 999 200"),
    "W10": lambda r: r.with_suffix(".hea").write_text("r1/1 12 500 500\nr1 500\n"),
    "W11 twice": lambda r: edit(r, "V2", "v1"),
    "W11 alias": lambda r: edit(r, "III", "MLII"),
    "W12 skew": lambda r: edit(r, " 16 200", " 16:999999999 200"),
    "W13": lambda r: edit(r, "/mV", "/V"),
    "no signal file": lambda r: r.with_suffix(".dat").unlink(),
    "file comes twice": lambda r: two_files_in_turn(r),
}


def two_files_in_turn(record):
    """Leads of r1.dat, r2.dat and r1.dat again."""
    record.with_name("r2.dat").write_bytes(bytes(1000))
    lines = record.with_suffix(".hea").read_text().splitlines()[:4]
    lines[0] = lines[0].replace("r1 12", "r1 3")
    lines[2] = lines[2].replace("r1.dat", "r2.dat").replace(lines[2].split()[6], "0")
    record.with_suffix(".hea").write_text("\n".join(lines))
    header = wfdb_header.read_header(record)
    assert [s.file_name for s in header.signals] == ["r1.dat", "r2.dat", "r1.dat"]


opened: list[str] = []
watching = [False]


def _audit(event, arguments):
    if watching[0] and event in ("open", "socket.connect", "socket.getaddrinfo"):
        opened.append(str(arguments[0]))


sys.addaudithook(_audit)


@contextmanager
def only_inside(folder):
    """Fail if a file outside the folder is opened or the network is asked."""
    opened.clear()
    watching[0] = True
    try:
        yield
    finally:
        watching[0] = False
    outside = [p for p in opened if not os.path.realpath(p).startswith(os.path.realpath(folder))]
    assert outside == []


def test_the_watch_sees_what_it_should(tmp_path):
    with pytest.raises(AssertionError), only_inside(tmp_path), open(os.devnull):
        pass
    with pytest.raises(AssertionError), only_inside(tmp_path):
        socket.getaddrinfo("127.0.0.1", 1)


@pytest.mark.parametrize("row", REFUSED)
def test_bad_records_are_refused_without_opening_anything_else(tmp_path, row):
    record = write(tmp_path)
    REFUSED[row](record)
    with only_inside(tmp_path), pytest.raises(BiojepaError, match=r"r[12]\."):
        read_wfdb(record)


@pytest.mark.parametrize("name", ["../r1", "/etc/passwd", "s3://b/r1", "a\0b", "", "../root2/r1"])
def test_w2_record_names_of_a_label_file_stay_inside_the_root(tmp_path, name):
    for folder in ("root", "root2"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "root2")
    write(tmp_path)
    with only_inside(tmp_path / "root"), pytest.raises(FormatError):
        read_wfdb(name, root=tmp_path / "root")


def test_w2_names_inside_the_root_are_read(tmp_path):
    (tmp_path / "a").mkdir()
    record = write(tmp_path / "a")
    assert read_wfdb("a/r1", root=tmp_path).record_id == "r1"
    assert read_wfdb(record, root=tmp_path).record_id == "r1"


def test_w3_a_linked_signal_file_is_read_only_on_request(tmp_path):
    for folder in ("root", "elsewhere"):
        (tmp_path / folder).mkdir()
    record = write(tmp_path / "root")
    data = record.with_suffix(".dat")
    data.rename(tmp_path / "elsewhere" / "x.dat")
    data.symlink_to(tmp_path / "elsewhere" / "x.dat")
    with only_inside(tmp_path / "root"), pytest.raises(FormatError, match="follow_symlinks=True"):
        read_wfdb(record)
    assert read_wfdb(record, follow_symlinks=True).n_times == 500


def test_w3_a_linked_folder_does_not_lead_out_of_the_root(tmp_path):
    for folder in ("root", "elsewhere"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "elsewhere")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="outside"):
        read_wfdb("link/r1", root=tmp_path / "root")
    assert read_wfdb("link/r1", root=tmp_path / "root", follow_symlinks=True).n_times == 500


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_place_of_the_signal_file_does_not_hang(tmp_path):
    record = write(tmp_path)
    record.with_suffix(".dat").unlink()
    os.mkfifo(record.with_suffix(".dat"))
    with pytest.raises(FormatError, match="plain file"):
        read_wfdb(record)


def test_w4_a_negative_gain_turns_the_lead_over_with_a_warning(tmp_path):
    record = write(tmp_path, values=signals(500, 2))
    before = read_wfdb(record).values
    edit(record, "200.0(0)", "-200.0(0)", count=1)
    with pytest.warns(PlausibilityWarning, match="negative gain"):
        after = read_wfdb(record).values
    np.testing.assert_array_equal(after, before * [[-1], [1]])


def test_w7_a_file_longer_than_declared_is_read_with_a_warning(tmp_path):
    record = write(tmp_path)
    expected = read_wfdb(record).values
    resize(record, 3 * FILE_BYTES)
    with pytest.warns(PlausibilityWarning, match=f"{2 * FILE_BYTES} bytes more"):
        np.testing.assert_array_equal(read_wfdb(record).values, expected)


def test_w8_a_large_file_needs_a_larger_max_bytes(tmp_path):
    with pytest.raises(DataError, match="raise max_bytes"):
        read_wfdb(write(tmp_path), max_bytes=1000)


def test_w12_a_lead_that_is_mostly_missing_is_refused(tmp_path):
    values = signals(400, 2)
    values[:300, 1] = np.nan
    with pytest.raises(FormatError, match=r"II \(75%\)"):
        read_wfdb(write(tmp_path, values=values))


@pytest.mark.filterwarnings("ignore::biojepa.errors.PlausibilityWarning")
def test_mutated_records_raise_only_the_error_family(tmp_path):
    record = write(tmp_path, values=signals(200, 2))
    raw = record.with_suffix(".hea").read_bytes()
    rng = np.random.default_rng(7)
    n_refused = 0
    for _ in range(150):
        record.with_suffix(".hea").write_bytes(mutated(raw, rng))
        try:
            assert read_wfdb(record).values.dtype == np.float32
        except BiojepaError:
            n_refused += 1
    assert n_refused > 75
