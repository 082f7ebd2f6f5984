"""BrainClassifier and BrainRegressor in all modes."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from biojepa.engine.signals import Signals
from biojepa.engine.supervised import SupervisedHead
from biojepa.errors import CheckpointError, ConfigError, DataError, PlausibilityWarning
from biojepa.estimators.ridge_probe import RidgeProbe
from biojepa.fmri import BrainClassifier, BrainGradients, BrainJEPA, BrainRegressor
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.finetune import BlockDepth, run_outputs
from biojepa.fmri.heads import make_net
from biojepa.fmri.model import build_jepa
from biojepa.fmri.simulate import Effects, simulate_cohort
from tests.fmri.cohort import simulate_runs

SHARED = {"preset": "tiny", "tr": 2.0, "random_state": 0, "device": "cpu"}
MODES = ["linear", "attentive", "finetune"]
TRAINING: dict[str, dict] = {
    "linear": {},
    "attentive": {"steps": 250, "lr": 1e-2},
    "finetune": {"steps": 120, "lr": 3e-3, "layer_decay": 1.0, "drop_path": 0.0},
}


@pytest.fixture(scope="module")
def cohort():
    return simulate_runs(30)


@pytest.fixture(scope="module")
def encoder(cohort):
    return BrainJEPA(**SHARED, steps=20).fit(cohort[0])


def score(model, runs, y) -> float:
    return float((model.predict(runs) == y).mean())


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns_classes_and_survives_the_disk(cohort, encoder, mode, tmp_path) -> None:
    runs, y = cohort
    names = np.array(["slow", "fast"])[y]
    model = BrainClassifier(
        **SHARED, **TRAINING[mode], encoder=FrozenEstimator(encoder), mode=mode, C=1.0
    ).fit(runs[:20], names[:20])
    assert score(model, runs[20:], names[20:]) >= 0.8
    probability = model.predict_proba(runs[20:])
    assert probability.shape == (10, 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert model.classes_.tolist() == ["fast", "slow"]
    model.save_pretrained(tmp_path / "model")
    again = BrainClassifier.from_pretrained(tmp_path / "model").set_params(tr=2.0)
    np.testing.assert_array_equal(again.predict_proba(runs[20:]), probability)
    with pytest.raises(CheckpointError, match="regressor"):
        BrainRegressor.from_pretrained(tmp_path / "model")
    alone = model.predict_proba(runs[20:21])
    np.testing.assert_allclose(alone, probability[:1], atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns_numbers_and_survives_the_disk(cohort, encoder, mode, tmp_path) -> None:
    runs, y = cohort
    age = 20.0 + 30.0 * y + np.random.default_rng(0).normal(0, 2, len(y))
    model = BrainRegressor(
        **SHARED, **TRAINING[mode], encoder=FrozenEstimator(encoder), mode=mode
    ).fit(runs[:20], age[:20])
    predicted = model.predict(runs[20:])
    assert predicted.shape == (10,)
    assert np.corrcoef(predicted, age[20:])[0, 1] > 0.7
    model.save_pretrained(tmp_path / "model")
    again = BrainRegressor.from_pretrained(tmp_path / "model").set_params(tr=2.0)
    np.testing.assert_array_equal(again.predict(runs[20:]), predicted)


@pytest.fixture(scope="module")
def people():
    """Runs of people whose age is written plainly into their connectivity, and the ages."""
    effects = Effects(age=0.6, person=0.0, noise=0.5)
    cohort = simulate_cohort(
        40, n_regions=12, n_times=96, n_sites=1, effects=effects, random_state=3
    )
    return [run.values.T.copy() for run in cohort.runs], cohort.column("age").astype(float)


PAIRS = {"head": "connectivity", "steps": 1, "lr": 1e-9, "orientation": "time-region"}


@pytest.mark.parametrize("mode", ["attentive", "finetune"])
def test_a_head_on_pairs_of_regions_starts_as_ridge_regression(people, mode, tmp_path) -> None:
    runs, age = people
    model = BrainRegressor(**SHARED, **PAIRS, mode=mode).fit(runs[:30], age[:30])
    net, prepared = model.network_, model._runs(runs)[0]
    features = run_outputs(net, prepared, read=net.read_pairs)
    assert features.shape == (40, 66)
    ridge = RidgeProbe().fit(features[:30], age[:30])
    np.testing.assert_allclose(model.predict(runs), ridge.predict(features), atol=0.05)
    assert np.corrcoef(model.predict(runs[30:]), age[30:])[0, 1] > 0.5
    model.save_pretrained(tmp_path / "model")
    again = BrainRegressor.from_pretrained(tmp_path / "model").set_params(tr=2.0)
    np.testing.assert_array_equal(again.predict(runs), model.predict(runs))


def test_a_head_on_pairs_of_regions_starts_from_classes_and_columns(people) -> None:
    runs, age = people
    adult = (age > np.median(age)).astype(int)
    columns = np.stack([adult, 1.0 - adult], axis=1)
    columns[3, 0] = np.nan
    thirds = np.digitize(age, np.quantile(age, [0.33, 0.67]))
    for labels, least in ((adult, 0.7), (columns, 0.7), (thirds, 0.5)):
        model = BrainClassifier(**SHARED, **PAIRS, mode="finetune").fit(runs, labels)
        known = ~np.isnan(labels)
        assert (model.predict(runs) == labels)[known].mean() > least
    with pytest.raises(ConfigError, match="2 or more regions"):
        BrainClassifier(**SHARED, **PAIRS, mode="finetune").fit([x[:, :1] for x in runs], adult)


def test_several_columns_with_unknown_entries(cohort, encoder) -> None:
    runs, y = cohort
    columns = np.stack([y, 1.0 - y], axis=1).astype(float)
    columns[3, 0] = np.nan
    frozen = FrozenEstimator(encoder)
    for mode in ("linear", "attentive"):
        model = BrainClassifier(**SHARED, encoder=frozen, mode=mode, steps=5).fit(runs, columns)
        assert model.predict_proba(runs).shape == (30, 2)
        scores = np.stack([y * 10.0, y + 3.0], axis=1)
        scores[5, 1] = np.nan
        numbers = BrainRegressor(**SHARED, encoder=frozen, mode=mode, steps=5).fit(runs, scores)
        assert numbers.predict(runs).shape == (30, 2)
        assert np.isfinite(numbers.predict(runs)).all()


def test_without_an_encoder_weights_are_random_and_fine_tuning_is_from_scratch(cohort) -> None:
    runs, y = cohort
    model = BrainClassifier(**SHARED, mode="finetune", steps=3).fit(runs, y)
    assert model.network_ is not None
    assert not model.network_.frozen
    assert model._reader.training_["n_records"] == 0


def test_the_encoder_is_never_changed(cohort, encoder) -> None:
    runs, y = cohort
    before = {k: v.clone() for k, v in encoder.jepa_.state_dict().items()}
    BrainClassifier(**SHARED, encoder=FrozenEstimator(encoder), mode="finetune", steps=3).fit(
        runs, y
    )
    assert all(torch.equal(v, before[k]) for k, v in encoder.jepa_.state_dict().items())


def test_a_folder_is_an_encoder_and_a_bare_estimator_is_not(cohort, encoder, tmp_path) -> None:
    runs, y = cohort
    encoder.save_pretrained(tmp_path / "encoder")
    one = BrainClassifier(**SHARED, encoder=tmp_path / "encoder").fit(runs, y)
    other = BrainClassifier(**SHARED, encoder=FrozenEstimator(encoder)).fit(runs, y)
    np.testing.assert_array_equal(one.predict_proba(runs), other.predict_proba(runs))
    for wrong in (encoder, 3, FrozenEstimator(BrainGradients())):
        with pytest.raises(ConfigError, match="expected"):
            BrainClassifier(**SHARED, encoder=wrong).fit(runs, y)


def test_a_new_atlas_keeps_the_gradients_of_the_training_runs(encoder, tmp_path) -> None:
    runs, y = simulate_runs(12, n_regions=13, seed=4)
    model = BrainClassifier(
        **SHARED,
        encoder=FrozenEstimator(pickle.loads(pickle.dumps(encoder))),
        mode="finetune",
        steps=3,
        orientation="time-region",
    )
    with pytest.warns(PlausibilityWarning, match="fitted the gradients of an atlas of 13"):
        model.fit(runs, y)
    probability = model.predict_proba(runs[:2])
    model.save_pretrained(tmp_path / "model")
    again = BrainClassifier.from_pretrained(tmp_path / "model").set_params(tr=2.0)
    np.testing.assert_array_equal(again.predict_proba(runs[:2]), probability)


def test_fine_tuning_stops_early_on_held_out_subjects_and_keeps_the_best(cohort, encoder) -> None:
    runs, y = cohort
    subjects = np.repeat(np.arange(15), 2)
    options = {**SHARED, "encoder": FrozenEstimator(encoder), "mode": "finetune"}
    options |= {"steps": 400, "lr": 3e-2, "layer_decay": 0.75, "drop_path": 0.1}
    noise = np.random.default_rng(0).permutation(y)  # nothing to learn: held-out loss must rise
    model = BrainClassifier(**options, patience=3).fit(runs, noise, groups=subjects)
    losses = [row["val_loss"] for row in model.history_ if "val_loss" in row]
    assert model.history_[-1]["step"] < 400
    assert len(losses) - int(np.argmin(losses)) - 1 == 3
    again = BrainClassifier(**options, patience=3).fit(runs, noise, groups=subjects)
    np.testing.assert_array_equal(model.predict_proba(runs), again.predict_proba(runs))
    ages = BrainRegressor(**options | {"steps": 20}, patience=2).fit(runs, np.arange(30.0))
    assert np.isfinite(ages.predict(runs)).all()


def test_layer_decay_and_drop_path_act() -> None:
    config = BrainModelConfig(
        n_regions=4, n_times=16, patch=8, n_gradients=2, dim=8, depth=3, heads=2
    )
    config = replace(config, pred_dim=8, pred_depth=1, pred_heads=2)
    encoder = build_jepa(config).encoder
    options = {"head": "mean", "frozen": False, "seed": 0}
    net = make_net(encoder, np.eye(4)[:, :2], 1, drop_path=0.4, **options)
    rates = [block.drop_path.p for block in net.encoder.blocks]
    np.testing.assert_allclose(rates, [0.0, 0.2, 0.4])
    head = SupervisedHead(net, loss="mse", layer_decay=0.5, depth_of=BlockDepth(3))
    scale = {name: g.lr_scale for g in head.param_groups() for name in g.names}
    assert scale["network.fc.weight"] == scale["network.encoder.norm.weight"] == 1.0
    assert scale["network.encoder.blocks.2.attn.qkv.weight"] == 0.5
    assert scale["network.encoder.blocks.0.attn.qkv.weight"] == 0.125
    assert scale["network.encoder.patch_embed.proj.weight"] == 0.0625
    assert scale["network.encoder.positions.proj.weight"] == 0.0625


def test_with_layer_decay_early_blocks_learn_less_and_late_ones_as_much(cohort, encoder) -> None:
    runs, y = cohort
    start = encoder.jepa_.downstream_encoder.state_dict()
    options = {**SHARED, "encoder": FrozenEstimator(encoder), "mode": "finetune", "steps": 1}
    moved = {}
    for decay in (1.0, 0.1):
        model = BrainClassifier(**options, lr=1e-3, layer_decay=decay, drop_path=0.0).fit(runs, y)
        end = model.network_.encoder.state_dict()
        moved[decay] = {k: float((end[k] - start[k]).abs().max()) for k in start}
    depth = encoder.model_config_.depth
    for block in range(depth):
        name = f"blocks.{block}.attn.qkv.weight"
        share = moved[0.1][name] / moved[1.0][name]
        assert share == pytest.approx(0.1 ** (depth - block), rel=0.05), name
    assert moved[0.1]["norm.weight"] == pytest.approx(moved[1.0]["norm.weight"], rel=0.05)


def test_drop_path_drops_in_training_only() -> None:
    size = {"n_regions": 4, "n_times": 16, "patch": 8, "n_gradients": 2, "dim": 8, "depth": 2}
    size |= {"heads": 2, "pred_dim": 8, "pred_depth": 1, "pred_heads": 2}
    encoder = build_jepa(BrainModelConfig(**size)).encoder
    x = Signals(torch.randn(16, 4, 16, generator=torch.Generator().manual_seed(0)))
    outputs = {}
    for drop in (0.0, 0.9):
        net = make_net(
            encoder, np.eye(4)[:, :2], 1, head="mean", frozen=False, drop_path=drop, seed=0
        )
        with torch.no_grad():
            outputs[drop] = net.eval()(x), net.train()(x), net.train()(x)
    kept, first, again = outputs[0.0]
    assert torch.equal(kept, first)
    assert torch.equal(first, again)
    kept_too, first, again = outputs[0.9]
    assert torch.equal(kept_too, kept)
    assert not torch.allclose(first, kept)
    assert not torch.allclose(first, again)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"mode": "probe"}, "expected mode"),
        ({"patience": 0}, "patience"),
        ({"validation_fraction": 0.9}, "validation_fraction"),
        ({"head": "mean"}, "expected head"),
        ({"mode": "attentive", "head": "cls"}, "expected head"),
        ({"pool": "max"}, "expected pool"),
    ],
)
def test_impossible_settings_are_refused(cohort, setting, message) -> None:
    runs, y = cohort
    with pytest.raises(ConfigError, match=message):
        BrainClassifier(**SHARED | setting).fit(runs, y)


def test_labels_that_cannot_be_used_are_refused(cohort) -> None:
    runs, y = cohort
    with pytest.raises(DataError, match="one class only"):
        BrainClassifier(**SHARED).fit(runs, np.zeros(30))
    for age in (np.full(30, np.nan), [None] * 30, ["old"] * 30, np.zeros(29)):
        with pytest.raises(DataError, match="expected"):
            BrainRegressor(**SHARED).fit(runs, age)
