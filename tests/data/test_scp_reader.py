import struct
import sys

import numpy as np
import pytest

from biojepa.data.assemble import ReadOptions
from biojepa.data.leads import STANDARD_12
from biojepa.data.scp_reader import read_scp
from biojepa.errors import DataError, FormatError, MissingDependencyError
from tests.data.format_factory import scp_bytes, twelve_counts

pytest.importorskip("ecgdatakit")
COUNTS = twelve_counts()


def write(folder, content):
    path = folder / "x.scp"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", [0, 1, 2])
def test_samples_and_their_differences_are_read(tmp_path, order):
    found = read_scp(write(tmp_path, scp_bytes(COUNTS, order=order)))
    np.testing.assert_allclose(found.values, COUNTS * 0.005, atol=1e-6)
    assert (found.channels, found.rate_hz, found.unit) == (STANDARD_12, 500.0, "mV")
    assert (found.subject_id, found.labels) == ("P7", {"sex": "female"})


def test_checksums_are_compared_warned_of_or_not_looked_at(tmp_path):
    raw = bytearray(scp_bytes(COUNTS))
    raw[-1] ^= 0x01
    path = write(tmp_path, bytes(raw))
    with pytest.raises(FormatError, match="CRC mismatch.*verify=False"):
        read_scp(path)
    with pytest.warns(UserWarning, match="CRC mismatch"):
        assert "CRC" in read_scp(path, ReadOptions(verify="warn")).notes[0]
    assert read_scp(path, ReadOptions(verify=False)).notes == ()


def offset(raw, number):
    """Where the content of a section begins."""
    at = 6 + 16 + 10 * number
    return struct.unpack_from("<I", raw, at + 6)[0] - 1 + 16


def set_u32(number, at, value):
    def change(raw):
        struct.pack_into("<I", raw, offset(raw, number) + at, value)
        return raw

    return change


def set_byte(number, at, value):
    def change(raw):
        raw[offset(raw, number) + at] = value
        return raw

    return change


def set_bytes(at, new):
    def change(raw):
        raw[at : at + len(new)] = new
        return raw

    return change


REFUSED = {
    "empty": lambda raw: b"",
    "random": lambda raw: np.random.default_rng(0).bytes(3000),
    "cut": lambda raw: raw[: len(raw) // 2],
    "record longer than the file": set_bytes(2, b"\xff\xff\xff\x7f"),
    "section 0": set_bytes(10, b"\xff\xff\xff\x7f"),
    "section beyond the file": set_bytes(6 + 16 + 60 + 2, b"\xff\xff\xff\x7f"),
    "no rhythm": set_bytes(6 + 16 + 60 + 2, bytes(8)),
    "no leads": set_byte(3, 0, 0),
    "more leads": set_byte(3, 0, 255),
    "four billion samples": set_u32(3, 6, 0xFFFFFFFF),
    "samples backwards": set_u32(3, 2, 2000),
    "leads of two lengths": set_u32(3, 6, 900),
    "interval 0": set_bytes(offset(scp_bytes(COUNTS), 6) + 2, bytes(2)),
    "difference": set_byte(6, 4, 9),
    "bimodal": set_byte(6, 5, 1),
}


@pytest.mark.parametrize("row", REFUSED)
def test_bad_files_are_refused(tmp_path, row):
    content = bytes(REFUSED[row](bytearray(scp_bytes(COUNTS))))
    assert content != scp_bytes(COUNTS)
    with pytest.raises(DataError):
        read_scp(write(tmp_path, content), ReadOptions(verify=False))


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with pytest.raises(DataError, match="too many"):
        read_scp(write(tmp_path, scp_bytes(COUNTS)), ReadOptions(max_bytes=100))


def test_without_ecgdatakit_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, scp_bytes(COUNTS))
    for name in [name for name in sys.modules if name.startswith("ecgdatakit")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ecgdatakit", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "biojepa\[formats\]"'):
        read_scp(path)
