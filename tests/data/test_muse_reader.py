import re

import numpy as np
import pytest

from biojepa.data.leads import INDEPENDENT_8, arrange_leads
from biojepa.data.xml_reader import iter_xml
from biojepa.errors import FormatError, LeadError
from tests.data.format_factory import muse_xml, twelve_counts

EIGHT = twelve_counts()[[0, 1, 6, 7, 8, 9, 10, 11]]


def read(folder, text):
    path = folder / "x.xml"
    path.write_text(text, encoding="latin-1")
    (found,) = iter_xml(path)
    return found


def test_the_rhythm_is_read_and_not_the_median(tmp_path):
    found = read(tmp_path, muse_xml(EIGHT, INDEPENDENT_8))
    np.testing.assert_allclose(found.values, EIGHT * 0.005, atol=1e-6)
    assert (found.channels, found.rate_hz, found.unit) == (INDEPENDENT_8, 500.0, "mV")
    assert (found.record_id, found.subject_id) == ("x", "P7")


def test_age_sex_and_statements_are_read_and_no_name(tmp_path):
    found = read(tmp_path, muse_xml(EIGHT, INDEPENDENT_8))
    assert found.labels == {"age": 61, "sex": "male", "statements": ["Sinus rhythm"]}
    assert "Nobody" not in repr(found)


def test_the_other_limb_leads_follow(tmp_path):
    found = read(tmp_path, muse_xml(EIGHT, INDEPENDENT_8))
    values, present = arrange_leads(found.values, found.channels, ["III", "aVF"])
    assert present.all()
    np.testing.assert_allclose(values[0], (EIGHT[1] - EIGHT[0]) * 0.005, atol=1e-5)


def test_the_exponent_scales_the_rate(tmp_path):
    text = muse_xml(EIGHT, INDEPENDENT_8)
    text = text.replace("<SampleBase>500<", "<SampleBase>25<")
    text = text.replace("<SampleExponent>0<", "<SampleExponent>1<")
    assert read(tmp_path, text).rate_hz == 250.0


def test_a_lead_that_was_off_is_noted(tmp_path):
    head, tail = muse_xml(EIGHT, INDEPENDENT_8).split("<WaveformType>Rhythm")
    tail = tail.replace("<LeadOff>FALSE", "<LeadOff>TRUE", 1)
    found = read(tmp_path, f"{head}<WaveformType>Rhythm{tail}")
    assert found.notes == ("the device says that lead I was off",)


def change(pattern, new, count=1):
    """A change of the rhythm, not of the median."""

    def apply(text):
        head, tail = text.split("<WaveformType>Rhythm")
        return head + re.sub(pattern, new, f"<WaveformType>Rhythm{tail}", count=count)

    return apply


REFUSED = {
    "median alone": change(r">Rhythm<", ">Median<"),
    "two rhythms": lambda text: text.replace(">Median<", ">Rhythm<"),
    "no base": change(r"<SampleBase>500", "<SampleBase>"),
    "base 0": change(r"<SampleBase>500", "<SampleBase>0"),
    "base nan": change(r"<SampleBase>500", "<SampleBase>nan"),
    "exponent": change(r"<SampleExponent>0", "<SampleExponent>300"),
    "gain 0": change(r"UnitsPerBit>5", "UnitsPerBit>0"),
    "no gain": change(r"<LeadAmplitudeUnitsPerBit>5</LeadAmplitudeUnitsPerBit>", ""),
    "gain is text": change(r"UnitsPerBit>5", "UnitsPerBit>five"),
    "unit": change(r"MICROVOLTS", "PASCAL"),
    "bytes": change(r"<LeadByteCountTotal>2000", "<LeadByteCountTotal>4000"),
    "samples": change(r"<LeadSampleCountTotal>1000", "<LeadSampleCountTotal>99999999999"),
    "width": change(r"<LeadSampleSize>2", "<LeadSampleSize>3"),
    "no Base64": change(r"<WaveFormData>\n", "<WaveFormData>????"),
    "no data": change(r"<WaveFormData>[^<]*", "<WaveFormData>"),
    "lead twice": change(r"<LeadID>II<", "<LeadID>I<"),
    "no leads": change(r"LeadData>", "Lead>", 0),
    "no name": change(r"<LeadID>II<", "<LeadID><"),
    "another type": lambda text: text.replace("restecg.dtd", "http://example.org/x.dtd"),
    "content in the type": lambda text: text.replace(
        '"restecg.dtd"', '"restecg.dtd" [<!ENTITY a "x">]'
    ),
    "cut": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("row", REFUSED)
def test_bad_documents_are_refused(tmp_path, row):
    text = REFUSED[row](muse_xml(EIGHT, INDEPENDENT_8))
    assert text != muse_xml(EIGHT, INDEPENDENT_8)
    with pytest.raises((FormatError, LeadError, ValueError)) as caught:
        read(tmp_path, text)
    assert type(caught.value).__module__ == "biojepa.errors"
