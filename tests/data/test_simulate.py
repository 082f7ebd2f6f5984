"""The simulator: identities, labels, rhythms, reproducibility, files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import wfdb
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from biojepa.data.leads import STANDARD_12
from biojepa.data.simulate import (
    PREVALENCE,
    RHYTHM_SHARES,
    ECGCohort,
    simulate_ecg,
    simulate_record,
    write_csv_cohort,
    write_wfdb_cohort,
)
from biojepa.data.simulate_beats import normal_waves, place_beats
from biojepa.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def cohort() -> ECGCohort:
    return simulate_ecg(
        600, rate_hz=100.0, classes=("NORM", "MI", "STTC", "CD", "HYP", "CLBBB", "LVH", "AFIB")
    )


def median_beats(cohort: ECGCohort) -> np.ndarray:
    """Median beat of each record around the steepest moments, flattened."""
    rate = int(cohort.rate_hz)
    before, after = int(0.3 * rate), int(0.5 * rate)
    out = []
    for values in cohort.values:
        steep = np.abs(np.gradient(values, axis=1)).sum(axis=0)
        peaks = []
        for start in range(before, values.shape[1] - after - rate, rate):
            at = start + int(np.argmax(steep[start : start + rate]))
            if at < values.shape[1] - after:
                peaks.append(at)
        beat = np.median([values[:, at - before : at + after] for at in peaks], axis=0)
        out.append((beat - np.median(beat, axis=1, keepdims=True)).ravel())
    return np.array(out)


def intervals(rhythm: str) -> list[np.ndarray]:
    beats = [place_beats(rhythm, 30.0, np.random.default_rng(seed)) for seed in range(20)]
    return [np.diff(b.times_s) for b in beats]


def test_shapes_types_and_names(cohort):
    assert cohort.values.shape == (600, 12, 1000)
    assert cohort.values.dtype == np.float32
    assert cohort.leads == STANDARD_12
    assert cohort.y.shape == (600, 8)
    assert cohort.y.dtype == np.uint8
    assert len(set(cohort.record_id)) == len(cohort) == 600
    assert np.isfinite(cohort.values).all()
    assert set(cohort.sex) == {0, 1}
    assert (cohort.age >= 18).all()


def test_einthoven_and_goldberger_hold_to_the_last_bit(cohort):
    one, two, three, avr, avl, avf = cohort.values.transpose(1, 0, 2)[:6]
    assert np.array_equal(three, two - one)
    assert np.array_equal(avr, -(one + two) / 2)
    assert np.array_equal(avl, one - two / 2)
    assert np.array_equal(avf, two - one / 2)
    assert np.ptp(three) > 1.0


def test_the_same_seed_gives_the_same_cohort_and_another_seed_another(cohort):
    again = simulate_ecg(3, rate_hz=100.0)
    other = simulate_ecg(3, rate_hz=100.0, random_state=1)
    assert np.array_equal(again.values, cohort.values[:3])
    assert not np.array_equal(other.values, again.values)


def test_a_record_alone_equals_its_row_in_the_cohort(cohort):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    record = simulate_record(0, 417, rate_hz=100.0)
    assert np.array_equal(record.values, cohort.values[417])
    assert record.patient_id == cohort.patient_id[417]
    assert record.rhythm == cohort.rhythm[417]
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_two_rates_show_the_same_heart():
    fine = simulate_record(3, 8, rate_hz=500.0, noise_mv=0.0).values
    coarse = simulate_record(3, 8, rate_hz=250.0, noise_mv=0.0).values
    assert np.abs(fine[:, ::2] - coarse).max() < 0.005


def test_shares_of_classes_and_rhythms_are_the_ones_asked_for(cohort):
    assert cohort.y[:, :5].mean(axis=0) == pytest.approx(list(PREVALENCE.values()), abs=0.05)
    asked = simulate_ecg(
        800, rate_hz=50.0, duration_s=1.0, n_patients=800, prevalence={"NORM": 0.2, "HYP": 0.5}
    )
    assert asked.y[:, 0].mean() == pytest.approx(0.2, abs=0.045)
    assert asked.y[:, 4].mean() == pytest.approx(0.5, abs=0.055)
    sinus = asked.rhythm == "SR"
    others = asked.rhythm != "1AVB"
    assert sinus.sum() / others.sum() == pytest.approx(RHYTHM_SHARES["SR"], abs=0.06)
    assert sum(RHYTHM_SHARES.values()) == pytest.approx(1.0)


def test_a_normal_record_has_no_other_class_and_a_subclass_implies_its_class(cohort):
    norm, _, _, cd, hyp, clbbb, lvh, afib = cohort.y.T
    sick = cohort.y[:, 1:5].any(axis=1)
    assert np.array_equal(norm == 1, ~sick)
    assert (cohort.y[:, 1:5].sum(axis=1) > 1).any()
    assert (cd >= clbbb).all()
    assert clbbb.any()
    assert np.array_equal(hyp, lvh)
    assert np.array_equal(afib == 1, cohort.rhythm == "AFIB")


def test_records_of_one_patient_share_diagnosis_age_and_anatomy():
    cohort = simulate_ecg(40, rate_hz=100.0, n_patients=8, noise_mv=0.0)
    assert set(cohort.patient_id) == set(range(8))
    for patient in range(8):
        rows = np.flatnonzero(cohort.patient_id == patient)
        assert len(rows) == 5
        assert (cohort.y[rows] == cohort.y[rows[0]]).all()
        assert len(set(cohort.age[rows])) == 1
    # V2 against V5 height is anatomy: closer within patients than between them.
    plain = np.isin(cohort.rhythm, ("SR", "SBRAD", "STACH", "1AVB"))
    ratio = np.log(np.ptp(cohort.values[:, 7], axis=1) / np.ptp(cohort.values[:, 10], axis=1))
    within = [ratio[plain & (cohort.patient_id == p)].std() for p in range(8)]
    assert np.mean(within) < 0.3 * ratio[plain].std()


def test_fibrillation_is_irregular_and_sinus_rhythm_is_not():
    spread = {r: np.mean([d.std() / d.mean() for d in intervals(r)]) for r in ("SR", "AFIB")}
    assert spread["SR"] < 0.05
    assert 0.15 < spread["AFIB"] < 0.35
    successive = [np.corrcoef(d[:-1], d[1:])[0, 1] for d in intervals("AFIB")]
    assert abs(np.mean(successive)) < 0.2


@pytest.mark.parametrize(
    ("rhythm", "low", "high"), [("SBRAD", 38, 60), ("STACH", 100, 145), ("SR", 58, 100)]
)
def test_rates_are_those_of_the_rhythm(rhythm, low, high):
    bpm = np.array([60 / d.mean() for d in intervals(rhythm)])
    assert low <= bpm.min() <= bpm.max() <= high


def test_bigeminy_alternates_short_and_long():
    for gaps in intervals("BIGU"):
        sign = np.sign(np.diff(gaps))
        assert (sign[1:] == -sign[:-1]).all()


def test_a_premature_beat_comes_early_and_is_followed_by_a_pause():
    for seed in range(10):
        beats = place_beats("PVC", 30.0, np.random.default_rng(seed))
        gaps = np.diff(beats.times_s)
        ordinary = np.median(gaps)
        early = np.flatnonzero(beats.ectopic[1:-1]) + 1
        assert len(early) >= 2
        assert (gaps[early - 1] < 0.8 * ordinary).all()
        assert (gaps[early] > 1.2 * ordinary).all()
        assert gaps[early - 1] + gaps[early] == pytest.approx(2 * ordinary, rel=0.15)


def test_a_normal_beat_has_the_polarity_and_progression_of_the_textbook():
    cohort = simulate_ecg(150, rate_hz=250.0, noise_mv=0.0)
    keep = (cohort.y[:, 0] == 1) & np.isin(cohort.rhythm, ("SR", "SBRAD", "STACH"))
    high = np.median(cohort.values[keep].max(axis=2), axis=0)
    low = np.median(cohort.values[keep].min(axis=2), axis=0)
    at = {name: i for i, name in enumerate(STANDARD_12)}
    assert 0.5 < high[at["II"]] < 1.6
    assert -low[at["aVR"]] > 3 * high[at["aVR"]]  # aVR points down
    assert high[at["V1"]] < high[at["V4"]]  # R grows from V1 to V4
    assert -low[at["V1"]] > high[at["V1"]]
    assert high[at["V6"]] > -2 * low[at["V6"]]
    waves = normal_waves()
    assert waves["P1"].centre_s < waves["Q"].centre_s < 0 < waves["S"].centre_s


def test_noise_grows_with_its_argument_and_can_be_turned_off():
    clean = simulate_ecg(20, rate_hz=100.0, noise_mv=0.0).values
    low = simulate_ecg(20, rate_hz=100.0, noise_mv=0.01).values
    high = simulate_ecg(20, rate_hz=100.0, noise_mv=0.04).values
    ratio = (high - clean).std() / (low - clean).std()
    assert ratio == pytest.approx(4.0, rel=0.05)


def test_median_beats_predict_the_classes_well_but_not_perfectly(cohort):
    x = median_beats(cohort)
    x /= x.std()
    auc = []
    for k in range(5):
        model = LogisticRegression(C=0.03, max_iter=500)
        score = cross_val_predict(
            model,
            x,
            cohort.y[:, k],
            groups=cohort.patient_id,
            cv=GroupKFold(3),
            method="decision_function",
        )
        auc.append(roc_auc_score(cohort.y[:, k], score))
    assert min(auc) > 0.65
    assert 0.75 < np.mean(auc) < 0.97


def test_wfdb_files_read_back_to_the_last_bit(tmp_path):
    cohort = simulate_ecg(3, rate_hz=100.0)
    table = pd.read_csv(write_wfdb_cohort(cohort, tmp_path / "wfdb"))
    assert list(table.columns) == ["record", "patient_id", *cohort.classes, "age", "sex"]
    assert np.array_equal(table[list(cohort.classes)], cohort.y)
    for i, name in enumerate(table["record"]):
        record = wfdb.rdrecord(str(tmp_path / "wfdb" / name))
        assert record.fmt == ["16"] * 12
        assert tuple(record.sig_name) == STANDARD_12
        assert record.fs == 100
        assert np.array_equal(record.p_signal.T.astype(np.float32), cohort.values[i])


def test_csv_files_read_back_to_the_last_bit(tmp_path):
    cohort = simulate_ecg(2, rate_hz=100.0)
    table = pd.read_csv(write_csv_cohort(cohort, tmp_path))
    for i, name in enumerate(table["record"]):
        values = pd.read_csv(tmp_path / f"{name}.csv", dtype=np.float32)
        assert tuple(values.columns) == STANDARD_12
        assert np.array_equal(values.to_numpy().T, cohort.values[i])
    assert write_csv_cohort(cohort, tmp_path).exists()  # the same records may be rewritten


def test_a_folder_with_other_records_is_refused(tmp_path):
    write_wfdb_cohort(simulate_ecg(2, rate_hz=100.0, duration_s=1.0), tmp_path)
    with pytest.raises(DataError, match=r"sim00001\.hea: name an empty folder"):
        write_wfdb_cohort(simulate_ecg(1, rate_hz=100.0, duration_s=1.0), tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ("NORM", "AMX")}, "AMX"),
        ({"classes": ()}, "at least one"),
        ({"prevalence": {"MIX": 0.1}}, "MIX"),
        ({"prevalence": {"NORM": 0.1}}, "raise NORM"),
        ({"prevalence": {"NORM": 0.9}}, "raise NORM"),
        ({"rate_hz": 0.0}, "50 to 10,000 Hz"),
        ({"n_patients": 0}, "n_patients"),
        ({"noise_mv": -1.0}, "noise_mv"),
        ({"random_state": -1}, "seed"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=message):
        simulate_ecg(2, **settings)
