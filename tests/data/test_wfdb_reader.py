import hashlib
import os
import socket
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import wfdb

from biojepa.data import wfdb_header
from biojepa.data.leads import STANDARD_12
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.errors import BiojepaError, ConfigError, DataError, FormatError, PlausibilityWarning
from tests.conftest import real_data
from tests.data.test_wfdb_header import mutated

UPPER_12 = [name.upper() for name in STANDARD_12]


def signals(n_times=500, n_leads=12, seed=0):
    """Millivolt with a peak-to-peak of about 1.5, shape (n_times, n_leads)."""
    return np.random.default_rng(seed).normal(0, 0.3, (n_times, n_leads)).clip(-0.6, 0.6)


def wrsamp(name, **arguments):
    """Let wfdb write a record; its use of pandas is not ours to warn about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb.wrsamp(name, **arguments)


def write(folder, *, name="r1", fmt="16", values=None, leads=None, gain=200.0, baseline=0):
    values = signals() if values is None else values
    n_leads = values.shape[1]
    wrsamp(
        name,
        fs=500,
        units=["mV"] * n_leads,
        sig_name=UPPER_12[:n_leads] if leads is None else leads,
        p_signal=values,
        fmt=[fmt] * n_leads,
        adc_gain=[gain] * n_leads,
        baseline=[baseline] * n_leads,
        write_dir=str(folder),
    )
    return folder / name


def edit(record, old, new, *, count=-1):
    """Change the text of a record's header."""
    header = record.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new, count))


def assert_equals_wfdb(recording, record):
    expected = wfdb.rdrecord(str(record)).p_signal.T
    np.testing.assert_array_equal(np.isnan(recording.values), np.isnan(expected))
    np.testing.assert_allclose(recording.values, expected, rtol=0, atol=1e-6)


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


def test_a_record_without_length_is_as_long_as_its_file(tmp_path):
    record = write(tmp_path)
    edit(record, "r1 12 500 500", "r1 12 500")
    assert_equals_wfdb(read_wfdb(record), record)


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


def test_w11_lower_case_and_reordered_leads_keep_their_names(tmp_path):
    record = write(tmp_path, values=signals(500, 3), leads=["v2", "avr", "MLII"])
    assert read_wfdb(record).channels == ("V2", "aVR", "II")


def test_w12_a_lead_that_is_mostly_missing_is_refused(tmp_path):
    values = signals(400, 2)
    values[:300, 1] = np.nan
    with pytest.raises(FormatError, match=r"II \(75%\)"):
        read_wfdb(write(tmp_path, values=values))


def test_w16_suffixes_of_the_path_do_not_matter(tmp_path):
    record = write(tmp_path)
    expected = read_wfdb(record)
    for suffix in (".hea", ".dat", ".mat"):
        found = read_wfdb(str(record) + suffix)
        np.testing.assert_array_equal(found.values, expected.values)
        assert found.source == expected.source


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
