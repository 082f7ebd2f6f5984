"""BrainJEPA as users meet it."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from biojepa.data.recording import Recording
from biojepa.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingLeadWarning,
    PlausibilityWarning,
)
from biojepa.fmri import BrainGradients, BrainJEPA
from tests.fmri.cohort import simulate_runs


@pytest.fixture(scope="module")
def cohort():
    return simulate_runs()


@pytest.fixture(scope="module")
def fitted(cohort):
    return tiny().fit(cohort[0])


@pytest.fixture
def model(fitted):
    """A copy to change."""
    return pickle.loads(pickle.dumps(fitted))


def tiny(**options) -> BrainJEPA:
    settings = {"preset": "tiny", "tr": 2.0, "random_state": 0, "device": "cpu", "steps": 4}
    return BrainJEPA(**settings | options)


def recordings(runs, names, tr_s=2.0) -> list[Recording]:
    return [Recording(r.T, tuple(names), 1 / tr_s, unit="arbitrary") for r in runs]


def test_features_of_runs_of_unequal_length_are_two_dimensional_float32(fitted, cohort) -> None:
    features = fitted.transform(cohort[0])
    assert features.shape == (24, 64)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert len(fitted.get_feature_names_out()) == 64
    assert fitted.n_features_in_ == 20


def test_features_do_not_depend_on_the_other_runs_or_their_order(fitted, cohort) -> None:
    runs = cohort[0]
    features = fitted.transform(runs)
    np.testing.assert_array_equal(fitted.transform(runs[:1]), features[:1])
    np.testing.assert_array_equal(fitted.transform(runs[::-1]), features[::-1])


def test_the_same_seed_gives_the_same_model_and_inputs_are_not_changed(fitted, cohort) -> None:
    before = [r.copy() for r in cohort[0]]
    again = tiny().fit(cohort[0])
    np.testing.assert_array_equal(again.transform(cohort[0]), fitted.transform(cohort[0]))
    for run, old in zip(cohort[0], before, strict=True):
        np.testing.assert_array_equal(run, old)
    other = tiny(random_state=1).fit(cohort[0])
    assert not np.array_equal(other.transform(cohort[0]), fitted.transform(cohort[0]))


def test_a_3d_array_is_a_list_of_runs(fitted, cohort) -> None:
    runs = np.stack([r[:80] for r in cohort[0]])
    np.testing.assert_array_equal(fitted.transform(runs), fitted.transform(list(runs)))


def test_offsets_and_units_of_regions_change_nothing(fitted, cohort) -> None:
    scale = np.linspace(0.1, 10, 20)
    other = [r.astype(np.float64) * scale - 300 for r in cohort[0]]
    np.testing.assert_allclose(
        fitted.transform(other), fitted.transform(cohort[0]), atol=2e-3, rtol=1e-3
    )


def test_the_repetition_time_matters_and_milliseconds_are_named(model, cohort) -> None:
    at_two = model.transform(cohort[0])
    at_one = model.set_params(tr=1.0).transform(cohort[0])
    assert at_one.shape == at_two.shape
    assert not np.allclose(at_one, at_two)
    with pytest.raises(DataError, match="milliseconds"):
        model.set_params(tr=2000.0).transform(cohort[0])


def test_long_runs_are_the_mean_of_windows_and_short_ones_are_padded(fitted) -> None:
    rng = np.random.default_rng(3)
    window = fitted.model_config_.n_times
    x = rng.standard_normal((2 * window, 20))
    # each half is normalised as part of the whole
    z = (x - x.mean(0)) / x.std(0)
    tokens = fitted.encode([x])[0]
    assert tokens.shape == (2, 20, window // 8, 32)
    assert np.isfinite(fitted.transform([z[:5], z[:20]])).all()


def test_a_flat_or_missing_region_is_masked(fitted, cohort) -> None:
    run = cohort[0][0].copy()
    flat, gone, wild = run.copy(), run.copy(), run.copy()
    flat[:, 4], gone[:, 4] = 7000.0, np.nan
    wild[:, 4] = np.inf
    features = fitted.transform([flat, gone, wild])
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0], features[2])
    assert fitted.prepare([flat])[0].valid.sum() == 19


def test_runs_the_other_way_round_are_refused_with_the_fix(fitted, cohort) -> None:
    turned = [r.T for r in cohort[0]]
    with pytest.raises(DataError, match="orientation='region-time'"):
        tiny().fit(turned)
    with pytest.raises(DataError, match="the other way round: pass orientation='region-time'"):
        fitted.transform(turned)
    same = tiny(orientation="region-time").fit(turned)
    np.testing.assert_array_equal(same.transform(turned), fitted.transform(cohort[0]))
    with pytest.warns(PlausibilityWarning, match="the other way round"):
        tiny(steps=1, model={"n_gradients": 2}).fit(
            [np.random.default_rng(i).standard_normal((12, 700)) for i in range(2)]
        )


def test_named_regions_are_matched_by_name_in_any_order(cohort) -> None:
    names = [f"roi{i}" for i in range(20)]
    runs = cohort[0]
    model = tiny(regions=names).fit(runs)
    order = np.random.default_rng(0).permutation(20)
    shuffled = [r[:, order] for r in runs]
    own = model.transform(runs)
    other = model.set_params(regions=[names[i] for i in order]).transform(shuffled)
    np.testing.assert_array_equal(own, other)
    fewer = [r[:, :17] for r in runs]
    model.set_params(orientation="time-region", regions=names[:17])
    with pytest.warns(MissingLeadWarning, match="masked 3 of 20 regions"):
        assert np.isfinite(model.transform(fewer)).all()


def test_several_atlases_and_repetition_times_train_one_model(cohort) -> None:
    runs = recordings(cohort[0], [f"a{i}" for i in range(20)])
    other, _ = simulate_runs(10, n_regions=13, n_times=200, seed=5)
    runs += recordings(other, [f"b{i}" for i in range(13)], tr_s=0.8)
    model = tiny().fit(runs)
    assert [len(a) for a in model.atlases_] == [20, 13]
    assert model.gradients_.shape == (20, 8)
    features = model.transform(runs)
    assert features.shape == (34, 64)
    np.testing.assert_array_equal(features[24:], model.transform(runs[24:]))


def test_an_atlas_that_the_model_has_not_seen_is_refused_or_fitted_aloud(fitted) -> None:
    other, _ = simulate_runs(6, n_regions=13, seed=5)
    with pytest.raises(DataError, match="for runs of another atlas pass its gradients="):
        fitted.transform(other)
    model = pickle.loads(pickle.dumps(fitted)).set_params(orientation="time-region")
    with pytest.warns(PlausibilityWarning, match="fitted the gradients of an atlas of 13 regions"):
        features = model.transform(other)
    gradients = BrainGradients(n_components=8, sparsity=0.5).fit(other)
    given = model.set_params(gradients=gradients).transform(other)
    assert features.shape == given.shape == (6, 64)


def test_gradients_may_be_given_as_table_file_or_estimator(cohort, tmp_path) -> None:
    runs = cohort[0]
    gradients = BrainGradients(n_components=5, sparsity=0.5).fit(runs)
    np.savetxt(tmp_path / "g.csv", gradients.gradients_, delimiter=",")
    models = [
        tiny(gradients=given).fit(runs)
        for given in (
            gradients.gradients_,
            tmp_path / "g.csv",
            gradients,
            BrainGradients(n_components=5, sparsity=0.5),
        )
    ]
    for model in models:
        assert model.model_config_.n_gradients == 5
        np.testing.assert_allclose(model.gradients_, gradients.gradients_, rtol=1e-6)
    with pytest.raises(DataError, match="as many rows as the runs have regions"):
        tiny(gradients=gradients.gradients_[:19]).fit(runs)


def test_a_saved_model_gives_the_same_features(fitted, cohort, tmp_path) -> None:
    fitted.save_pretrained(tmp_path / "model")
    again = BrainJEPA.from_pretrained(tmp_path / "model").set_params(tr=2.0)
    np.testing.assert_array_equal(again.transform(cohort[0]), fitted.transform(cohort[0]))
    assert again.training_ == fitted.training_
    assert not list((tmp_path / "model").glob("*.pkl"))
    data = (tmp_path / "model" / "model.safetensors").read_bytes()
    (tmp_path / "model" / "model.safetensors").write_bytes(data[:-1] + b"\xff")
    with pytest.raises(CheckpointError):
        BrainJEPA.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value"), [("depth", 10**6), ("dim", 2**20), ("n_regions", 20_000), ("pred_depth", 9)]
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_building(
    fitted, tmp_path, monkeypatch, name, value
) -> None:
    fitted.save_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["model"] |= {name: value, "n_times": 16}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("biojepa.fmri._encoder_file.build_jepa", None)  # not reached
    with pytest.raises(CheckpointError, match=f"{name}={value}"):
        BrainJEPA.from_pretrained(tmp_path / "m", verify=False)


def test_pretraining_goes_on_from_a_saved_model(fitted, cohort, tmp_path) -> None:
    fitted.save_pretrained(tmp_path / "model")
    more = tiny(init=tmp_path / "model", steps=3).fit(cohort[0])
    assert more.model_config_ == fitted.model_config_
    assert not np.array_equal(more.transform(cohort[0]), fitted.transform(cohort[0]))
    with pytest.raises(ConfigError, match="which brings its own"):
        tiny(init=tmp_path / "model", normalise="global").fit(cohort[0])


def test_the_published_scaling_is_stored_and_needs_offsets(cohort, tmp_path) -> None:
    model = tiny(normalise="robust").fit(cohort[0])
    assert len(model.preprocess_.median) == 20
    model.save_pretrained(tmp_path / "model")
    again = BrainJEPA.from_pretrained(tmp_path / "model")
    assert again.preprocess_ == model.preprocess_
    standard = [(r - r.mean(0)) / r.std(0) for r in cohort[0]]
    with pytest.raises(DataError, match="already"):
        tiny(normalise="robust").fit([r.astype(np.float64) for r in standard])


def test_it_works_in_a_pipeline_with_groups(fitted, cohort) -> None:
    runs, y = cohort
    pipeline = make_pipeline(tiny(steps=2), LogisticRegression(max_iter=500))
    scores = cross_val_score(pipeline, runs, y, groups=np.arange(24) // 2, cv=GroupKFold(2))
    assert np.isfinite(scores).all()


def test_runs_of_one_region_in_a_table(cohort) -> None:
    table = np.stack([r[:80, 0] for r in cohort[0]])
    features = tiny(steps=2).fit_transform(table)
    assert features.shape == (24, 64)


def test_clone_unfits_and_unfitted_estimators_say_so(fitted, cohort) -> None:
    with pytest.raises(NotFittedError):
        clone(fitted).transform(cohort[0])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "Expected 2D array"),
        (np.zeros((3, 4, 5, 6)), "array with dim 4"),
        ((), "Expected 2D array"),
        ([np.zeros((30, 4)), np.zeros(30)], "as run 1"),
        ([np.full((30, 4), "a")], "real numbers"),
        ([np.zeros((30, 4)), np.zeros((30, 4))], "flat or missing everywhere"),
        ([np.ones((30, 4))], "at least 2 runs"),
    ],
)
def test_what_is_no_run_is_refused(X, message) -> None:
    with pytest.raises((DataError, ValueError), match=message):
        tiny().fit(X)


@pytest.mark.parametrize(
    "setting",
    [{"pool": "register"}, {"pool": "max"}, {"preset": "smal"}, {"orientation": "sideways"}]
    + [{"precision": "fp8"}, {"layer": ()}, {"model": {"dims": 3}}],
)
def test_impossible_settings_are_refused(cohort, setting) -> None:
    with pytest.raises(ConfigError):
        tiny(**setting).fit(cohort[0]).transform(cohort[0])
