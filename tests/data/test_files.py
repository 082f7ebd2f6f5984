import csv
import json
import warnings

import numpy as np
import pytest
import wfdb

from biojepa.data.describe import describe_file
from biojepa.data.files import find_records, read_ecg, read_many, read_record
from biojepa.data.skips import SkipReport
from biojepa.errors import ConfigError, DataError, FormatError, LeadError
from tests.conftest import real_data


def ecg(n_leads=2, n_times=400, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, (n_leads, n_times))


def write_wfdb(folder, name, values=None):
    folder.mkdir(parents=True, exist_ok=True)
    values = ecg() if values is None else values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's use of pandas
        wfdb.wrsamp(
            name,
            fs=250,
            units=["mV"] * len(values),
            sig_name=["I", "II", "V1"][: len(values)],
            p_signal=values.T,
            fmt=["16"] * len(values),
            adc_gain=[1000.0] * len(values),
            baseline=[0] * len(values),
            write_dir=str(folder),
        )
    return folder / f"{name}.hea"


def write_csv(path, values=None):
    rows = (ecg() if values is None else values).T
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("I,II\n" + "\n".join(f"{a:.4f},{b:.4f}" for a, b in rows))
    return path


def names(paths):
    return [path.name for path in paths]


def test_a_folder_gives_its_headers_and_not_its_label_tables(tmp_path):
    write_wfdb(tmp_path / "b", "r2")
    write_wfdb(tmp_path / "a", "r1")
    write_csv(tmp_path / "labels.csv")
    assert names(find_records([tmp_path])) == ["r1.hea", "r2.hea"]


def test_a_folder_without_headers_gives_tables_and_arrays(tmp_path):
    write_csv(tmp_path / "r1.csv")
    np.save(tmp_path / "r2.npy", ecg())
    (tmp_path / "LICENSE.txt").write_text("x")
    (tmp_path / "sub").mkdir()
    write_csv(tmp_path / "sub" / "r3.tsv")
    assert names(find_records([tmp_path])) == ["r1.csv", "r2.npy", "r3.tsv"]
    assert names(find_records(tmp_path, recursive=False)) == ["r1.csv", "r2.npy"]


def test_patterns_records_and_repeated_paths_are_found_once(tmp_path):
    header = write_wfdb(tmp_path, "r1")
    write_wfdb(tmp_path, "r2")
    given = [tmp_path / "r1", header, header.with_suffix(".dat"), f"{tmp_path}/*"]
    assert names(find_records(given)) == ["r1.hea", "r2.hea"]
    assert names(find_records([f"{tmp_path}/**/*.hea"])) == ["r1.hea", "r2.hea"]


def test_a_records_list_gives_its_entries_in_order(tmp_path):
    for name in ("r1", "r2"):
        write_wfdb(tmp_path / "sub", name)
    (tmp_path / "RECORDS").write_text("sub/r2\nsub/r1\n\n")
    assert names(find_records([tmp_path / "RECORDS"])) == ["r2.hea", "r1.hea"]
    (tmp_path / "RECORDS").write_text("sub/\n")
    assert names(find_records([tmp_path / "RECORDS"])) == ["r1.hea", "r2.hea"]


@pytest.mark.parametrize("entry", ["../r1", "/etc/passwd", "s3://bucket/r1"])
def test_a_records_list_may_not_lead_out_of_its_folder(tmp_path, entry):
    write_wfdb(tmp_path, "r1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "RECORDS").write_text(entry + "\n")
    with pytest.raises(FormatError):
        find_records([tmp_path / "sub" / "RECORDS"])


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no recordings"):
        find_records([tmp_path])
    with pytest.raises(DataError, match="no recordings"):
        find_records([f"{tmp_path}/*.hea"])
    for missing in ("missing.hea", "missing", "x" * 5000):
        with pytest.raises(FormatError):
            find_records([tmp_path / missing])


def test_the_suffix_chooses_the_reader(tmp_path):
    values = ecg().astype("f4")
    header = write_wfdb(tmp_path, "r1", values)
    table = write_csv(tmp_path / "r2.csv", values)
    np.save(tmp_path / "r3.npy", values)
    np.savez(tmp_path / "r4.npz", x=values[None])
    for path in (header, header.with_suffix(""), table, tmp_path / "r3.npy", tmp_path / "r4.npz"):
        own = {} if path.stem == "r1" else {"rate_hz": 250, "leads": ["I", "II"]}
        (found,) = read_ecg(path, **own)
        np.testing.assert_allclose(found.values, values, atol=1e-3)
        assert found.channels == ("I", "II")
        assert found.rate_hz == 250.0
        assert len(found.sha256) == 64


@pytest.mark.parametrize("name", ["x.mfer", "x.pdf", "x", "x.hea.gz"])
def test_an_unknown_suffix_is_refused_with_the_list_of_known_ones(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(FormatError, match=r"\.hea, \.csv, \.tsv, \.txt, \.npy, \.npz, \.edf"):
        read_ecg(tmp_path / name)


def test_leads_and_rate_of_a_wfdb_record_are_checked_against_its_header(tmp_path):
    header = write_wfdb(tmp_path, "r1")
    assert read_record(header, leads=["V1", "V2"]).channels == ("V1", "V2")
    with pytest.raises(LeadError, match="expected 2 lead names, got 1"):
        read_ecg(header, leads=["V1"])
    with pytest.raises(DataError, match="250 Hz"):
        read_ecg(header, rate_hz=500)


def test_read_record_refuses_a_file_of_several(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.stack([ecg(), ecg()]), leads=["I", "II"], fs=250)
    with pytest.raises(DataError, match="got 2"):
        read_record(tmp_path / "x.npz")
    assert len(read_ecg(tmp_path / "x.npz")) == 2


def make_files(folder, n_good, n_bad):
    good = [write_wfdb(folder, f"g{i}") for i in range(n_good)]
    bad = [write_wfdb(folder, f"b{i}") for i in range(n_bad)]
    for header in bad:
        header.with_suffix(".dat").write_bytes(b"")
    return [*bad, *good]


def test_bad_files_stop_the_reading_unless_they_are_to_be_skipped(tmp_path):
    paths = make_files(tmp_path, 3, 1)
    with pytest.raises(FormatError, match="b0"):
        list(read_many(paths))
    report = SkipReport(0)
    assert len(list(read_many(paths, on_error="skip", report=report))) == 3
    assert (report.n_files, len(report)) == (4, 1)
    assert report.counts() == {"FormatError": 1}


def test_too_many_bad_files_are_an_error_at_the_end(tmp_path):
    paths = make_files(tmp_path, 18, 2)
    read = []
    with pytest.raises(DataError, match="2 of 20"):
        read.extend(read_many(paths, on_error="skip"))
    assert len(list(read_many(paths, on_error="skip", max_bad_fraction=0.1))) == 18


def test_no_good_file_is_an_error_however_few_there_are(tmp_path):
    with pytest.raises(DataError, match="1 of 1"):
        list(read_many(make_files(tmp_path, 0, 1), on_error="skip", max_bad_fraction=1.0))


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"max_bad_fraction": 2}])
def test_unknown_policies_are_config_errors(options):
    with pytest.raises(ConfigError):
        list(read_many([], **options))


def test_r1_names_that_are_formulas_are_harmless_in_the_report(tmp_path):
    bad = ["=HYPERLINK(1).xml", "+1.xml", "@SUM.xml", "-x.xml", "\tx.xml", "a\nb.xml", "\udcff.xml"]
    report = SkipReport(0)
    with pytest.raises(DataError):
        list(read_many(bad, on_error="skip", report=report))
    report.to_csv(tmp_path / "skipped.csv")
    with open(tmp_path / "skipped.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == len(bad) + 1
    assert not any(cell.startswith(tuple("=+-@\t\n")) for row in rows for cell in row)


def test_a_description_is_complete_and_json(tmp_path):
    values = ecg(3, 1000)
    values[1] = 0
    values[2] = np.clip(values[2] * 3, -0.2, 0.2)
    found = describe_file(write_wfdb(tmp_path, "r1", values))
    json.dumps(found, allow_nan=False)
    assert found["readable"]
    assert found["problem"] == ""
    assert found["leads"] == ["I", "II", "V1"]
    assert (found["rate_hz"], found["n_times"], found["duration_s"]) == (250.0, 1000, 4.0)
    assert found["flat_leads"] == ["II"]
    assert found["saturated_fraction"]["I"] == 0
    assert found["saturated_fraction"]["V1"] > 0.3
    assert found["nan_fraction"] == {"I": 0.0, "II": 0.0, "V1": 0.0}
    assert 1 < found["peak_to_peak"]["I"] < 2.5
    assert found["scale"] == "plausible"


def test_a_description_says_what_is_wrong(tmp_path):
    header = write_wfdb(tmp_path, "r1")
    header.write_text(header.read_text().replace("/mV", "/V"))
    assert "looks like millivolt: pass unit='mV'" in describe_file(header)["problem"]
    header.with_suffix(".dat").write_bytes(b"")
    found = describe_file(header)
    assert not found["readable"]
    assert "cut" in found["problem"]
    assert "no such file" in describe_file(tmp_path / "missing.hea")["problem"]


def test_a_description_carries_warnings_without_raising_them(tmp_path):
    header = write_wfdb(tmp_path, "r1")
    data = bytearray(header.with_suffix(".dat").read_bytes())
    data[0] ^= 1
    header.with_suffix(".dat").write_bytes(data)
    assert "checksum" in describe_file(header)["warnings"][0]


def test_real_folder_of_ptbxl_is_found_and_read():
    paths = find_records([real_data("ecg/ptbxl")])
    assert len(paths) == 490
    assert len(list(read_many(paths[:5]))) == 5
    assert len(find_records([real_data("ecg/ptbxl/RECORDS100")])) == 350
