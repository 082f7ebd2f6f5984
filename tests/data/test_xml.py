import pytest

from biojepa.data._xml import base64_bytes, integers, number, parse_xml, text_of
from biojepa.errors import FormatError

BOMB = (
    '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + "".join(f'<!ENTITY b{i} "' + f"&b{i - 1 if i else ''};" * 10 + '">' for i in range(9))
    + "]><a>&b8;</a>"
)
# row X1 of the catalogue of bad input
REFUSED = {
    "bomb": BOMB,
    "entity": '<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>',
    "external entity": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % b SYSTEM "http://x/b.dtd"> %b;]><a/>',
    "external type": '<!DOCTYPE a SYSTEM "http://example.org/a.dtd"><a/>',
    "public type": '<!DOCTYPE a PUBLIC "-//X" "known.dtd"><a/>',
    "type with content": '<!DOCTYPE a SYSTEM "known.dtd" [<!ELEMENT a ANY>]><a/>',
    "undefined entity": "<a>&b;</a>",
    "entity of a known type": '<!DOCTYPE a SYSTEM "known.dtd"><a>&b;</a>',
    "depth": "<a>" * 100 + "</a>" * 100,
    "cut": "<a><b></b>",
    "two roots": "<a/><a/>",
    "text": "no XML",
    "empty": "",
    "encoding": '<?xml version="1.0" encoding="no-such-code"?><a/>',
    "wide encoding": '<?xml version="1.0" encoding="utf-7"?><a>x</a>',
}


@pytest.mark.parametrize("row", REFUSED)
def test_x1_what_a_recording_does_not_need_is_refused(row, tmp_path):
    with pytest.raises(FormatError):
        parse_xml(REFUSED[row].encode(), where="x.xml", known_doctypes={("a", "known.dtd")})


def test_a_known_type_without_content_is_passed_over():
    raw = b'<!DOCTYPE a SYSTEM "known.dtd"><a><b> c </b></a>'
    root = parse_xml(raw, where="x.xml", known_doctypes={("a", "known.dtd")})
    assert text_of(root, "b") == "c"
    with pytest.raises(FormatError, match="document type"):
        parse_xml(raw, where="x.xml")


def test_prefixes_are_dropped_and_encodings_read():
    raw = '<?xml version="1.0" encoding="{}"?><n:a xmlns:n="u" n:k="1"><n:b>\xe9</n:b></n:a>'
    for encoding in ("utf-8", "iso-8859-1", "windows-1252", "utf-16"):
        root = parse_xml(raw.format(encoding).encode(encoding), where="x.xml")
        assert (root.tag, root.attrib["k"], text_of(root, "b")) == ("a", "1", "\xe9")
    assert text_of(root, "b", "c") == ""


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e999", "1_0", "0x1", "1,5", "x", "9" * 99])
def test_only_finite_numbers_are_numbers(text):
    with pytest.raises(FormatError, match="x.xml: expected a number for gain"):
        number(text, what="gain", where="x.xml")


def test_numbers_and_base64_are_read():
    assert number("-2.5e-3", what="x", where="") == -0.0025
    assert integers(" 1\n-2 +3 ", what="x", where="").tolist() == [1, -2, 3]
    assert base64_bytes(" AQ\nI= ", what="x", where="") == b"\x01\x02"
    for text in ("1 2.5", "1 x", "9" * 40):
        with pytest.raises(FormatError):
            integers(text, what="x", where="")
    for text in ("A", "A?==", "\xe9"):
        with pytest.raises(FormatError, match="Base64"):
            base64_bytes(text, what="x", where="")
