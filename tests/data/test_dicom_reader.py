import sys
import tracemalloc

import numpy as np
import pytest

from biojepa.data.assemble import ReadOptions
from biojepa.data.dicom_reader import read_dicom
from biojepa.data.files import find_records, read_record
from biojepa.data.leads import STANDARD_12
from biojepa.errors import DataError, FormatError, LeadError, MissingDependencyError
from tests.data.format_factory import twelve_counts, write_dicom

pydicom = pytest.importorskip("pydicom")
COUNTS = twelve_counts()


def test_x2_the_12_lead_rhythm_is_picked_and_the_rest_named(tmp_path):
    found = read_dicom(write_dicom(tmp_path / "x.dcm", COUNTS))
    np.testing.assert_allclose(found.values, COUNTS * 0.005, atol=1e-6)
    assert (found.channels, found.rate_hz, found.unit) == (STANDARD_12, 500.0, "mV")
    assert (found.subject_id, found.labels) == ("P7", {"age": 47, "sex": "female"})
    (note,) = found.notes
    assert (
        note == "left out waveform group 1 (MEDIAN BEAT): 12 channels of 600 samples at 1000.0 Hz"
    )


def test_the_values_are_those_of_pydicom(tmp_path):
    path = write_dicom(tmp_path / "x.dcm", COUNTS)
    theirs = pydicom.dcmread(path).waveform_array(1).T / 1000
    np.testing.assert_allclose(read_dicom(path).values, theirs, atol=1e-6)


@pytest.mark.parametrize(("unit", "size"), [("uV", 1e-3), ("mV", 1.0), ("V", 1e3)])
def test_the_unit_is_that_of_the_sensitivity(tmp_path, unit, size):
    path = write_dicom(tmp_path / "x.dcm", COUNTS, unit=unit)
    if unit != "uV":
        with pytest.raises(DataError, match="peak-to-peak"):
            read_dicom(path)
    found = read_dicom(path, ReadOptions(scale_check=False))
    np.testing.assert_allclose(found.values, COUNTS * 5 * size, rtol=1e-5)


def test_x2_a_missing_sensitivity_is_an_error_or_arbitrary(tmp_path):
    path = write_dicom(tmp_path / "x.dcm", COUNTS, unit=None)
    with pytest.raises(FormatError, match="ChannelSensitivity of lead I"):
        read_dicom(path)
    found = read_dicom(path, ReadOptions(unit="arbitrary"))
    np.testing.assert_array_equal(found.values, COUNTS)
    assert found.unit == "arbitrary"


def edit(path, change):
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    return path


def group(dataset):
    return dataset.WaveformSequence[1]


def channel(dataset):
    return group(dataset).ChannelDefinitionSequence[0]


def test_baseline_correction_and_padding_are_applied(tmp_path):
    def change(dataset):
        channel(dataset).ChannelBaseline = 100
        channel(dataset).ChannelSensitivityCorrectionFactor = 2
        group(dataset).add_new((0x5400, 0x100A), "OW", np.int16(COUNTS[1, 7]).tobytes())

    path = edit(write_dicom(tmp_path / "x.dcm", COUNTS), change)
    with pytest.warns(UserWarning, match="missing samples"):
        found = read_dicom(path)
    there = COUNTS[0] != COUNTS[1, 7]
    np.testing.assert_allclose(found.values[0, there], COUNTS[0, there] * 0.01 + 0.1, atol=1e-6)
    assert np.isnan(found.values[1, 7])


def test_leads_are_named_by_code_meaning_or_label(tmp_path):
    def change(dataset):
        channels = group(dataset).ChannelDefinitionSequence
        channels[0].ChannelSourceSequence[0].CodeValue = "2:1"
        channels[1].ChannelSourceSequence[0].CodeValue = "MDC_ECG_LEAD_II"
        channels[2].ChannelSourceSequence[0].CodeValue = "local"
        channels[2].ChannelSourceSequence[0].CodeMeaning = "Lead III (Einthoven)"
        del channels[3].ChannelSourceSequence
        channels[3].ChannelLabel = "aVR"

    path = edit(write_dicom(tmp_path / "x.dcm", COUNTS), change)
    assert read_dicom(path).channels == STANDARD_12


def test_files_without_a_suffix_are_found(tmp_path):
    write_dicom(tmp_path / "IM0001", COUNTS)
    write_dicom(tmp_path / "1.2.840.10008", COUNTS)
    write_dicom(tmp_path / "DICOMDIR", COUNTS)
    (tmp_path / "README").write_text("x")
    (tmp_path / "notes.7").write_text("x")
    assert [p.name for p in find_records([tmp_path])] == ["1.2.840.10008", "IM0001"]
    assert read_record(tmp_path / "IM0001").channels == STANDARD_12


def set_value(name, value, of=group):
    return lambda dataset: setattr(of(dataset), name, value)


REFUSED = {
    "no waveform": lambda dataset: delattr(dataset, "WaveformSequence"),
    "samples": set_value("NumberOfWaveformSamples", 999999999),
    "no samples": set_value("NumberOfWaveformSamples", 0),
    "channels": set_value("NumberOfWaveformChannels", 13),
    "interpretation": set_value("WaveformSampleInterpretation", "MB"),
    "bits": set_value("WaveformBitsAllocated", 24),
    "rate 0": set_value("SamplingFrequency", 0),
    "rate negative": set_value("SamplingFrequency", -500),
    "no rate": lambda dataset: delattr(group(dataset), "SamplingFrequency"),
    "no data": lambda dataset: delattr(group(dataset), "WaveformData"),
    "no definitions": lambda dataset: delattr(group(dataset), "ChannelDefinitionSequence"),
    "sensitivity 0": set_value("ChannelSensitivity", 0, channel),
    "unit": lambda dataset: setattr(
        channel(dataset).ChannelSensitivityUnitsSequence[0], "CodeValue", "mm[Hg]"
    ),
    "lead twice": lambda dataset: setattr(
        channel(dataset).ChannelSourceSequence[0], "CodeValue", "5.6.3-9-2"
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_bad_objects_are_refused(tmp_path, row):
    path = write_dicom(tmp_path / "x.dcm", COUNTS)
    with pytest.raises((FormatError, DataError, LeadError)):
        read_dicom(edit(path, REFUSED[row]))


def test_other_and_damaged_files_are_refused(tmp_path):
    path = write_dicom(tmp_path / "x.dcm", COUNTS)
    raw = path.read_bytes()
    deflated = b"1.2.840.10008.1.2.1.99"
    plain = b"1.2.840.10008.1.2.1\0"
    for damaged in (b"", raw[:131], raw[:140], raw[:300], raw[: len(raw) // 2], b"x" * 4000):
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            read_dicom(path)
    at = raw.index(plain) - 2
    changed = raw[:at] + len(deflated).to_bytes(2, "little") + deflated + raw[at + 2 + len(plain) :]
    path.write_bytes(changed)
    with pytest.raises(FormatError, match="deflated"):
        read_dicom(path)
    with pytest.raises(DataError, match="max_bytes"):
        read_dicom(write_dicom(path, COUNTS), ReadOptions(max_bytes=100))


def test_a_length_beyond_the_file_is_not_allocated(tmp_path):
    path = write_dicom(tmp_path / "x.dcm", COUNTS)
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"\x00\x54\x10\x10OW") + 8  # the length of the samples
    raw[at : at + 4] = b"\xf0\xff\xff\xff"
    path.write_bytes(raw[:-100])
    tracemalloc.start()
    with pytest.raises(FormatError):
        read_dicom(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


def test_a_number_of_a_wrong_length_is_damage(tmp_path):
    path = write_dicom(tmp_path / "x.dcm", COUNTS)
    raw = bytearray(path.read_bytes())
    raw[132 + 6 : 132 + 8] = (3).to_bytes(2, "little")  # of the length of the meta group, 4 bytes
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="damaged"):
        read_dicom(path)


def test_other_syntaxes_are_refused(tmp_path):
    path = write_dicom(tmp_path / "x.dcm", COUNTS)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.4\0"))
    with pytest.raises(FormatError, match="transfer syntax 1.2.840.10008.1.2.4"):
        read_dicom(path)


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "x.dcm", COUNTS)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "biojepa\[formats\]"'):
        read_dicom(path)
