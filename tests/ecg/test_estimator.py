"""ECGJEPA as users meet it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from biojepa.data.simulate import simulate_ecg, write_csv_cohort, write_wfdb_cohort
from biojepa.ecg import ECGJEPA
from biojepa.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    LeadError,
    MissingLeadWarning,
)


@pytest.fixture(scope="module")
def cohort():
    """Forty records of ten seconds."""
    return simulate_ecg(40, rate_hz=250, random_state=0)


@pytest.fixture(scope="module")
def fitted(cohort):
    """A tiny model."""
    return tiny(cohort).fit(cohort.values)


@pytest.fixture
def model(fitted):
    """A copy to change."""
    return pickle.loads(pickle.dumps(fitted))


def tiny(cohort, **options) -> ECGJEPA:
    """An unfitted tiny estimator for the cohort."""
    settings = {"preset": "tiny", "fs": 250, "leads": cohort.leads, "random_state": 0}
    return ECGJEPA(**settings | {"device": "cpu", "steps": 4} | options)


def test_features_are_two_dimensional_float32(fitted, cohort):
    features = fitted.transform(cohort.values)
    assert features.shape == (40, 64)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert len(fitted.get_feature_names_out()) == 64


def test_features_do_not_depend_on_the_other_records_or_their_order(fitted, cohort):
    features = fitted.transform(cohort.values)
    np.testing.assert_allclose(fitted.transform(cohort.values[5:9]), features[5:9], atol=1e-5)
    np.testing.assert_allclose(fitted.transform(cohort.values[::-1]), features[::-1], atol=1e-5)


def test_lead_order_does_not_matter_if_the_names_follow(model, cohort):
    features = model.transform(cohort.values)
    order = np.random.default_rng(1).permutation(12)
    model.set_params(leads=[cohort.leads[i] for i in order])
    np.testing.assert_allclose(model.transform(cohort.values[:, order]), features, atol=1e-5)


def test_limb_leads_are_derived_from_two_of_them(cohort):
    full = tiny(cohort, model_leads=["I", "II", "III", "aVR", "aVL", "aVF"]).fit(cohort.values)
    features = full.transform(cohort.values)
    full.set_params(leads=["I", "II"])
    np.testing.assert_allclose(full.transform(cohort.values[:, :2]), features, atol=1e-5)


def test_a_missing_lead_is_an_error_that_names_it(model, cohort):
    with pytest.raises(LeadError, match="V6"):
        model.set_params(leads=cohort.leads[:11]).transform(cohort.values[:, :11])


def test_a_missing_lead_can_be_masked_with_a_warning_and_a_record(model, cohort):
    model.set_params(leads=cohort.leads[:11], on_missing="drop")
    with pytest.warns(MissingLeadWarning, match="V6"):
        features = model.transform(cohort.values[:, :11])
    assert model.missing_leads_ == ("V6",)
    assert np.isfinite(features).all()


def test_one_lead_is_enough_to_pretrain_on(cohort):
    jepa = tiny(cohort, leads=["II"]).fit(cohort.values[:, 1:2])
    assert jepa.model_config_.leads == ("II",)
    assert jepa.transform(cohort.values[:3, 1:2]).shape == (3, 64)


def test_refitting_gives_the_same_model(fitted, cohort):
    again = clone(fitted).fit(cohort.values)
    for a, b in zip(again.jepa_.parameters(), fitted.jepa_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_fitting_leaves_the_callers_random_state_and_data_alone(cohort):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the global state is what is tested
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    values = cohort.values.copy()
    tiny(cohort, random_state=None).fit(values).transform(values)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    np.testing.assert_array_equal(values, cohort.values)


def test_pickling_keeps_the_features(fitted, model, cohort):
    np.testing.assert_array_equal(
        model.transform(cohort.values[:4]), fitted.transform(cohort.values[:4])
    )


def test_a_saved_model_gives_the_same_features(fitted, cohort, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    loaded = ECGJEPA.from_pretrained(tmp_path / "model").set_params(fs=250, leads=cohort.leads)
    np.testing.assert_array_equal(
        loaded.transform(cohort.values[:4]), fitted.transform(cohort.values[:4])
    )
    assert loaded.training_["ids"] == fitted.training_["ids"]


def test_a_damaged_model_is_refused_unless_verify_is_off(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        ECGJEPA.from_pretrained(tmp_path / "model")
    ECGJEPA.from_pretrained(tmp_path / "model", verify=False)


def test_saving_over_other_files_is_refused(fitted, tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(CheckpointError, match="other files"):
        fitted.save_pretrained(tmp_path)


def test_training_goes_on_from_a_saved_model(fitted, cohort, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    start = tiny(cohort, init=str(tmp_path / "model"), steps=1, lr=0.0).fit(cohort.values)
    np.testing.assert_allclose(
        start.transform(cohort.values[:4]), fitted.transform(cohort.values[:4]), atol=1e-5
    )


def test_records_of_unequal_length_are_windowed_and_averaged(fitted, cohort):
    records = [v[:, : 900 + 100 * i] for i, v in enumerate(cohort.values[:6])]
    features = fitted.transform(records)
    alone = np.concatenate([fitted.transform([r]) for r in records])
    np.testing.assert_allclose(features, alone, atol=1e-5)
    long = np.concatenate([cohort.values[0]] * 3, axis=1)
    assert fitted.transform([long]).shape == (1, 64)


def test_records_of_unequal_length_train(cohort):
    records = [v[:, : 300 + 150 * i] for i, v in enumerate(cohort.values[:15])]
    jepa = tiny(cohort).fit(records)
    assert np.isfinite(jepa.history_[-1]["loss"])


def test_any_sampling_rate_gives_nearly_the_same_features(model, cohort):
    slow = simulate_ecg(40, rate_hz=500, random_state=0)
    a = model.transform(cohort.values)
    b = model.set_params(fs=500).transform(slow.values)
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert correlation > 0.99


def test_gaps_and_flat_leads_give_finite_features(fitted, cohort):
    values = cohort.values[:4].copy()
    values[0, 3, 100:200] = np.nan
    values[1, 5] = 0.0
    values[2, 7] = np.nan
    values[3] = 0.0
    assert np.isfinite(fitted.transform(values)).all()


def test_a_record_of_nan_does_not_spoil_pretraining(cohort):
    values = cohort.values.copy()
    values[0] = np.nan
    values[1, 2, 50] = 1e25
    jepa = tiny(cohort).fit(values)
    assert all(torch.isfinite(p).all() for p in jepa.jepa_.parameters())


def test_scale_appends_the_log_amplitude_of_each_lead(model, cohort):
    plain = model.transform(cohort.values)
    model.set_params(scale=True)
    once = model.transform(cohort.values)
    twice = model.transform(2 * cohort.values)
    np.testing.assert_allclose(once[:, :64], plain, atol=1e-6)
    np.testing.assert_allclose(twice[:, 64:] - once[:, 64:], np.log(2), atol=1e-4)
    assert once.shape == (40, 64 + 8)
    assert len(model.get_feature_names_out()) == 72


def test_pools_and_layers_change_the_width(model, cohort):
    values = cohort.values[:3]
    assert model.set_params(pool="mean").transform(values).shape == (3, 32)
    assert model.set_params(pool="register").transform(values).shape == (3, 32)
    assert model.set_params(pool="mean", layer=[0, 1]).transform(values).shape == (3, 64)
    with pytest.raises(ConfigError, match="pool"):
        model.set_params(pool="max").transform(values)


def test_bf16_features_are_close_to_fp32(model, cohort):
    full = model.transform(cohort.values)
    half = model.set_params(precision="bf16").transform(cohort.values)
    assert np.corrcoef(full.ravel(), half.ravel())[0, 1] > 0.999
    assert half.dtype == np.float32


def test_tokens_have_one_row_a_patch(fitted, cohort):
    tokens = fitted.encode(cohort.values[:2])
    assert [t.shape for t in tokens] == [(1, 50, 32)] * 2


def test_files_and_arrays_give_the_same_features(fitted, cohort, tmp_path):
    some = simulate_ecg(3, rate_hz=250, random_state=0)
    write_wfdb_cohort(some, tmp_path / "wfdb")
    write_csv_cohort(some, tmp_path / "csv")
    want = fitted.transform(some.values)
    np.testing.assert_allclose(fitted.transform(str(tmp_path / "wfdb")), want, atol=1e-4)
    csv = sorted((tmp_path / "csv").glob("[!l]*.csv"))
    np.testing.assert_allclose(fitted.transform(csv), want, atol=1e-4)


def test_a_table_is_one_nameless_channel():
    X = np.random.default_rng(0).standard_normal((20, 30))
    jepa = ECGJEPA(preset="tiny", steps=2, random_state=0, device="cpu").fit(X)
    assert jepa.n_features_in_ == 30
    assert jepa.transform(X[:3]).shape == (3, 64)
    with pytest.raises(ValueError, match="30 features"):
        jepa.transform(X[:, :20])


def test_it_works_in_pipelines_grids_and_grouped_cross_validation(cohort):
    y = cohort.y[:, 0]
    pipe = make_pipeline(tiny(cohort, steps=2), LogisticRegression(max_iter=500))
    scores = cross_val_score(pipe, cohort.values, y, groups=cohort.patient_id, cv=GroupKFold(2))
    assert np.isfinite(scores).all()
    grid = GridSearchCV(pipe, {"ecgjepa__pool": ["mean", "mean_std"]}, cv=2, n_jobs=2)
    assert grid.fit(cohort.values, y).best_score_ >= 0


def test_an_unfitted_model_says_so(cohort):
    with pytest.raises(NotFittedError):
        tiny(cohort).transform(cohort.values)


def test_one_record_is_too_few(cohort):
    with pytest.raises(DataError, match="at least 2 records"):
        tiny(cohort).fit(cohort.values[:1])


def test_an_unknown_preset_names_the_nearest(cohort):
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        tiny(cohort, preset="smal").fit(cohort.values)


def test_lead_dropout_trains_a_model_for_fewer_leads(cohort):
    jepa = tiny(cohort, lead_dropout=0.5).fit(cohort.values)
    assert jepa.model_config_.lead_dropout == 0.5


def test_settings_of_the_published_recipe_are_measured_on_the_data(cohort):
    sizes = {"dim": 32, "depth": 1, "heads": 2, "pred_dim": 16, "pred_depth": 1, "pred_heads": 2}
    jepa = tiny(cohort, preset="paper-xs", steps=1, batch_size=4, model=sizes).fit(cohort.values)
    assert jepa.preprocess_.normalise == "dataset"
    assert jepa.model_config_.rate_hz == 500
    assert np.isfinite(jepa.transform(cohort.values[:2])).all()
