"""EEG files as stores: what is kept of them, montages apart, and going on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biojepa.data.eeg_reader import find_eeg
from biojepa.data.eeg_records import open_eeg, stores_of
from biojepa.data.eeg_store import EEGFile, prepare_eeg, record_names
from biojepa.data.montage import template_positions
from biojepa.data.recording import Recording
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.errors import DataError, RunError
from tests.data.eeg_factory import write_edf, write_fif
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
CAP = ("EEG Fp1-LE", "EEG C3-LE", "EEG Cz-LE", "EEG Oz-LE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in "ab":
        write_edf(tmp_path / "in" / f"{name}.edf", CAP)
    return tmp_path / "in"


def test_files_of_one_montage_become_one_store_in_millivolt(folder, tmp_path):
    report = prepare_eeg(find_eeg([folder]), tmp_path / "s")
    assert [part.n_written for part in report.stores] == [2]
    with SignalStore(tmp_path / "s") as store:
        assert store.channels == ("Fp1", "C3", "Cz", "Oz")
        assert list(store.record_ids) == ["a", "b"]
        assert 0.014 < store.read(0).std() < 0.016
        assert store.recording(0).labels == {"reference": "LE"}
        assert store.recipe["modality"] == "eeg"
        x, y, z = store.recipe["positions_head_m"]["Cz"]
    assert z > 0.1 > abs(x)
    source = open_eeg(tmp_path / "s")
    assert source.continuous
    assert len(open_eeg(SignalStore(tmp_path / "s")).records) == 2


def test_what_bids_says_of_a_recording_is_kept(tmp_path):
    folder = tmp_path / "in" / "sub-07" / "eeg"
    folder.mkdir(parents=True)
    stem = "sub-07_task-rest_"
    write_edf(folder / f"{stem}eeg.edf", ("Fp1", "Cz", "Oz", "Pz"))
    table = "name\ttype\tunits\tstatus\nFp1\tEOG\tuV\tgood\nOz\tEEG\tuV\tbad\n"
    (folder / f"{stem}channels.tsv").write_text(table)
    (folder / f"{stem}eeg.json").write_text(json.dumps({"EEGReference": "Cz placed on nose"}))
    prepare_eeg(find_eeg([tmp_path / "in"]), tmp_path / "s")
    with SignalStore(tmp_path / "s") as store:
        recording = store.recording(0)
    assert recording.channels == ("Cz", "Oz", "Pz")
    assert recording.subject_id == "07"
    assert recording.labels["reference"] == "Cz placed on nose"
    assert recording.labels["bad_channels"] == ["Oz"]
    assert np.isnan(recording.values[1]).all()
    assert np.isfinite(recording.values[[0, 2]]).all()
    assert recording.notes == ("channels marked bad: Oz",)


def test_montages_are_stores_of_their_own_below_the_folder(folder, tmp_path):
    write_fif(folder / "c_raw.fif", ("Cz", "Pz"), subject="S3")
    write_fif(folder / "d_raw.fif", ("Pz", "Cz"))
    report = prepare_eeg(find_eeg([folder]), tmp_path / "s")
    assert [part.n_written for part in report.stores] == [2, 2]
    names = {store.channels: store for store in stores_of(tmp_path / "s")}
    assert set(names) == {("Fp1", "C3", "Cz", "Oz"), ("Cz", "Pz")}
    assert list(names["Cz", "Pz"].subject_ids) == ["S3", None]
    source = open_eeg(tmp_path / "s")
    assert [len(part.records) for part in source.parts] == [2, 2]
    write_fif(folder / "e_raw.fif", ("Cz", "Pz"))
    again = prepare_eeg(find_eeg([folder]), tmp_path / "s")
    assert [part.n_resumed for part in again.stores] == [2, 2]
    assert [part.n_written for part in again.stores] == [0, 1]


def test_a_store_of_one_montage_takes_no_other(folder, tmp_path):
    prepare_eeg(find_eeg([folder]), tmp_path / "s")
    write_fif(folder / "c_raw.fif", ("Cz", "Pz"))
    with pytest.raises(RunError, match="one montage"):
        prepare_eeg(find_eeg([folder]), tmp_path / "s")


def test_bad_files_are_left_out_and_listed(folder, tmp_path):
    (folder / "cut.edf").write_bytes((folder / "a.edf").read_bytes()[:4000])
    write_edf(folder / "bipolar.edf", ("Fp1-F7", "C3", "Cz", "Oz"))
    write_edf(folder / "volts.edf", CAP, unit="V")
    report = prepare_eeg(find_eeg([folder]), tmp_path / "s")
    listed = (tmp_path / "s" / "skipped.csv").read_text()
    assert len(report.skipped) == 3
    for name, why in (("cut.edf", "cut"), ("bipolar", "Fp1-F7"), ("volts.edf", "1.48e+07 uV")):
        assert any(name in line and why in line for line in listed.splitlines())
    dropped = prepare_eeg(
        find_eeg([folder / "bipolar.edf"]), tmp_path / "t", read=EEGFile(on_unknown="drop")
    )
    assert "Fp1-F7" in dropped.skipped.noted[0][1]
    with pytest.raises(DataError, match="left out"):
        prepare_eeg([folder / "cut.edf"], tmp_path / "u")
    with pytest.raises(DataError, match=r"bipolar\.edf"):
        prepare_eeg(find_eeg([folder]), tmp_path / "v", on_error="raise")


def test_a_montage_of_bad_files_alone_does_not_stop_the_others(folder, tmp_path):
    write_edf(folder / "volts.edf", ("Pz", "Cz"), unit="V")
    report = prepare_eeg(find_eeg([folder]), tmp_path / "s")
    assert [part.n_written for part in report.stores] == [2]
    assert len(report.skipped) == 1
    assert len(open_eeg(tmp_path / "s").records) == 2


def test_workers_and_a_rate_give_the_same_recordings_smaller(folder, tmp_path):
    prepare_eeg(find_eeg([folder]), tmp_path / "s", read=EEGFile(rate_hz=50.0))
    prepare_eeg(find_eeg([folder]), tmp_path / "t", read=EEGFile(rate_hz=50.0), workers=1)
    with SignalStore(tmp_path / "s") as one, SignalStore(tmp_path / "t") as two:
        assert one.fingerprint == two.fingerprint
        assert set(one.rates_hz) == {50.0}
        assert set(one.lengths) == {400}


def test_places_of_another_system_are_kept_and_found_again(tmp_path):
    places = {f"E{i}": (0.01 * i, 0.05, 0.08) for i in range(1, 5)}
    write_fif(tmp_path / "a_raw.fif", tuple(places), places=places)
    prepare_eeg([tmp_path / "a_raw.fif"], tmp_path / "s")
    source = open_eeg(tmp_path / "s")
    for name, place in places.items():
        np.testing.assert_allclose(source.supplied[name], place, atol=1e-5)


def test_arbitrary_units_are_kept_as_they_are(tmp_path):
    write_edf(tmp_path / "a.edf", CAP, unit="V")
    prepare_eeg([tmp_path / "a.edf"], tmp_path / "s", read=EEGFile(arbitrary=True))
    with SignalStore(tmp_path / "s") as store:
        assert store.unit == "arbitrary"
        assert 14 < store.read(0).std() < 16
    assert open_eeg(tmp_path / "s").arbitrary


def test_recordings_of_one_name_are_told_apart_by_their_folders():
    paths = ["/x/a/rest.edf", "/x/b/rest.edf", "/x/b/task.edf", "/y/b/rest.edf"]
    assert list(record_names(paths).values()) == ["task", "a/rest", "x/b/rest", "y/b/rest"]


def test_a_store_of_another_origin_is_judged_when_it_is_opened(tmp_path):
    values = np.random.default_rng(0).standard_normal((2, 500)).astype(np.float32)
    for name, scale in (("good", 0.015), ("volts", 15e-9)):
        with StoreWriter(tmp_path / name, channels=("Cz", "Pz")) as writer:
            writer.add(Recording(scale * values, ("Cz", "Pz"), 128.0, record_id="a"))
    assert open_eeg(tmp_path / "good").names == ("Cz", "Pz")
    with pytest.raises(DataError, match="uV"):
        open_eeg(tmp_path / "volts")
    assert open_eeg(tmp_path / "volts", units="arbitrary").arbitrary


def test_stores_and_files_together_are_refused(folder, tmp_path):
    prepare_eeg(find_eeg([folder]), tmp_path / "s")
    with pytest.raises(DataError, match="stores or files"):
        open_eeg([tmp_path / "s", folder / "a.edf"])
    both = open_eeg([tmp_path / "s", tmp_path / "s"])
    assert [len(part.records) for part in both.parts] == [2, 2]


def test_a_template_place_survives_the_way_into_a_store_and_back(tmp_path):
    write_fif(tmp_path / "a_raw.fif", ("Cz", "Pz"))
    prepare_eeg([tmp_path / "a_raw.fif"], tmp_path / "s")
    from biojepa.data.montage import place_channels

    source = open_eeg(tmp_path / "s")
    placed = place_channels(source.names, supplied=source.supplied)
    assert placed.looked_up == ("Cz", "Pz")
    assert placed.positions == tuple(template_positions()[n][1] for n in ("cz", "pz"))
