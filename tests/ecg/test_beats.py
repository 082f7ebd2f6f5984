"""The classical baseline: where beats are, what is measured on them, and two models on top."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.base import clone

from biojepa.data import simulate
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.ecg._beat_measures import measure_beat, median_beat
from biojepa.ecg._r_peaks import find_r_peaks
from biojepa.ecg.beats import BeatClassifier, BeatFeatures
from biojepa.ecg.small_budget import load_labelled
from biojepa.errors import ConfigError, DataError, LeadError
from biojepa.evaluation.metrics import macro_auc
from tests.conftest import real_data

NAN = float("nan")


@cache
def _cohort(n: int = 40) -> ECGCohort:
    return simulate.simulate_ecg(n, rate_hz=250, random_state=3)


def _features(**options) -> BeatFeatures:
    return BeatFeatures(fs=250, leads=_cohort().leads, **options).fit(_cohort().values)


def _named(features: BeatFeatures, X: np.ndarray) -> dict[str, np.ndarray]:
    names = features.get_feature_names_out()
    return dict(zip(names, features.transform(X).T, strict=True))


def test_beats_are_found_where_the_simulator_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, place = [], simulate.place_beats

    def spy(rhythm, duration_s, rng):
        truth.append(place(rhythm, duration_s, rng))
        return truth[-1]

    monkeypatch.setattr(simulate, "place_beats", spy)
    cohort = simulate.simulate_ecg(60, rate_hz=250, random_state=11)
    found = hit = there = 0
    features = BeatFeatures(fs=250, leads=cohort.leads).fit(cohort.values)
    for values, beats in zip(features._prepared(cohort.values), truth, strict=True):
        peaks_s = find_r_peaks(values, 250.0) / 250.0
        inside = beats.times_s[(beats.times_s > 0.15) & (beats.times_s < 9.85)]
        found += int(((peaks_s > 0.15) & (peaks_s < 9.85)).sum())
        there += len(inside)
        hit += int((np.abs(inside[:, None] - peaks_s).min(axis=1) < 0.1).sum())
    assert hit / there > 0.99
    assert hit / found > 0.99


def test_the_median_beat_is_that_of_identical_beats() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(174) / 250 - 62 / 250
    shape = np.exp(-((time / 0.012) ** 2)) + 0.2 * np.exp(-(((time - 0.25) / 0.05) ** 2))
    lead = np.array([[1.0], [-0.5]])
    values = np.zeros((2, 2500))
    peaks = 200 + 210 * np.arange(10)
    for peak in peaks:
        values[:, peak - 62 : peak + 112] += lead * shape
    odd = values.copy()
    odd[:, peaks[3] - 62 : peaks[3] + 112] *= 3  # one ectopic beat does not move the median
    beat, likeness = median_beat(odd + rng.normal(0, 1e-4, odd.shape), peaks, 250.0)
    np.testing.assert_allclose(beat, lead * shape, atol=1e-3)
    assert likeness.min() > 0.99
    measures = measure_beat(beat, 250.0, axis_leads=(0, 1))
    leads = measures[:12].reshape(2, 6)
    np.testing.assert_allclose(leads[:, [0, 1]], [[1.0, 0.0], [0.0, -0.5]], atol=0.02)
    np.testing.assert_allclose(leads[:, 4], [0.2, -0.1], atol=0.01)  # T
    qrs_s, _, t_s, x, y, cosine = measures[12:]
    assert 0.03 < qrs_s < 0.08
    assert t_s == pytest.approx(0.25, abs=0.012)
    assert (x, y) == pytest.approx((2 / 5**0.5, -1 / 5**0.5), abs=0.01)
    assert cosine == pytest.approx(1.0, abs=0.01)


def test_the_rhythm_is_that_of_the_record() -> None:
    cohort, features = _cohort(), _features()
    named = _named(features, cohort.values)
    rate = 60 / named["RR_mean_s"]
    assert ((rate > 35) & (rate < 150)).all()
    assert rate[cohort.rhythm == "SBRAD"].max() < 62
    assert rate[cohort.rhythm == "STACH"].min() > 95
    irregular = named["RR_sd_s"][cohort.rhythm == "AFIB"]
    assert irregular.min() > np.median(named["RR_sd_s"])


def test_features_are_named_and_in_millivolt() -> None:
    cohort, features = _cohort(), _features()
    X = features.transform(cohort.values)
    names = features.get_feature_names_out()
    assert X.shape == (40, len(names)) == (40, 12 * (48 + 6) + 6 + 9)
    microvolt = features.set_params(units="uV").transform(cohort.values * 1000)
    np.testing.assert_allclose(microvolt, X, rtol=1e-4, atol=1e-5)
    beats = _features().median_beats(cohort.values)
    assert beats.shape == (40, 12, 174)
    first = names.tolist().index("V1_beat_00")
    np.testing.assert_allclose(X[:, first], beats[:, 6, 0])


@pytest.mark.parametrize("rate_hz", [100, 257, 500, 1000])
def test_any_sampling_rate_gives_about_the_same_numbers(rate_hz: int) -> None:
    cohort = _cohort()
    other = simulate.simulate_ecg(40, rate_hz=rate_hz, random_state=3)
    named = _named(_features(), cohort.values)
    same = _named(_features().set_params(fs=rate_hz), other.values)
    np.testing.assert_allclose(same["RR_mean_s"], named["RR_mean_s"], atol=0.02)
    assert np.corrcoef(same["V5_R"], named["V5_R"])[0, 1] > 0.98


def test_damaged_leads_and_asystole_give_finite_numbers() -> None:
    values = _cohort().values[:6].copy()
    values[0] = 0  # asystole
    values[1] = NAN
    values[2, 3] = NAN
    values[3, 4] = 2.5  # a lead that is off
    values[4, :, 500:900] = NAN
    values[5] = np.random.default_rng(0).normal(0, 0.002, values[5].shape)
    X = _features().transform(values)
    assert np.isfinite(X).all()
    named = _named(_features(), values)
    assert named["beats_per_s"][[0, 1]].tolist() == [0, 0]
    assert named["RR_mean_s"][0] == pytest.approx(10.0)
    assert (X[:2, : 12 * 48] == 0).all()
    assert named["aVR_R"][2] == named["aVL_R"][3] == 0


@pytest.mark.parametrize("n_times", [20, 60, 200])
def test_short_records_give_finite_numbers(n_times: int) -> None:
    X = _features().transform(_cohort().values[:3, :, :n_times])
    assert np.isfinite(X).all()


def test_any_leads_will_do_and_are_matched_by_name() -> None:
    cohort = _cohort()
    alone = BeatFeatures(fs=250, leads=["II"]).fit_transform(cohort.values[:, 1:2])
    assert alone.shape == (40, 48 + 6 + 6 + 9)
    order = np.random.default_rng(0).permutation(12)
    features = _features()
    X = features.transform(cohort.values)
    features.set_params(leads=[cohort.leads[i] for i in order])
    np.testing.assert_allclose(features.transform(cohort.values[:, order]), X)
    with pytest.raises(LeadError, match="V6"):
        features.set_params(leads=cohort.leads[:11]).transform(cohort.values[:, :11])


def test_the_input_is_left_alone_and_nothing_but_leads_is_learned() -> None:
    values = _cohort().values.copy()
    features = _features()
    X = features.transform(values)
    np.testing.assert_array_equal(values, _cohort().values)
    np.testing.assert_array_equal(clone(features).fit(values[:2]).transform(values), X)
    np.testing.assert_allclose(features.transform(list(values))[5], X[5], atol=1e-6)


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_a_classifier_finds_the_simulated_classes(model: str) -> None:
    cohort = simulate.simulate_ecg(240, rate_hz=100, random_state=5)
    y = cohort.y.astype(float)
    train = cohort.patient_id % 2 == 0
    y[np.flatnonzero(train)[:10], 2] = NAN
    classifier = BeatClassifier(
        model=model, fs=100, leads=cohort.leads, max_iter=30, random_state=0
    )
    classifier.fit(cohort.values[train], y[train], groups=cohort.patient_id[train])
    proba = classifier.predict_proba(cohort.values[~train])
    assert proba.shape == (int((~train).sum()), 5)
    assert ((proba > 0) & (proba < 1)).all()
    assert macro_auc(cohort.y[~train], proba) > 0.75
    again = clone(classifier).fit(cohort.values[train], y[train])
    np.testing.assert_array_equal(
        again.decision_function(cohort.values[~train]),
        classifier.decision_function(cohort.values[~train]),
    )


def test_settings_that_cannot_be_are_refused() -> None:
    X, y = _cohort().values, _cohort().y
    with pytest.raises(ConfigError, match="expected model in"):
        BeatClassifier(model="forest", fs=250).fit(X, y)
    with pytest.raises(ConfigError, match="n_points"):
        BeatFeatures(fs=250, n_points=1).fit(X)
    with pytest.raises(DataError, match="fs=None"):
        BeatFeatures().fit(X)


def test_every_real_record_has_beats_and_finite_features() -> None:
    records = load_labelled(real_data("ecg/ptbxl").parent)
    features = BeatFeatures(fs=100, leads=records.leads).fit(records.values)
    named = _named(features, records.values)
    assert np.isfinite(np.stack(list(named.values()))).all()
    rate = 60 / named["RR_mean_s"]
    assert rate.min() > 30
    assert rate.max() < 200
    assert np.median(named["beat_likeness"]) > 0.95
    assert 0.06 < np.median(named["QRS_s"]) < 0.11


def test_features_come_as_a_named_table_if_asked() -> None:
    features = _features().set_output(transform="pandas")
    table = features.transform(_cohort().values[:3])
    assert table.columns.tolist() == features.get_feature_names_out().tolist()
    assert table["RR_mean_s"].between(0.3, 2.0).all()
