from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg.benchmark_data import (
    check_pretraining,
    load_ptbxl,
    load_unlabelled,
    simulated_data,
)
from biojepa.errors import ConfigError, DataError, LeakageError
from tests.conftest import real_data
from tests.ecg.ptbxl_factory import write_ptbxl


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ptbxl")
    write_ptbxl(folder, 40)
    return folder


def derived(path: Path, *, ecg_id: list[int], patient_id: list[int]) -> Path:
    n = len(ecg_id)
    x = np.random.default_rng(0).integers(-400, 400, (n, 8, 1000)).astype(np.int16)
    leads = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
    np.savez(path, x=x, scale=200, fs=100, leads=leads, ecg_id=ecg_id, patient_id=patient_id)
    return path


def test_records_labels_and_patients_stay_together(root) -> None:
    cohort = simulate_ecg(40, rate_hz=100, random_state=3)
    data = load_ptbxl(root)
    assert data.ids == tuple(str(i + 1) for i in range(40))
    assert np.abs(data.labelled.X - cohort.values).max() < 1e-3
    order = [cohort.classes.index(name) for name in data.labelled.classes]
    assert np.array_equal(data.labelled.y, cohort.y[:, order])
    assert data.labelled.groups.tolist() == [str(p) for p in cohort.patient_id]
    assert data.leads == cohort.leads
    assert data.title == "PTB-XL (part of 40 records), superdiagnostic"
    assert not data.simulated


def test_a_class_that_nobody_has_and_records_that_are_not_there_are_left_out(
    root, tmp_path
) -> None:
    write_ptbxl(tmp_path, 12)
    (tmp_path / "records100/00000/00003_lr.hea").unlink()
    data = load_ptbxl(tmp_path)
    assert "3" not in data.ids
    assert len(data) == 11
    assert data.labelled.y.any(0).all()
    with pytest.raises(DataError, match="500 Hz records"):
        load_ptbxl(tmp_path, rate_hz=500)


def test_the_single_label_task_takes_records_with_one_superclass(root) -> None:
    several, single = load_ptbxl(root), load_ptbxl(root, "superdiagnostic-single")
    assert (single.labelled.y.sum(1) == 1).all()
    assert len(single) == (several.labelled.y.sum(1) == 1).sum()
    assert single.labelled.exclusive
    assert not several.labelled.exclusive
    with pytest.raises(ConfigError, match="exactly one superclass"):
        load_ptbxl(root, "st-mem", without_label="negative")


@pytest.mark.parametrize(
    "task", ["all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm", "st-mem"]
)
def test_every_task_can_be_loaded(root, task) -> None:
    data = load_ptbxl(root, task)
    assert len(data.labelled.classes) == data.labelled.y.shape[1] >= 1


def test_the_real_subset_has_the_counts_of_its_readme() -> None:
    folder = real_data("ecg/ptbxl")
    counts = {"NORM": 205, "MI": 51, "STTC": 66, "CD": 57, "HYP": 28}
    for without_label, n_records in (("drop", 340), ("negative", 350)):
        data = load_ptbxl(folder, without_label=without_label)
        assert len(data) == n_records
        found = dict(zip(data.labelled.classes, data.labelled.y.sum(0), strict=True))
        assert found == counts
    assert len(set(data.labelled.groups)) == 328
    assert np.bincount(data.folds)[1:].tolist() == [42, 34, 30, 25, 32, 27, 29, 26, 57, 48]
    assert data.labelled.X.dtype == np.float32
    with pytest.raises(ConfigError, match="without_label"):
        load_ptbxl(folder, without_label="guess")  # type: ignore[arg-type]


def test_the_real_extra_set_overlaps_with_nobody_as_far_as_is_known() -> None:
    data = load_ptbxl(real_data("ecg/ptbxl"))
    more = load_unlabelled(
        real_data("ecg/ptbxl_extra_unlabelled") / "ptbxl_extra_100hz_8lead_int16.npz"
    )
    assert (len(more), more.units, more.rate_hz) == (1783, "arbitrary", 100.0)
    everyone = np.arange(len(data))
    text = check_pretraining(more, data, everyone)
    assert text == "overlap: 0 known, unknown for 1,323 records"


def test_a_record_or_patient_of_the_test_in_pretraining_is_refused(root, tmp_path) -> None:
    data = load_ptbxl(root)
    everyone = np.arange(len(data))
    patient = int(data.labelled.groups[4])
    same_record = derived(tmp_path / "a.npz", ecg_id=[7, 900], patient_id=[-1, 900])
    same_patient = derived(tmp_path / "b.npz", ecg_id=[900, 901], patient_id=[patient, -1])
    with pytest.raises(LeakageError, match="record in both"):
        check_pretraining(load_unlabelled(same_record), data, everyone)
    with pytest.raises(LeakageError, match="patient in both"):
        check_pretraining(load_unlabelled(same_patient), data, everyone)
    text = check_pretraining(load_unlabelled(same_patient), data, everyone, allow_leakage=True)
    assert text == "overlap: 1 known, unknown for 1 records"
    # of another part of the data, the same set may be used
    assert check_pretraining(load_unlabelled(same_record), data, everyone[:6]).startswith(
        "overlap: 0"
    )


def test_other_sources_of_recordings_can_be_opened(root, tmp_path) -> None:
    whole = load_unlabelled(root)
    assert (len(whole), whole.units, whole.patients[0]) == (40, "mV", "0")
    plain = load_unlabelled(root / "records100")
    assert len(plain) == 40
    assert set(plain.patients) == {""}
    assert check_pretraining(plain, load_ptbxl(root), np.arange(40)).endswith("for 40 records")


def test_a_model_is_not_taken_for_records() -> None:
    with pytest.raises(ConfigError, match=r"got the model ecg-small.*--init"):
        load_unlabelled("ecg-small")


def test_a_simulated_cohort_says_that_it_is_one() -> None:
    data = simulated_data(simulate_ecg(10, rate_hz=100, random_state=0))
    assert data.simulated
    assert data.title == "simulated ECGs"
    assert check_pretraining(None, data, np.arange(10)).startswith("overlap: 0 known")
