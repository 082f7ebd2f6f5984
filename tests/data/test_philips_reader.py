import base64
import re

import numpy as np
import pytest

from biojepa.data._xli import unpack_lzw
from biojepa.data.leads import STANDARD_12
from biojepa.data.xml_reader import iter_xml
from biojepa.errors import DataError, FormatError, LeadError
from tests.data.format_factory import lzw_bytes, philips_xml, twelve_counts

COUNTS = twelve_counts()


def read(folder, text):
    path = folder / "x.xml"
    path.write_text(text, encoding="utf-8")
    (found,) = iter_xml(path)
    return found


@pytest.mark.parametrize("version", ["1.03", "1.04", "1.04.02"])
@pytest.mark.parametrize("packed", ["XLI", "Base64", "Plain"])
def test_every_packing_gives_the_values(tmp_path, version, packed):
    found = read(tmp_path, philips_xml(COUNTS, version=version, packed=packed))
    np.testing.assert_allclose(found.values, COUNTS * 0.005, atol=1e-6)
    assert (found.channels, found.rate_hz, found.unit) == (STANDARD_12, 500.0, "mV")
    assert found.labels == {"age": 50, "sex": "male", "statements": ["Sinus rhythm"]}
    assert (found.subject_id, found.notes) == ("P7", ())


def test_labels_in_the_document_name_the_leads(tmp_path):
    text = philips_xml(COUNTS, packed="Base64").replace(
        "<parsedwaveforms ",
        f'<parsedwaveforms numberofleads="12" leadlabels="{" ".join(STANDARD_12[::-1])} V7" ',
    )
    assert read(tmp_path, text).channels == STANDARD_12[::-1]


def test_the_resolution_of_the_waveforms_comes_first(tmp_path):
    text = philips_xml(COUNTS).replace("<parsedwaveforms ", '<parsedwaveforms resolution="2.5" ')
    np.testing.assert_allclose(read(tmp_path, text).values, COUNTS * 0.0025, atol=1e-6)


def test_limb_leads_that_contradict_each_other_are_noted(tmp_path):
    wrong = COUNTS.copy()
    wrong[2] = -wrong[2]
    found = read(tmp_path, philips_xml(wrong, packed="Base64"))
    assert "lead III is not II - I" in found.notes[0]


def test_codes_that_are_not_in_the_table_yet_are_understood():
    raw = b"aaaaaaaaaaaaaaaaaaaaaab" * 3
    assert unpack_lzw(lzw_bytes(raw), limit=100, where="x") == raw + b"\0"
    long = np.random.default_rng(0).integers(0, 4, 20_000, dtype=np.uint8).tobytes()
    assert unpack_lzw(lzw_bytes(long), limit=20_000, where="x") == long


def test_a_compressed_lead_does_not_grow_beyond_what_is_stated():
    with pytest.raises(FormatError, match="more than the 10 bytes"):
        unpack_lzw(lzw_bytes(bytes(100_000)), limit=10, where="x")


def repack(text, edit):
    """Change the bytes behind the Base64."""
    data = re.search(r"<parsedwaveforms[^>]*>([^<]*)<", text)[1]
    raw = edit(bytearray(base64.b64decode(data)))
    return text.replace(data, base64.b64encode(raw).decode())


def set_bytes(at, new):
    def edit(raw):
        raw[at : at + len(new)] = new
        return raw

    return lambda text: repack(text, edit)


def change(pattern, new):
    return lambda text: re.sub(pattern, new, text, count=1)


REFUSED = {
    "version": change(r">1\.04<", ">9.99<"),
    "no signal": change(r"signalcharacteristics", "other"),
    "no waveforms": lambda text: text.replace("parsedwaveforms", "other"),
    "rate": change(r"<samplingrate>500", "<samplingrate>0"),
    "rate nan": change(r"<samplingrate>500", "<samplingrate>nan"),
    "resolution 0": change(r"<signalresolution>5", "<signalresolution>0"),
    "no resolution": change(r"<signalresolution>5</signalresolution>", ""),
    "duration": change(r'durationperchannel="\d+"', 'durationperchannel="9999999999"'),
    "duration 0": change(r'durationperchannel="\d+"', 'durationperchannel="0"'),
    "no duration": change(r'durationperchannel="\d+"', ""),
    "too many leads": change(r"allocated>12<", "allocated>999999<"),
    "more leads": change(r"allocated>12<", "allocated>13<"),
    "no leads": change(r"allocated>12<", "allocated>0<"),
    "lead set": change(r"<leadset>STD-12", "<leadset>OTHER"),
    "encoding": change(r'dataencoding="\w+"', 'dataencoding="uu"'),
    "compression": change(r'compressmethod="\w+"', 'compressmethod="zip"'),
    "no Base64": change(r"\n([A-Za-z0-9])", r"\n???\1"),
    "first chunk too long": set_bytes(0, b"\xff\xff\xff\x7f"),
    "first chunk negative": set_bytes(0, b"\xff\xff\xff\xff"),
    "impossible code": set_bytes(8, b"\xff\xbf"),
    "ends at once": set_bytes(8, b"\xff\xff"),
    "cut": lambda text: repack(text, lambda raw: raw[: len(raw) // 2]),
    "document cut": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("row", REFUSED)
def test_bad_documents_are_refused(tmp_path, row):
    text = REFUSED[row](philips_xml(COUNTS))
    assert text != philips_xml(COUNTS)
    with pytest.raises((FormatError, LeadError, DataError)):
        read(tmp_path, text)


@pytest.mark.parametrize("packed", ["Base64", "Plain"])
def test_other_amounts_of_samples_are_refused(tmp_path, packed):
    text = philips_xml(COUNTS, packed=packed)
    text = change(r'durationperchannel="\d+"', 'durationperchannel="1998"')(text)
    with pytest.raises(FormatError, match="12 leads of 999 samples, got 12000"):
        read(tmp_path, text)
