from __future__ import annotations

import edfio
import numpy as np
import pytest

from biojepa.data.assemble import ReadOptions
from biojepa.data.edf_reader import read_edf
from biojepa.errors import DataError, FormatError, LeadError, PlausibilityWarning
from tests.conftest import real_data
from tests.data.format_factory import ecg_counts, edf_bytes

LABELS = ["ECG I", "ECG II", "ECG V1"]


def write(folder, content, name="x.edf"):
    path = folder / name
    path.write_bytes(content)
    return path


def file_of(folder, **changes):
    return write(folder, edf_bytes(ecg_counts(3), **{"labels": LABELS} | changes))


@pytest.mark.parametrize("width", [2, 3])
def test_the_values_are_those_that_were_written(tmp_path, width):
    counts = ecg_counts(3)
    found = read_edf(write(tmp_path, edf_bytes(counts, labels=LABELS, width=width)))
    np.testing.assert_allclose(found.values, counts * 0.005, atol=1e-4)
    assert found.channels == ("I", "II", "V1")
    assert (found.rate_hz, found.unit, found.record_id) == (500.0, "mV", "x")
    assert found.notes == ()
    assert len(found.sha256) == 64


def test_a_file_of_another_program_gives_its_values(tmp_path):
    values = ecg_counts(2) * 0.005
    edf = edfio.Edf(
        [
            edfio.EdfSignal(row, 500.0, label=label, physical_dimension="mV")
            for row, label in zip(values, ["ECG II", "ECG V5"], strict=True)
        ],
        annotations=[edfio.EdfAnnotation(0.5, None, "beat")],
        patient=edfio.Patient(code="P7", sex="F"),
    )
    edf.write(tmp_path / "x.edf")
    found = read_edf(tmp_path / "x.edf")
    np.testing.assert_allclose(found.values, values, atol=1e-4)
    assert (found.channels, found.subject_id, found.labels) == (
        ("II", "V5"),
        "P7",
        {"sex": "female"},
    )


def test_ecg_is_picked_by_type_and_the_rest_is_named(tmp_path):
    counts = [*ecg_counts(2), ecg_counts(1, 200)[0], ecg_counts(1)[0]]
    labels = ["EKG II-Ref", "ECG V5", "Resp chest", "EEG Fp1"]
    content = edf_bytes(counts, labels=labels, rate_hz=[500, 500, 100, 500])
    found = read_edf(write(tmp_path, content))
    assert found.channels == ("II", "V5")
    assert "no ECG: Resp chest, EEG Fp1" in found.notes[0]
    assert "different rates (100, 500 Hz)" in found.notes[1]


def test_channels_without_a_type_are_taken_and_named(tmp_path):
    found = read_edf(file_of(tmp_path, labels=["Channel A", "EEG Cz", "Ch2"]))
    assert found.channels == ("Channel A", "Ch2")
    assert "no channel is called ECG: took Channel A, Ch2" in found.notes
    renamed = read_edf(tmp_path / "x.edf", ReadOptions(leads=["I", "II"]))
    assert renamed.channels == ("I", "II")
    with pytest.raises(LeadError, match="expected 2 lead names, got 1"):
        read_edf(tmp_path / "x.edf", ReadOptions(leads=["I"]))


def test_ecg_channels_of_different_rates_are_refused(tmp_path):
    counts = [ecg_counts(1)[0], ecg_counts(1, 400)[0]]
    content = edf_bytes(counts, labels=["ECG I", "ECG II"], rate_hz=[500, 200])
    with pytest.raises(DataError, match="I 500, ECG II 200"):
        read_edf(write(tmp_path, content))


def test_units_differ_by_channel(tmp_path):
    counts = ecg_counts(3)
    mixed = read_edf(file_of(tmp_path, units=["uV", "mV", "uV"]))
    np.testing.assert_allclose(mixed.values[1], counts[1] * 5.0, atol=0.1)
    with pytest.raises(DataError, match="different units"):
        read_edf(file_of(tmp_path, units=["uV", "adc", "uV"]))
    found = read_edf(file_of(tmp_path, units=["\xb5V", "uV", "mmHg"], labels=["I", "II", "ECG x"]))
    np.testing.assert_allclose(found.values, counts[:2] * 0.005, atol=1e-4)
    assert "'mmHg', not a voltage" in found.notes[0]
    with pytest.raises(FormatError, match="lead V1"):
        read_edf(file_of(tmp_path, units=["uV", "uV", "mmHg"], labels=["I", "II", "V1"]))


@pytest.mark.parametrize("unit", ["", "mV"])
def test_e5_a_blank_or_wrong_unit_is_found_by_the_scale(tmp_path, unit):
    path = file_of(tmp_path, units=unit)
    with pytest.raises(DataError, match="looks like microvolt: pass unit='uV'"):
        read_edf(path)
    found = read_edf(path, ReadOptions(unit="uV"))
    np.testing.assert_allclose(found.values, ecg_counts(3) * 0.005, atol=1e-4)


def test_e1_a_cut_file_is_an_error_unless_it_is_allowed(tmp_path):
    content = edf_bytes(ecg_counts(3, 2000), labels=LABELS)
    path = write(tmp_path, content[:-4000])
    with pytest.raises(FormatError, match="expected 4 records .*allow_truncated=True"):
        read_edf(path)
    with pytest.warns(PlausibilityWarning, match="2 of 4 records"):
        found = read_edf(path, ReadOptions(allow_truncated=True))
    np.testing.assert_allclose(found.values, ecg_counts(3, 2000)[:, :1000] * 0.005, atol=1e-4)
    with pytest.raises(FormatError, match="at least one record of 3000 bytes"):
        read_edf(write(tmp_path, content[:1100]), ReadOptions(allow_truncated=True))


def test_e2_an_unknown_number_of_records_follows_from_the_size(tmp_path):
    with pytest.warns(PlausibilityWarning, match="does not say how many records"):
        found = read_edf(file_of(tmp_path, n_records=-1))
    assert found.n_times == 1000
    with pytest.raises(FormatError, match="99999999 records"):
        read_edf(file_of(tmp_path, n_records=99999999))
    with pytest.warns(PlausibilityWarning, match="3000 bytes more"):
        assert read_edf(file_of(tmp_path, n_records=1)).n_times == 500


def test_e2_records_of_no_length_need_a_rate(tmp_path):
    path = file_of(tmp_path, duration="0")
    with pytest.raises(DataError, match="no sampling rate"):
        read_edf(path)
    with pytest.warns(PlausibilityWarning, match="lasts 0 s"):
        assert read_edf(path, ReadOptions(rate_hz=250.0)).rate_hz == 250.0


def patch(at, new):
    return lambda content: content[:at] + new + content[at + len(new) :]


# rows E2 and E3 of the catalogue of bad input: what is done to the file
REFUSED = {
    "E2 nan": patch(244, b"nan     "),
    "E2 negative": patch(244, b"-1      "),
    "E2 records": patch(236, b"-2      "),
    "E2 no records": patch(236, b"0       "),
    "E3 no channels": patch(252, b"0   "),
    "E3 negative channels": patch(252, b"-1  "),
    "E3 many channels": patch(252, b"9999"),
    "E3 text": patch(252, b"abcd"),
    "E3 header size": patch(184, b"512     "),
    "E3 physical": patch(256 + 3 * 104, b"low     "),
    "E3 same physical": patch(256 + 3 * 104, b"7       " * 6),
    "E3 infinite": patch(256 + 3 * 104, b"-inf    "),
    "E3 digital": patch(256 + 3 * 120, b"9       " * 6),
    "E3 huge samples": patch(256 + 3 * 216, b"99999999" * 3),
    "E3 no samples": patch(256 + 3 * 216, b"0       " * 3),
    "E3 header only": lambda content: content[: 256 * 4],
    "E3 half a header": lambda content: content[:300],
    "E3 empty": lambda content: b"",
    "E3 random": lambda content: np.random.default_rng(0).bytes(5000),
    "E6 twice": lambda content: content.replace(b"ECG II", b"ECG I "),
}


@pytest.mark.parametrize("row", REFUSED)
def test_bad_files_are_refused(tmp_path, row):
    content = edf_bytes(ecg_counts(3), labels=LABELS)
    with pytest.raises((FormatError, LeadError)):
        read_edf(write(tmp_path, REFUSED[row](content)))


def test_a_file_larger_than_allowed_is_refused_before_it_is_read(tmp_path):
    with pytest.raises(DataError, match="more than max_bytes=1000"):
        read_edf(file_of(tmp_path), ReadOptions(max_bytes=1000))


def test_a_negative_gain_is_said(tmp_path):
    content = edf_bytes(ecg_counts(3), labels=LABELS)
    at = 256 + 3 * 104
    low, high = content[at : at + 24], content[at + 24 : at + 48]
    path = write(tmp_path, content.replace(low + high, high + low))
    with pytest.warns(PlausibilityWarning, match="turned over"):
        found = read_edf(path)
    np.testing.assert_allclose(found.values, -ecg_counts(3) * 0.005, atol=6e-3)


def marks(starts):
    texts = [f"+{start:g}\x14\x14\0".encode().ljust(40, b"\0") for start in starts]
    return np.frombuffer(b"".join(texts), dtype=np.uint8)


@pytest.mark.parametrize(("starts", "fails"), [((0, 1), False), ((0, 5), True)])
def test_a_discontinuous_file_is_read_if_it_has_no_gap(tmp_path, starts, fails):
    content = edf_bytes(
        [*ecg_counts(2), marks(starts)],
        labels=["ECG I", "ECG II", "EDF Annotations"],
        rate_hz=[500, 500, 40],
        reserved="EDF+D",
    )
    # 40 bytes a record are 20 samples of annotations
    at = 256 + 3 * 216 + 2 * 8
    path = write(tmp_path, content[:at] + b"20      " + content[at + 8 :])
    if fails:
        with pytest.raises(FormatError, match="got 4.000 s after record 1"):
            read_edf(path)
    else:
        assert read_edf(path).values.shape == (2, 1000)


def test_real_eeg_is_not_taken_for_ecg():
    path = next(real_data("eeg/eegmmidb").rglob("*.edf"))
    with pytest.raises(FormatError, match="expected an ECG channel"):
        read_edf(path)
