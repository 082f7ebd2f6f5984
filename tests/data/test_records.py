"""Records from whatever a user has."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.records import FileRecords, StoreRecords, open_records
from biojepa.data.simulate import simulate_ecg, write_wfdb_cohort
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.errors import DataError, LeadError, PlausibilityWarning


@pytest.fixture(scope="module")
def cohort():
    """Six simulated records of two seconds."""
    return simulate_ecg(6, rate_hz=250, duration_s=2.0, random_state=0)


def test_arrays_lists_files_and_stores_give_the_same_records(cohort, tmp_path):
    write_wfdb_cohort(cohort, tmp_path / "wfdb")
    files = open_records(tmp_path / "wfdb", fs=None, channels=None)
    assert isinstance(files, FileRecords)
    with StoreWriter(tmp_path / "store", channels=cohort.leads) as writer:
        for i in range(len(files)):
            writer.add(files.read(i))
    store = open_records(tmp_path / "store", fs=None, channels=None)
    assert isinstance(store, StoreRecords)
    array = open_records(cohort.values, fs=250, channels=cohort.leads)
    listed = open_records(list(cohort.values), fs=250, channels=cohort.leads)
    for i in range(6):
        want = array.read(i).values
        np.testing.assert_array_equal(listed.read(i).values, want)
        np.testing.assert_allclose(files.read(i).values, want, atol=1e-6)
        np.testing.assert_allclose(store.read(i).values, want, atol=1e-3)
        for records in (array, listed, files, store):
            assert records.length(i) == (500, 250.0)
            assert tuple(c.casefold() for c in records.channels) == tuple(
                c.casefold() for c in cohort.leads
            )
        np.testing.assert_array_equal(listed.read(i, 100, 200).values, want[:, 100:200])


def test_a_store_is_opened_by_its_path_and_as_an_object(cohort, tmp_path):
    with StoreWriter(tmp_path / "store", channels=cohort.leads) as writer:
        writer.add(open_records(cohort.values, fs=250, channels=cohort.leads).read(0))
    assert isinstance(open_records(str(tmp_path / "store"), fs=None, channels=None), StoreRecords)
    assert len(open_records(SignalStore(tmp_path / "store"), fs=None, channels=None)) == 1


def test_microvolts_and_volts_are_converted(cohort):
    want = cohort.values[0]
    for unit, factor in (("uV", 1e3), ("V", 1e-3)):
        records = open_records(cohort.values * factor, fs=250, channels=None, units=unit)
        np.testing.assert_allclose(records.read(0).values, want, rtol=1e-5, atol=1e-6)


def test_wrong_units_warn_and_name_the_fix(cohort):
    with pytest.warns(PlausibilityWarning, match="units='uV'"):
        open_records(cohort.values * 1e3, fs=250, channels=None)


def test_arbitrary_units_are_not_judged(cohort):
    open_records(cohort.values * 1e6, fs=250, channels=None, units="arbitrary")


def test_a_missing_rate_says_what_to_pass(cohort):
    with pytest.raises(DataError, match="pass fs="):
        open_records(cohort.values, fs=None, channels=None)


def test_a_wrong_number_of_names_says_both_numbers(cohort):
    with pytest.raises(LeadError, match="expected 2 channels .*got 12"):
        open_records(cohort.values, fs=250, channels=["I", "II"])


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((3, 4)),
        np.zeros((0, 2, 10)),
        np.zeros((2, 2, 0)),
        [],
        [np.zeros((2, 5)), np.zeros((3, 5))],
        [np.array([["a", "b"]])],
        object(),
    ],
    ids=["2d", "no-records", "no-samples", "empty-list", "channels-differ", "text", "object"],
)
def test_what_is_no_set_of_records_is_refused(X):
    with pytest.raises(DataError):
        open_records(X, fs=100, channels=None)


def test_identities_follow_the_values_and_not_the_container(cohort):
    array = open_records(cohort.values, fs=250, channels=None)
    listed = open_records([cohort.values[2].astype(np.float64)], fs=250, channels=None)
    assert array.identity(2) == listed.identity(0)
    assert len({array.identity(i) for i in range(6)}) == 6


def test_mne_like_epochs_are_read_in_volts(cohort):
    class Epochs:
        ch_names = list(cohort.leads)
        info = {"sfreq": 250.0}  # noqa: RUF012

        def get_data(self, *, copy):
            return cohort.values * 1e-3

    records = open_records(Epochs(), fs=None, channels=None)
    np.testing.assert_allclose(records.read(1).values, cohort.values[1], rtol=1e-5, atol=1e-7)
    assert records.channels == tuple(cohort.leads)


def test_the_fingerprint_changes_with_the_contents_and_not_with_the_names_alone(cohort, tmp_path):
    paths = []
    for name, scale in (("a", 1.0), ("b", 1.0), ("c", 0.5)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "record.npy", cohort.values[0] * np.float32(scale))
        paths.append(tmp_path / name / "record.npy")
    prints = [open_records(path, fs=250, channels=cohort.leads).fingerprint() for path in paths]
    assert prints[0] == prints[1] != prints[2]
    arrays = [
        open_records(cohort.values[:1] * s, fs=250, channels=None).fingerprint() for s in (1, 0.5)
    ]
    assert arrays[0] != arrays[1]
