import re

import numpy as np
import pytest

from biojepa.data.assemble import ReadOptions
from biojepa.data.leads import STANDARD_12
from biojepa.data.xml_reader import iter_xml
from biojepa.errors import DataError, FormatError, LeadError
from tests.data.format_factory import aecg_xml, twelve_counts

COUNTS = twelve_counts()


def read(folder, text, options=None):
    path = folder / "x.xml"
    path.write_text(text, encoding="utf-8")
    return list(iter_xml(path, options or ReadOptions()))


def test_the_values_are_origin_plus_scale_times_digits(tmp_path):
    (found,) = read(tmp_path, aecg_xml(COUNTS))
    np.testing.assert_allclose(found.values, COUNTS * 0.005, atol=1e-6)
    assert (found.channels, found.rate_hz, found.unit) == (STANDARD_12, 500.0, "mV")
    assert (found.record_id, found.subject_id) == ("x", "P7")
    assert found.labels == {"sex": "female"}
    shifted = aecg_xml(COUNTS).replace('<origin value="0"', '<origin value="100"')
    np.testing.assert_allclose(read(tmp_path, shifted)[0].values, COUNTS * 0.005 + 0.1, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "unit", "rate"), [("4", "ms", 250.0), ("0.00390625", "s", 256.0), ("2000", "us", 500)]
)
def test_the_rate_is_one_over_the_increment(tmp_path, value, unit, rate):
    text = aecg_xml(COUNTS).replace('value="0.002" unit="s"', f'value="{value}" unit="{unit}"')
    assert read(tmp_path, text)[0].rate_hz == rate


def test_every_sequence_set_is_a_recording_and_derived_beats_are_not(tmp_path):
    text = aecg_xml(COUNTS)
    series = re.search(r"<component><series>.*</series></component>", text)[0]
    beat = series.replace('"RHYTHM"', '"REPRESENTATIVE_BEAT"')
    found = read(tmp_path, text.replace(series, series + series + beat))
    assert [r.record_id for r in found] == ["x[0]", "x[1]"]
    with pytest.raises(FormatError, match="representative beats alone"):
        read(tmp_path, text.replace(series, beat))


def test_the_unit_is_judged_by_the_scale(tmp_path):
    with pytest.raises(DataError, match="looks like microvolt"):
        read(tmp_path, aecg_xml(COUNTS, unit="mV"))
    (found,) = read(tmp_path, aecg_xml(COUNTS, unit="mV"), ReadOptions(unit="uV"))
    np.testing.assert_allclose(found.values, COUNTS * 0.005, atol=1e-6)


def change(pattern, new, count=1):
    return lambda text: re.sub(pattern, new, text, count=count)


REFUSED = {
    "no time": change(r"TIME_ABSOLUTE", "SOMETHING"),
    "increment 0": change(r'value="0.002"', 'value="0"'),
    "increment negative": change(r'value="0.002"', 'value="-1"'),
    "increment nan": change(r'value="0.002"', 'value="nan"'),
    "increment unit": change(r'unit="s"', 'unit="fortnight"'),
    "no scale": change(r"<scale [^>]*>", ""),
    "scale 0": change(r'<scale value="5"', '<scale value="0"'),
    "no origin": change(r"<origin [^>]*>", ""),
    "origin in another unit": change(r'<origin value="0" unit="uV"', '<origin value="1" unit="mV"'),
    "text among digits": change(r"<digits>", "<digits>x "),
    "a digit more": change(r"<digits>", "<digits>1 "),
    "no digits": change(r"<digits>[^<]*</digits>", "<digits/>", 0),
    "no value": change(r'<value xsi:type="SLIST_PQ">.*?</value>', ""),
    "no lead": change(r"MDC_ECG_LEAD_\w+", "TIME_RELATIVE", 0),
    "lead twice": change(r"MDC_ECG_LEAD_II\b", "MDC_ECG_LEAD_I"),
    "other unit": change(r'unit="uV"', 'unit="kg"', 0),
    "other document": change(r"AnnotatedECG", "Other", 0),
    "cut": lambda text: text[:3000],
    "entity": lambda text: text.replace(
        "<AnnotatedECG", '<!DOCTYPE AnnotatedECG [<!ENTITY a "1">]><AnnotatedECG'
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_bad_documents_are_refused(tmp_path, row):
    with pytest.raises((FormatError, LeadError)):
        read(tmp_path, REFUSED[row](aecg_xml(COUNTS)))


def test_a_sequence_of_another_type_is_left_out_and_noted(tmp_path):
    text = aecg_xml(COUNTS).replace('xsi:type="SLIST_PQ"', 'xsi:type="LIST_BXIT"', 1)
    (found,) = read(tmp_path, text)
    assert found.channels == STANDARD_12[1:]
    assert found.notes == ("left out sequence MDC_ECG_LEAD_I: its values are of type LIST_BXIT",)
