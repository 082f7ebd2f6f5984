import io
import zipfile

import numpy as np
import pytest

from biojepa.data.arrays import iter_npy
from biojepa.data.leads import STANDARD_12
from biojepa.data.npy_header import parse_npy_header
from biojepa.data.tables import read_csv, read_npy, read_npz
from biojepa.errors import BiojepaError, DataError, FormatError, LeadError, PlausibilityWarning
from tests.conftest import real_data
from tests.data.test_wfdb_header import mutated

OPTIONS = {"leads": ["I", "II"], "rate_hz": 250.0}


def ecg(shape=(2, 400), dtype="f4"):
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(dtype)


def save(path, values):
    np.save(path, values)
    return path


def write_csv(path, values, *, header="I,II", mark=",", decimal=".", extra=None):
    """Write leads as columns, shape of values (n_channels, n_times)."""
    columns = [*([] if extra is None else [extra]), *values]
    rows = [
        mark.join(f"{number:.6f}".replace(".", decimal) for number in row)
        for row in zip(*columns, strict=True)
    ]
    path.write_text("\n".join([*([header] if header else []), *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_float_and_order_is_read(tmp_path, dtype, order):
    values = np.array(ecg((3, 2, 400)), dtype=dtype, order=order)
    found = read_npy(save(tmp_path / "x.npy", values), **OPTIONS)
    assert len(found) == 3
    for i, recording in enumerate(found):
        np.testing.assert_allclose(
            recording.values, values[i], rtol=1e-3 if dtype == "f2" else 1e-6
        )
        assert recording.values.dtype == np.float32
        assert recording.channels == ("I", "II")
        assert (recording.rate_hz, recording.unit) == (250.0, "mV")
    assert [r.record_id for r in found] == ["x[0]", "x[1]", "x[2]"]
    assert len({r.sha256 for r in found}) == 3


@pytest.mark.parametrize("dtype", ["i2", ">i2", "i4", "i8"])
def test_integers_in_microvolt_are_converted(tmp_path, dtype):
    values = (ecg() * 1000).astype(dtype)
    (found,) = read_npy(save(tmp_path / "x.npy", values), **OPTIONS, unit="uV")
    np.testing.assert_allclose(found.values, values / 1000, rtol=1e-5)
    with pytest.raises(DataError, match="pass unit='uV'"):
        read_npy(tmp_path / "x.npy", **OPTIONS)


@pytest.mark.parametrize("unit", ["adc", "arbitrary"])
def test_counts_and_arbitrary_numbers_stay_as_they_are(tmp_path, unit):
    values = (ecg() * 1e5).astype("i4")
    (found,) = read_npy(save(tmp_path / "x.npy", values), **OPTIONS, unit=unit)
    assert found.unit == unit
    np.testing.assert_array_equal(found.values, values)


def test_what_an_npy_file_cannot_say_is_asked_for(tmp_path):
    path = save(tmp_path / "x.npy", ecg())
    with pytest.raises(LeadError, match=r"pass leads=\[...\]"):
        read_npy(path, rate_hz=250)
    with pytest.raises(DataError, match="fs="):
        read_npy(path, leads=["I", "II"])
    with pytest.raises(LeadError, match="2 channels"):
        read_npy(path, leads=["I"], rate_hz=250)
    with pytest.raises(DataError, match="axes look swapped"):
        read_npy(save(tmp_path / "y.npy", ecg((8, 2))), leads=STANDARD_12[:8], rate_hz=250)


def test_gaps_are_noted_and_infinities_refused(tmp_path):
    values = ecg()
    values[0, :40] = np.nan
    with pytest.warns(PlausibilityWarning, match="missing"):
        (found,) = read_npy(save(tmp_path / "x.npy", values), **OPTIONS)
    assert "10.00%" in found.notes[0]
    values[1, 5] = np.inf
    with pytest.raises(FormatError, match="infinite values in II"):
        read_npy(save(tmp_path / "x.npy", values), **OPTIONS)


def test_records_are_handed_out_before_a_later_one_fails(tmp_path):
    values = ecg((2, 2, 400))
    values[1, 0] = np.nan
    records = iter_npy(save(tmp_path / "x.npy", values), **OPTIONS)
    np.testing.assert_array_equal(next(records).values, values[0])
    with pytest.raises(FormatError, match=r"x.npy\[1\]"):
        next(records)


def huge_shape(path):
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(2, 400)", b"(2, 99999999999)"))


H3 = {
    "object array": lambda p: np.save(p, np.array([[{}, None]], dtype=object), allow_pickle=True),
    "record array": lambda p: np.save(p, np.zeros((2, 400), dtype=[("a", "f4")])),
    "text": lambda p: np.save(p, np.full((2, 400), "abc")),
    "bool": lambda p: np.save(p, np.ones((2, 400), dtype=bool)),
    "complex": lambda p: np.save(p, np.ones((2, 400), dtype=complex)),
    "one axis": lambda p: np.save(p, np.ones(400)),
    "four axes": lambda p: np.save(p, np.ones((1, 1, 2, 400))),
    "no samples": lambda p: np.save(p, np.ones((2, 0))),
    "huge shape": huge_shape,
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "cut in header": lambda p: p.write_bytes(p.read_bytes()[:40]),
    "empty": lambda p: p.write_bytes(b""),
    "page": lambda p: p.write_bytes(b"<html>404</html>"),
    "code": lambda p: p.write_bytes(p.read_bytes().replace(b"(2, 400)", b"print(1)")),
    "slow pattern": lambda p: p.write_bytes(p.read_bytes().replace(b"(2, 400)", b"(" + b"1" * 50)),
}


@pytest.mark.parametrize("row", H3)
def test_h3_bad_npy_files_are_format_errors(tmp_path, row):
    path = save(tmp_path / "x.npy", ecg())
    H3[row](path)
    with pytest.raises(FormatError, match="x.npy"):
        read_npy(path, **OPTIONS)


def test_a_large_array_needs_a_larger_max_bytes(tmp_path):
    with pytest.raises(DataError, match="raise max_bytes"):
        read_npy(save(tmp_path / "x.npy", ecg()), **OPTIONS, max_bytes=3199)
    assert read_npy(tmp_path / "x.npy", **OPTIONS, max_bytes=3200)


@pytest.mark.filterwarnings("ignore::biojepa.errors.PlausibilityWarning")
def test_300_mutated_npy_files_raise_only_the_error_family(tmp_path):
    raw = save(tmp_path / "x.npy", ecg((2, 60))).read_bytes()
    rng = np.random.default_rng(20261123)
    n_refused = 0
    for _ in range(300):
        (tmp_path / "x.npy").write_bytes(mutated(raw[:128], rng) + raw[128:])
        try:
            found = read_npy(tmp_path / "x.npy", **OPTIONS, unit="arbitrary")
            assert all(r.values.shape[0] == 2 for r in found)
        except BiojepaError:
            n_refused += 1
    assert 50 < n_refused <= 300


@pytest.mark.filterwarnings("ignore::biojepa.errors.PlausibilityWarning")
def test_300_mutated_npz_files_raise_only_the_error_family(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=ecg((2, 60)), leads=["I", "II"], fs=250)
    raw = (tmp_path / "x.npz").read_bytes()
    rng = np.random.default_rng(20261124)
    n_refused = 0
    for _ in range(300):
        (tmp_path / "x.npz").write_bytes(mutated(raw, rng))
        try:
            read_npz(tmp_path / "x.npz", unit="arbitrary")
        except BiojepaError:
            n_refused += 1
    assert 100 < n_refused <= 300


def test_a_version_2_header_is_read():
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, ecg(), version=(2, 0))
    header = parse_npy_header(buffer.getvalue(), where="x")
    assert header.shape == (2, 400)
    assert header.data_offset + header.n_bytes == len(buffer.getvalue())


def test_an_npz_brings_its_names_rate_and_ids(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(
        path,
        X=ecg((2, 3, 400)),
        leads=["avr", "V2", "MLII"],
        fs=360,
        ecg_id=[17, 18],
        patient_id=[5, -1],
        valid=np.ones(2, dtype=bool),
    )
    found = read_npz(path)
    assert found[0].channels == ("aVR", "V2", "II")
    assert [r.rate_hz for r in found] == [360.0, 360.0]
    assert [r.record_id for r in found] == ["17", "18"]
    assert [r.subject_id for r in found] == ["5", None]
    assert "valid" in found[0].notes[0]


def test_an_npz_with_two_signal_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=ecg(), b=ecg())
    with pytest.raises(FormatError, match="save the signals as x"):
        read_npz(tmp_path / "x.npz", **OPTIONS)


def test_an_npz_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([[{}, 1]], dtype=object))
    with pytest.raises(FormatError, match="object"):
        read_npz(tmp_path / "x.npz", **OPTIONS)


def test_h3_an_npz_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros((2, 5_000_000), dtype="f4"))
    assert path.stat().st_size < 100_000
    with pytest.raises(FormatError, match="not unpacked"):
        read_npz(path, **OPTIONS)


def test_h3_the_arrays_of_an_npz_are_limited_together(tmp_path):
    np.savez(tmp_path / "x.npz", x=ecg(), y=ecg())
    with pytest.raises(DataError, match="raise max_bytes"):
        read_npz(tmp_path / "x.npz", **OPTIONS, max_bytes=5000)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>", bytes(1000)])
def test_what_is_no_archive_is_a_format_error(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(FormatError):
        read_npz(tmp_path / "x.npz", **OPTIONS)


def test_an_archive_of_other_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with pytest.raises(FormatError, match="only arrays"):
        read_npz(tmp_path / "x.npz", **OPTIONS)


def test_real_npz_of_z_scores_is_read_as_arbitrary():
    path = real_data("ecg/ptbxl_extra_unlabelled/ptbxl_extra_100hz_8lead_int16.npz")
    with pytest.raises(DataError, match="peak-to-peak"):
        read_npz(path)
    found = read_npz(path, unit="arbitrary")
    assert len(found) == 1783
    assert found[0].channels == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert found[0].rate_hz == 100.0


@pytest.mark.parametrize(
    ("mark", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), (" ", ".")]
)
def test_tables_with_any_usual_delimiter_are_read(tmp_path, mark, decimal):
    values = ecg()
    path = write_csv(tmp_path / "r.csv", values, header=f"i{mark}MLII", mark=mark, decimal=decimal)
    found = read_csv(path, rate_hz=250)
    assert found.channels == ("I", "II")
    np.testing.assert_allclose(found.values, values, atol=1e-6)
    assert (found.record_id, found.rate_hz, found.unit) == ("r", 250.0, "mV")


def test_a_byte_order_mark_comments_and_windows_line_ends_are_read(tmp_path):
    path = write_csv(tmp_path / "r.csv", ecg(), header="# made by a device\nI,II")
    expected = read_csv(path, rate_hz=250)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()[19:].replace(b"\n", b"\r\n"))
    found = read_csv(path, rate_hz=250)
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("time", 1),
        ("t", 1),
        ("s", 1),
        ("Time [s]", 1),
        ("ms", 1000),
        ("t (ms)", 1000),
        ("time_ms", 1000),
    ],
)
def test_a_time_column_gives_the_rate(tmp_path, name, step):
    time = np.arange(400) / 250 * step
    path = write_csv(tmp_path / "r.csv", ecg(), header=f"{name},I,II", extra=time)
    found = read_csv(path)
    assert found.rate_hz == 250.0
    assert found.channels == ("I", "II")
    assert read_csv(path, rate_hz=250).rate_hz == 250.0
    with pytest.raises(DataError, match="drop one"):
        read_csv(path, rate_hz=500)


def test_times_rounded_to_milliseconds_give_the_rate(tmp_path):
    time = np.round(np.arange(400) / 360, 3)
    path = write_csv(tmp_path / "r.csv", ecg(), header="t,I,II", extra=time)
    assert read_csv(path).rate_hz == pytest.approx(360, abs=0.5)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (np.arange(400) * 2.0, "milliseconds"),
        (np.arange(400) ** 2 / 1e4, "not regular"),
        (np.zeros(400), "no rising time"),
    ],
)
def test_a_time_column_that_cannot_be_one_is_refused(tmp_path, time, message):
    path = write_csv(tmp_path / "r.csv", ecg(), header="time,I,II", extra=time)
    with pytest.raises(DataError, match=message):
        read_csv(path)


def test_a_column_that_counts_rows_is_left_out(tmp_path):
    path = write_csv(tmp_path / "r.csv", ecg(), header=",I,II", extra=np.arange(400))
    found = read_csv(path, rate_hz=250)
    assert found.channels == ("I", "II")
    assert "counts the rows" in found.notes[0]


@pytest.mark.parametrize(
    ("header", "factor"), [("I [mV],II [mV]", 1), ("I (uV),II (uV)", 1e3), ("I [V],II", 1e-3)]
)
def test_units_in_the_header_row_are_used(tmp_path, header, factor):
    path = write_csv(tmp_path / "r.csv", ecg() * factor, header=header)
    np.testing.assert_allclose(read_csv(path, rate_hz=250).values, ecg(), atol=2e-3)


def test_without_a_header_row_leads_are_asked_for(tmp_path):
    path = write_csv(tmp_path / "r.csv", ecg(), header="")
    with pytest.raises(LeadError, match="expected 2 lead names, got none: pass leads="):
        read_csv(path, rate_hz=250)
    assert read_csv(path, leads=["V1", "V2"], rate_hz=250).channels == ("V1", "V2")
    with pytest.raises(LeadError, match="got 3"):
        read_csv(path, leads=["I", "II", "III"], rate_hz=250)


def test_a_missing_rate_is_asked_for(tmp_path):
    with pytest.raises(DataError, match="fs="):
        read_csv(write_csv(tmp_path / "r.csv", ecg()))


def test_empty_cells_are_missing_samples(tmp_path):
    path = tmp_path / "r.csv"
    rows = [f"{a:.3f},{b:.3f}" for a, b in ecg().T]
    rows[3], rows[5] = ",0.1", "nan,0.1"
    path.write_text("I,II\n" + "\n".join(rows))
    with pytest.warns(PlausibilityWarning, match="missing"):
        found = read_csv(path, rate_hz=250)
    assert np.flatnonzero(np.isnan(found.values[0])).tolist() == [3, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("I,II\n0.1,0.2\n0.1,abc\n", "row 3, column 2: expected a number, got 'abc'"),
        ("I,II\n0.1,0.2\n0.1\n", "row 3: expected 2 cells, got 1"),
        ("I,II\n0.1,0.2\n0.1,0.2,0.3\n", "row 3: expected 2 cells, got 3"),
        ("I,II\n0.1,0.2\n0.1,inf\n", "infinite"),
        ("I,II\n1_000,0.2\n", "row 2, column 1: expected a number"),
        ("0.1,abc\n0.1,0.2\n", "row 1: expected a row of names or a row of numbers"),
        ("I,II\n", "rows of numbers"),
        ("", "empty"),
        ("I,II\n1,2\0\n", "binary"),
        ("I,i\n0.1,0.2\n", "both mean lead I"),
    ],
)
def test_a_bad_table_is_refused_with_the_row(tmp_path, content, message):
    (tmp_path / "r.csv").write_text(content)
    with pytest.raises((FormatError, LeadError), match=message):
        read_csv(tmp_path / "r.csv", rate_hz=250)


def test_a_large_table_is_refused_before_it_is_read(tmp_path):
    with pytest.raises(DataError, match="max_bytes"):
        read_csv(write_csv(tmp_path / "r.csv", ecg()), rate_hz=250, max_bytes=100)


@pytest.mark.filterwarnings("ignore::biojepa.errors.PlausibilityWarning")
def test_150_mutated_tables_raise_only_the_error_family(tmp_path):
    raw = write_csv(
        tmp_path / "r.csv", ecg((2, 20)), header="t,I [mV],II", extra=np.arange(20) / 250
    )
    data = raw.read_bytes()
    rng = np.random.default_rng(3)
    n_refused = 0
    for _ in range(150):
        raw.write_bytes(mutated(data, rng))
        try:
            read_csv(raw, unit="arbitrary")
        except BiojepaError:
            n_refused += 1
    assert 50 < n_refused <= 150
