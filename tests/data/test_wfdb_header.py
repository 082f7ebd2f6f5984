from pathlib import Path

import numpy as np
import pytest

from biojepa.data.wfdb_header import MAX_HEADER_BYTES, header_path, parse_header, read_header
from biojepa.errors import BiojepaError, FormatError

HEADER = """r1 3 500/1000(0) 5000 12:00:00 01/02/1990
r1.dat 16x1+24 1000.0(5)/mV 16 0 -68 -2 0 I
r1.dat 16x1+24 200 16 1024 0 7 0 Lead II, left arm
r1.dat 16x1+24 1e3/uV
# Age: 78
#Dx: 1,2
"""
LINE = "r1.dat 16 1000(0)/mV 16 0 0 0 0 I"


def parse(text, **options):
    raw = text if isinstance(text, bytes) else text.encode()
    return parse_header(raw, path=Path("r1.hea"), **options)


def test_the_fields_of_a_header():
    header = parse(HEADER)
    assert (header.record_name, header.rate_hz, header.n_frames) == ("r1", 500.0, 5000)
    first, second, third = header.signals
    assert first.file_name == "r1.dat"
    assert (first.format, first.byte_offset, first.samples_per_frame) == (16, 24, 1)
    assert (first.gain, first.baseline, first.unit, first.checksum) == (1000.0, 5, "mV", 65534)
    assert (second.gain, second.baseline, second.name) == (200.0, 1024, "Lead II, left arm")
    assert (third.gain, third.unit, third.checksum) == (1000.0, "uV", None)
    assert third.name == "signal 2"
    assert header.comments == ("Age: 78", "Dx: 1,2")
    assert header.notes == ()


@pytest.mark.parametrize("text", ["r1 1 500\n", "r1 1 500 0\n"])
def test_the_length_may_be_left_to_the_file(text):
    assert parse(text + LINE).n_frames is None


@pytest.mark.parametrize("raw", [HEADER.encode("utf-8-sig"), HEADER.replace("\n", "\r\n").encode()])
def test_a_byte_order_mark_and_other_line_ends_change_nothing(raw):
    assert parse(raw) == parse(HEADER)


def test_latin_1_comments_are_read():
    assert parse(HEADER.encode() + "# Größe: 1\n".encode("latin-1")).comments[-1] == "Größe: 1"


def test_a_header_with_40_mb_of_comment_is_read_up_to_the_cap(tmp_path):
    with open(tmp_path / "r1.hea", "wb") as stream:
        stream.write(HEADER.encode() + b"#" + b"x" * 40_000_000 + b"\n")
    header = read_header(tmp_path / "r1")
    assert len(header.signals) == 3
    assert max(map(len, header.comments)) < MAX_HEADER_BYTES
    assert "first" in header.notes[0]


def test_more_comments_than_the_cap_are_passed_over_and_noted():
    header = parse(HEADER + "# x\n" * 5000)
    assert len(header.comments) == 1000
    assert "comment lines were passed over" in header.notes[0]


def test_another_record_name_inside_is_noted():
    assert "'r1'" in parse_header(HEADER.encode(), path=Path("other.hea")).notes[0]


@pytest.mark.parametrize("name", ["a/r.1", "a/r.1.hea", "a/r.1.dat", "a/r.1.mat", "a/r.1.HEA"])
def test_the_header_of_a_record_with_or_without_suffix(name):
    assert header_path(name) == Path("a/r.1.hea")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "record line"),
        ("# only\n# comments\n", "record line"),
        (b"\x00\x01\x02", "binary"),
        ("r1\n", "line 1"),
        (f"../r1 1 500 10\n{LINE}", "record name"),
        (f"r1/2 1 500 10\n{LINE}", "multi-segment"),
        (f"r1 1\n{LINE}", "rate"),
        (f"r1 0 500 10\n{LINE}", "number of signals"),
        (f"r1 -1 500 10\n{LINE}", "number of signals"),
        (f"r1 x 500 10\n{LINE}", "number of signals"),
        (f"r1 1 0 10\n{LINE}", "sampling rate"),
        (f"r1 1 -100 10\n{LINE}", "sampling rate"),
        (f"r1 1 1e308 10\n{LINE}", "sampling rate"),
        (f"r1 1 nan 10\n{LINE}", "sampling rate"),
        (f"r1 1 500 x\n{LINE}", "number of samples"),
        (f"r1 1 500 -5\n{LINE}", "number of samples"),
        (f"r1 12 500 10\n{LINE}\n{LINE}", "line 3: expected 12 signal lines"),
        (f"r1 1 500 10\n{LINE}\n{LINE}", "line 3: expected 1 signal lines"),
        (f"r1 1000000000 500 10\n{LINE}", "signal lines"),
        ("r1 1 500 10\nr1.dat 16\n", "line 2"),
        *(
            (f"r1 1 500 10\n{LINE.replace('r1.dat', name)}", "bare name")
            for name in ("../x.dat", "/etc/passwd", "a/b.dat", "a\\b.dat", "..", ".", "-", "~")
        ),
        (f"r1 1 500 10\n{LINE.replace('r1.dat', 'https://x.org/a.dat')}", "bare name"),
        *(
            (f"r1 1 500 10\n{LINE.replace(' 16 1000', f' {fmt} 1000')}", "signal format")
            for fmt in ("999", "8", "x", "16x0", "16x1x1", "-16", "516")
        ),
        (f"r1 1 500 10\n{LINE.replace(' 16 1000', ' 16:999999999 1000')}", "skew"),
        *(
            (f"r1 1 500 10\n{LINE.replace('1000(0)', gain)}", "line 2: expected a gain")
            for gain in ("0(0)", "0", "nan", "inf", "1e400", "x", "(0)", "1e-300(0)", "-0.0")
        ),
        (f"r1 1 500 10\n{LINE.replace('16 0 0', '16 zero 0')}", "whole numbers"),
        (f"r1 1 500 10\n{LINE.replace('16 0 0', '16 ' + '9' * 9999 + ' 0')}", "whole numbers"),
    ],
)
def test_a_bad_header_is_a_format_error_that_says_what_was_expected(text, message):
    with pytest.raises(FormatError, match=message):
        parse(text)


@pytest.mark.parametrize(
    "name", ["", " ", "a\0b", "s3://bucket/r1", "https://x.org/r1", "missing", "x" * 5000]
)
def test_an_impossible_record_name_is_a_format_error(name):
    with pytest.raises(FormatError):
        read_header(name)


@pytest.mark.parametrize("name", ["../r1", "a/../../r1", "/etc/passwd", "..\\r1", "s3://x/r1", ""])
def test_a_record_name_may_not_leave_the_root(tmp_path, name):
    (tmp_path / "root").mkdir()
    (tmp_path / "r1.hea").write_text(HEADER)
    with pytest.raises(FormatError):
        read_header(name, root=tmp_path / "root")


def test_a_folder_or_pipe_is_not_a_header(tmp_path):
    (tmp_path / "d.hea").mkdir()
    with pytest.raises(FormatError, match="plain file"):
        read_header(tmp_path / "d")


def mutated(raw, rng):
    """Some bytes of `raw` changed, cut out, doubled or exchanged for troublesome ones."""
    data = bytearray(raw)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(data)))
        match int(rng.integers(5)):
            case 0:
                data[at] = int(rng.integers(256))
            case 1:
                del data[at : at + int(rng.integers(1, 20))]
            case 2:
                data[at:at] = data[at : at + int(rng.integers(1, 30))]
            case 3:
                nasty = [b"-1", b"1e999", b"9" * 30, b"nan", b"../", b"\0", b"\n", b"/", b"x", b":"]
                data[at:at] = nasty[int(rng.integers(len(nasty)))]
            case 4:
                del data[at:]
        if not data:
            break
    return bytes(data)


def test_300_mutated_headers_are_read_or_refused_in_the_error_family():
    rng = np.random.default_rng(20261123)
    n_refused = 0
    for _ in range(300):
        try:
            header = parse(mutated(HEADER.encode(), rng))
        except BiojepaError:
            n_refused += 1
        else:
            assert header.signals
            assert 0 < header.rate_hz <= 1e5
            assert all(np.isfinite(s.gain) and s.gain != 0 for s in header.signals)
    assert 50 < n_refused < 300
