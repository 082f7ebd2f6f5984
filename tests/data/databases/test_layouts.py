from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest

from biojepa.data.databases.layouts import LAYOUTS, database_files
from biojepa.data.leads import STANDARD_12, arrange_leads
from biojepa.data.prepare import prepare_store
from biojepa.data.store import SignalStore
from biojepa.ecg.ptbxl import superclasses
from biojepa.ecg.recipes import PAPER_DATASETS
from biojepa.errors import ConfigError, DataError
from tests.conftest import real_data
from tests.data.databases import miniature

CINC = {
    "chapman-shaoxing": ("chapman_shaoxing", "JS{:05d}", 500),
    "ningbo": ("ningbo", "JS{:05d}", 500),
    "georgia": ("georgia", "E{:05d}", 500),
    "cpsc": ("cpsc_2018", "A{:04d}", 500),
    "cpsc-extra": ("cpsc_2018_extra", "Q{:04d}", 500),
    "ptb": ("ptb", "S{:04d}", 1000),
    "st-petersburg": ("st_petersburg_incart", "I{:04d}", 257),
}


def read_all(name, root, *, rate_hz=None, published=False):
    """Every recording of a database, and the reasons why others are left out."""
    files = database_files(name, root, rate_hz=rate_hz, published=published)
    kept, reasons = [], []
    for path in files.paths:
        given = files.read(path)
        for recording in [given] if hasattr(given, "values") else given:
            reason = files.select(recording) if files.select else ""
            (reasons if reason else kept).append(reason or recording)
    return kept, reasons


def test_every_database_of_the_published_recipe_has_a_layout():
    assert set(LAYOUTS) == set(PAPER_DATASETS)


@pytest.mark.parametrize("name", CINC)
def test_a_challenge_database_is_found_from_any_folder_above_it(name, tmp_path):
    folder, pattern, rate_hz = CINC[name]
    names = [pattern.format(k) for k in (3, 1, 2)]
    miniature.cinc(tmp_path, folder, names, rate_hz=rate_hz, lengths=[5000, 5200, 4800])
    for root in (tmp_path, tmp_path / "training", tmp_path / "training" / folder):
        found, _ = read_all(name, root)
        assert [r.record_id for r in found] == sorted(names)
        assert {r.rate_hz for r in found} == {rate_hz}
        assert [r.n_times for r in found] == [5200, 4800, 5000]
        assert {r.unit for r in found} == {"mV"}
        assert found[0].channels == STANDARD_12
        assert found[0].labels["dx"] == ["426177001", "164934002"]
    np.testing.assert_allclose(found[0].values, miniature.counts(1, 5200).T / 1000, atol=1e-6)


@pytest.mark.parametrize("name", ["georgia", "cpsc", "cpsc-extra"])
def test_records_shorter_than_the_window_are_no_part_of_the_published_selection(name, tmp_path):
    folder, pattern, rate_hz = CINC[name]
    names = [pattern.format(k) for k in (1, 2, 3)]
    miniature.cinc(tmp_path, folder, names, rate_hz=rate_hz, lengths=[5000, 4999, 9000])
    kept, reasons = read_all(name, tmp_path, published=True)
    assert [r.n_times for r in kept] == [5000, 9000]
    assert reasons == ["shorter than 10 s"]


def test_records_of_other_databases_in_the_folder_are_left_alone(tmp_path):
    miniature.cinc(tmp_path, "mixed", ["E00001", "JS20000"], rate_hz=500, lengths=[5000, 5000])
    found, _ = read_all("georgia", tmp_path / "training" / "mixed")
    assert [r.record_id for r in found] == ["E00001"]
    with pytest.raises(DataError, match="named like Q0001"):
        read_all("cpsc-extra", tmp_path)


def test_mimic_is_read_by_its_list_with_its_own_lead_order_and_gaps(tmp_path):
    miniature.mimic(tmp_path, n_records=3)
    whole, gaps, lost = read_all("mimic-iv-ecg", tmp_path)[0]
    assert whole.channels[4:6] == ("aVF", "aVL")
    arranged, _ = arrange_leads(whole.values, whole.channels, STANDARD_12)
    np.testing.assert_allclose(arranged[4], miniature.counts(0, 5000)[:, 5] / 200, atol=1e-6)
    assert [r.subject_id for r in (whole, gaps, lost)] == ["10000000", "10000000", "10000001"]
    assert np.flatnonzero(np.isnan(gaps.values[3])).tolist() == list(range(100, 200))
    assert np.isnan(lost.values[5]).all()
    assert np.isfinite(np.delete(lost.values, 5, axis=0)).all()
    assert "aVL (100.00%)" in lost.notes[0]


def test_a_record_without_any_sample_is_left_out_and_the_rest_is_stored(tmp_path):
    miniature.mimic(tmp_path / "in")
    files = database_files("mimic-iv-ecg", tmp_path / "in", rate_hz=None, published=False)
    report = prepare_store(
        files.paths, tmp_path / "out", read=files.read, channels=miniature.MIMIC_LEADS
    )
    assert report.n_written == 3
    assert "no sample is there" in report.skipped.skips[0].message
    assert np.isnan(SignalStore(tmp_path / "out").read(2)[5]).all()


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "s3://bucket/x", ""])
def test_a_path_of_the_list_cannot_leave_the_folder(path, tmp_path):
    miniature.mimic(tmp_path, n_records=1)
    with open(tmp_path / "record_list.csv", "a") as file:
        file.write(f"1,2,3,4,{path}\n")
    files = database_files("mimic-iv-ecg", tmp_path, rate_hz=None, published=False)
    with pytest.raises(DataError):
        files.read(files.paths[1])


def test_ptb_xl_brings_patient_fold_and_codes_at_either_rate(tmp_path):
    miniature.ptbxl(tmp_path)
    for rate_hz, n_times in ((100, 1000), (None, 5000), (250, 5000)):
        found, _ = read_all("ptb-xl", tmp_path, rate_hz=rate_hz)
        assert {r.n_times for r in found} == {n_times}
        assert [r.subject_id for r in found] == ["0", "0", "1", "1", "2", "2"]
        assert found[1].labels == {
            "ecg_id": 1007,
            "strat_fold": 6,
            "scp_codes": {"NORM": 100.0, "SR": 0.0},
            "age": 51,
            "sex": 1,
        }
    kept, reasons = read_all("ptb-xl", tmp_path, published=True)
    assert [r.labels["strat_fold"] for r in kept] == [5, 6, 7, 8]
    assert len(reasons) == 2


@pytest.mark.parametrize(
    ("gone", "rate_hz", "fix"),
    [("records500", None, "pass --rate 100"), ("records100", 100, "leave --rate 100 out")],
)
def test_with_files_of_the_other_rate_alone_the_option_is_named(tmp_path, gone, rate_hz, fix):
    miniature.ptbxl(tmp_path)
    shutil.rmtree(tmp_path / gone)
    with pytest.raises(DataError, match=rf"6 missing.*{fix}.*download {gone}"):
        database_files("ptb-xl", tmp_path, rate_hz=rate_hz, published=False)
    other = None if rate_hz else 100
    found, _ = read_all("ptb-xl", tmp_path, rate_hz=other)
    assert len(found) == 6


def test_a_few_missing_files_are_left_to_the_report_of_what_was_left_out(tmp_path):
    miniature.ptbxl(tmp_path)
    next(tmp_path.rglob("*_hr.hea")).unlink()
    files = database_files("ptb-xl", tmp_path, rate_hz=None, published=False)
    assert len(files.paths) == 6


def test_ptb_in_its_original_form_has_its_patients_and_frank_leads(tmp_path):
    leads = [lead.lower() for lead in STANDARD_12] + ["vx", "vy", "vz"]
    for patient in (1, 2):
        folder = tmp_path / f"patient{patient:03d}"
        samples = miniature.counts(patient, 9000, n_leads=15)
        miniature.write_record(
            folder, f"s00{patient}0_re", samples, rate_hz=1000, gain="2000", leads=leads
        )
    found, _ = read_all("ptb", tmp_path)
    assert [r.subject_id for r in found] == ["patient001", "patient002"]
    assert found[0].channels[:12] == STANDARD_12
    assert found[0].values.shape == (15, 9000)


def test_folders_that_hold_no_database_say_what_is_expected(tmp_path):
    for name, part in (
        ("mimic-iv-ecg", "record_list.csv"),
        ("ptb-xl", "ptbxl_database.csv"),
        ("code-15", "parts"),
    ):
        with pytest.raises(DataError, match=part):
            database_files(name, tmp_path, rate_hz=None, published=False)
    with pytest.raises(DataError, match="no such folder"):
        database_files("ptb", tmp_path / "none", rate_hz=None, published=False)
    with pytest.raises(ConfigError, match="no layout"):
        database_files("mit-bih", tmp_path, rate_hz=None, published=False)


def test_the_real_subset_of_ptb_xl_has_the_class_counts_of_its_readme(tmp_path):
    root = real_data("ecg/ptbxl")
    files = database_files("ptb-xl", root, rate_hz=100, published=False)
    report = prepare_store(files.paths, tmp_path, read=files.read, channels=STANDARD_12)
    assert (report.n_written, len(report.skipped)) == (350, 0)
    store = SignalStore(tmp_path)
    assert len(set(store.subject_ids)) == 328
    recordings = [store.recording(i) for i in range(len(store))]
    folds = [r.labels["strat_fold"] for r in recordings]
    assert [folds.count(f) for f in range(1, 11)] == [42, 34, 30, 25, 32, 27, 29, 26, 57, 48]
    sexes = [r.labels["sex"] for r in recordings]
    assert (sexes.count(0), sexes.count(1)) == (173, 177)
    texts = [str(r.labels["scp_codes"]) for r in recordings]
    found = Counter(name for names in superclasses(root, texts) for name in names or {"none"})
    assert found == {"NORM": 205, "MI": 51, "STTC": 66, "CD": 57, "HYP": 28, "none": 10}


def test_the_real_subset_of_ptb_xl_at_500_hz_says_how_it_can_be_prepared():
    root = real_data("ecg/ptbxl")
    with pytest.raises(DataError, match=r"500 Hz files of 350 records.*210 missing.*--rate 100"):
        database_files("ptb-xl", root, rate_hz=None, published=False)
    there = sorted(root.glob("records500/*/*.hea"))
    assert len(there) == 140
    read = database_files("ptb-xl", root, rate_hz=100, published=False).read
    assert read(str(there[-1])).values.shape == (12, 5000)


def test_the_real_challenge_sample_is_read_by_database():
    root = real_data("ecg/cinc2021_sample")
    georgia, _ = read_all("georgia", root)
    chapman, _ = read_all("ningbo", root)
    assert (len(georgia), len(chapman)) == (14, 14)
    assert {r.values.shape for r in (*georgia, *chapman)} == {(12, 5000)}
    assert georgia[0].labels["dx"] == ["67741000119109", "426177001"]


def test_the_real_record_of_ptb_is_read_with_its_frank_leads():
    (found,), _ = read_all("ptb", real_data("ecg/ptbdb_sample"))
    assert found.values.shape == (15, 38400)
    assert found.channels[-3:] == ("vx", "vy", "vz")
