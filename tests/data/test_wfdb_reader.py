"""WFDB records have the values of wfdb, with leads by name, millivolt and labels."""

import hashlib

import numpy as np
import pytest
import wfdb

from biojepa.data.leads import STANDARD_12
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.errors import DataError, FormatError, PlausibilityWarning
from tests.conftest import real_data
from tests.data.wfdb_factory import assert_equals_wfdb, edit, signals, write, wrsamp


@pytest.mark.parametrize("fmt", ["16", "212", "80", "24", "32"])
@pytest.mark.parametrize(("n_times", "n_leads"), [(500, 12), (501, 3), (499, 1)])
def test_every_format_has_the_values_of_wfdb(tmp_path, fmt, n_times, n_leads):
    gain, baseline = (100.0, -7) if fmt == "80" else (1000.0, 12)
    record = write(
        tmp_path, fmt=fmt, values=signals(n_times, n_leads), gain=gain, baseline=baseline
    )
    recording = read_wfdb(record)
    assert recording.values.dtype == np.float32
    assert recording.values.shape == (n_leads, n_times)
    assert recording.channels == STANDARD_12[:n_leads]
    assert (recording.rate_hz, recording.unit, recording.record_id) == (500.0, "mV", "r1")
    assert_equals_wfdb(recording, record)


@pytest.mark.parametrize("fmt", ["16", "212", "80", "24", "32"])
def test_extreme_counts_of_every_format_are_decoded(tmp_path, fmt):
    bits = {"16": 16, "212": 12, "80": 8, "24": 24, "32": 32}[fmt]
    top = 2 ** (bits - 1) - 1
    counts = np.array([[-top, top, -1, 0, 1], [5, -top, top, -2, 3]]).T
    wrsamp(
        "r1",
        fs=500,
        units=["mV"] * 2,
        sig_name=["I", "II"],
        d_signal=counts,
        fmt=[fmt] * 2,
        adc_gain=[1.0] * 2,
        baseline=[0] * 2,
        write_dir=str(tmp_path),
    )
    recording = read_wfdb(tmp_path / "r1", scale_check=False)
    np.testing.assert_array_equal(recording.values, counts.T.astype(np.float32))


def test_leads_in_several_files_and_a_byte_offset(tmp_path):
    values = (signals(400, 3) * 1000).astype("<i2")
    values[:, :2].tofile(tmp_path / "r1.dat")
    (tmp_path / "r1.xyz").write_bytes(b"\0" * 24 + values[:, 2:].tobytes())
    sums = [int(column.sum()) % 65536 for column in values.T.astype(int)]
    (tmp_path / "r1.hea").write_text(
        "r1 3 500 400\n"
        f"r1.dat 16 1000 16 0 0 {sums[0]} 0 i\n"
        f"r1.dat 16 1000 16 0 0 {sums[1]} 0 ii\n"
        f"r1.xyz 16+24 1000 16 0 0 {sums[2] - 65536} 0 vx\n"
    )
    recording = read_wfdb(tmp_path / "r1", digest=True)
    assert recording.channels == ("I", "II", "vx")
    np.testing.assert_allclose(recording.values, values.T / 1000, atol=1e-6)
    on_disk = values[:, :2].tobytes() + values[:, 2:].tobytes()
    assert recording.sha256 == hashlib.sha256(on_disk).hexdigest()


def test_several_samples_per_frame_raise_the_rate(tmp_path):
    frames = (signals(100, 4) * 1000).astype("<i2")  # two leads of two samples each
    frames.tofile(tmp_path / "r1.dat")
    line = "r1.dat 16x2 1000 16 0 0 {} 0 {}\n"
    sums = [int(frames[:, :2].sum()) % 65536, int(frames[:, 2:].sum()) % 65536]
    text = "r1 2 250 100\n" + line.format(sums[0], "I") + line.format(sums[1], "II")
    (tmp_path / "r1.hea").write_text(text)
    recording = read_wfdb(tmp_path / "r1")
    assert recording.rate_hz == 500.0
    expected = wfdb.rdrecord(str(tmp_path / "r1"), smooth_frames=False).e_p_signal
    np.testing.assert_allclose(recording.values, expected, atol=1e-6)
    (tmp_path / "r1.hea").write_text(text.replace("16x2", "16x3", 1))
    with pytest.raises(FormatError, match="different rates"):
        read_wfdb(tmp_path / "r1")


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1e-3), ("V", 1e3), ("mv/nd", 1), ("µV", 1e-3)])
def test_units_are_converted_lead_by_lead(tmp_path, unit, factor):
    record = write(tmp_path, values=signals(500, 3))
    before = read_wfdb(record).values
    edit(record, "/mV", f"/{unit}", count=1)
    after = read_wfdb(record, scale_check=False).values
    np.testing.assert_allclose(after[0], before[0] * factor, rtol=1e-5)
    np.testing.assert_array_equal(after[1:], before[1:])


def test_a_channel_without_a_voltage_is_left_out_and_noted(tmp_path):
    record = write(tmp_path, values=signals(500, 3), leads=["I", "ABP", "II"])
    text = record.with_suffix(".hea").read_text().splitlines()
    text[2] = text[2].replace("/mV", "/mmHg")
    record.with_suffix(".hea").write_text("\n".join(text))
    recording = read_wfdb(record)
    assert recording.channels == ("I", "II")
    assert "ABP" in recording.notes[0]
    text[1] = text[1].replace("/mV", "/mmHg")
    record.with_suffix(".hea").write_text("\n".join(text))
    with pytest.raises(FormatError, match="lead I,.*unit='mV'"):
        read_wfdb(record)


def test_a_given_unit_replaces_that_of_the_header(tmp_path):
    record = write(tmp_path)
    edit(record, "/mV", "/uV")
    expected = wfdb.rdrecord(str(record)).p_signal.T
    with pytest.raises(DataError, match="looks like millivolt: pass unit='mV'"):
        read_wfdb(record)
    np.testing.assert_allclose(read_wfdb(record, unit="mV").values, expected, atol=1e-6)
    arbitrary = read_wfdb(record, unit="arbitrary")
    np.testing.assert_allclose(arbitrary.values, expected, atol=1e-6)
    assert arbitrary.unit == "arbitrary"
    with pytest.raises(DataError, match="gain"):
        read_wfdb(record, unit="adc")


@pytest.mark.parametrize("fmt", ["16", "212", "80", "24", "32"])
def test_the_code_of_a_missing_sample_becomes_nan(tmp_path, fmt):
    values = signals(400, 2)
    values[:100, 0] = np.nan
    record = write(tmp_path, fmt=fmt, values=values, gain=100.0)
    with pytest.warns(PlausibilityWarning, match=r"missing samples in I \(25.00%\)"):
        recording = read_wfdb(record)
    assert_equals_wfdb(recording, record)
    assert "missing" in recording.notes[0]


def test_comments_become_labels(tmp_path):
    record = write(tmp_path)
    with open(record.with_suffix(".hea"), "a") as stream:
        stream.write("# Age: 78\n#Sex: F\n# Dx: 426177001,67741000119109\n# Rx: Unknown\n# x\n")
    assert read_wfdb(record).labels == {
        "age": 78,
        "sex": "female",
        "dx": ["426177001", "67741000119109"],
        "rx": "Unknown",
    }


@pytest.mark.parametrize("age", ["NaN", "Unknown", "inf"])
def test_an_unknown_age_is_none(tmp_path, age):
    record = write(tmp_path)
    with open(record.with_suffix(".hea"), "a") as stream:
        stream.write(f"# Age: {age}\n")
    assert read_wfdb(record).labels == {"age": None}


def test_a_record_without_length_is_as_long_as_its_file(tmp_path):
    record = write(tmp_path)
    edit(record, "r1 12 500 500", "r1 12 500")
    assert_equals_wfdb(read_wfdb(record), record)


def test_w11_lower_case_and_reordered_leads_keep_their_names(tmp_path):
    record = write(tmp_path, values=signals(500, 3), leads=["v2", "avr", "MLII"])
    assert read_wfdb(record).channels == ("V2", "aVR", "II")


def test_w16_suffixes_of_the_path_do_not_matter(tmp_path):
    record = write(tmp_path)
    expected = read_wfdb(record)
    for suffix in (".hea", ".dat", ".mat"):
        found = read_wfdb(str(record) + suffix)
        np.testing.assert_array_equal(found.values, expected.values)
        assert found.source == expected.source


@pytest.mark.parametrize(
    ("pattern", "n_files"),
    [
        ("ecg/ptbxl/records*/00000/*.hea", 40),
        ("ecg/cinc2021_sample/*.hea", 10),
        ("ecg/ptbdb_sample/*.hea", 1),
    ],
)
def test_real_records_have_the_values_of_wfdb(pattern, n_files):
    root = real_data(pattern.split("/*")[0].rsplit("/records", 1)[0])
    headers = sorted(root.glob(pattern.removeprefix("ecg/").split("/", 1)[1]))
    assert len(headers) >= n_files
    for header in headers[:: max(1, len(headers) // n_files)][:n_files]:
        recording = read_wfdb(header)
        assert recording.channels[:12] == STANDARD_12
        assert_equals_wfdb(recording, header.with_suffix(""))


def test_real_ptb_has_fifteen_leads_of_two_files():
    recording = read_wfdb(real_data("ecg/ptbdb_sample/s0010_re.hea"))
    assert recording.channels == (*STANDARD_12, "vx", "vy", "vz")
    assert (recording.rate_hz, recording.n_times) == (1000.0, 38400)
    assert recording.labels["age"] == 81
    assert recording.labels["sex"] == "female"


def test_real_cinc_diagnoses_are_lists_of_codes():
    recording = read_wfdb(real_data("ecg/cinc2021_sample/E07500.hea"))
    assert recording.labels["dx"] == ["67741000119109", "426177001"]
    assert (recording.labels["age"], recording.labels["sex"]) == (78, "male")
