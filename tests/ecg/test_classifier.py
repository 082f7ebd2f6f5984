"""ECGClassifier: three modes, unknown labels, the 3-D side of scikit-learn's contract, saving."""

from __future__ import annotations

import copy
import json
import pickle
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from biojepa.data.simulate import simulate_ecg
from biojepa.data.simulated_cohort import ECGCohort
from biojepa.ecg import finetune
from biojepa.ecg.classifier import ECGClassifier
from biojepa.ecg.estimator import ECGJEPA
from biojepa.errors import CheckpointError, ConfigError, DataError, MissingLeadWarning
from biojepa.evaluation.metrics import macro_auc, per_class_auc

MODES = ("linear", "attentive", "finetune")
NAN = float("nan")


@cache
def _cohort(n: int = 24) -> ECGCohort:
    return simulate_ecg(n, rate_hz=100, random_state=1)


@cache
def _jepa() -> ECGJEPA:
    cohort = _cohort()
    jepa = ECGJEPA(preset="tiny", fs=100, leads=cohort.leads, steps=2, random_state=0)
    return jepa.fit(cohort.values)


def _classifier(mode: str = "linear", **options) -> ECGClassifier:
    if mode != "linear":
        options = {"steps": 3, "batch_size": 8} | options
    options = {"preset": "tiny", "leads": _cohort().leads, "random_state": 0} | options
    return ECGClassifier(mode=mode, fs=100, **options)


def _columns() -> np.ndarray:
    y = _cohort().y[:, :3].astype(float)
    y[0], y[1] = 1, 0
    return y


def test_linear_mode_finds_rhythm_and_conduction_and_shuffled_labels_give_chance() -> None:
    cohort = simulate_ecg(400, rate_hz=100, random_state=0)
    names = ("NORM", "CD", "HYP")
    fast = np.isin(cohort.rhythm, ["STACH", "AFIB"])
    y = np.column_stack([cohort.y[:, [cohort.classes.index(c) for c in names]], fast])
    train = cohort.patient_id % 2 == 0
    classifier = ECGClassifier(
        preset="tiny", fs=100, leads=cohort.leads, scale=True, random_state=0
    )
    classifier.fit(cohort.values[train], y[train])
    auc = per_class_auc(y[~train], classifier.predict_proba(cohort.values[~train]))["auc"]
    assert auc.min() > 0.6
    assert auc.mean() > 0.7
    shuffled = np.random.default_rng(0).permutation(y[train])
    classifier.fit(cohort.values[train], shuffled)
    control = per_class_auc(y[~train], classifier.predict_proba(cohort.values[~train]))["auc"]
    assert abs(control.mean() - 0.5) < 0.1


@pytest.mark.parametrize("mode", MODES)
def test_columns_with_unknown_labels_fit_and_predict(mode: str) -> None:
    X, y = _cohort().values, _columns()
    y[4:8, 1], y[9] = NAN, NAN
    classifier = _classifier(mode).fit(X, y)
    proba = classifier.predict_proba(X)
    assert proba.shape == (24, 3)
    assert ((proba > 0) & (proba < 1)).all()
    scores = classifier.decision_function(X)
    np.testing.assert_array_equal(classifier.predict(X), (scores > 0).astype(float))
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-scores)), atol=1e-12)
    assert [c.tolist() for c in classifier.classes_] == [[0, 1]] * 3


@pytest.mark.parametrize("mode", ["attentive", "finetune"])
def test_an_unknown_label_does_not_count_whatever_the_others_are(mode: str) -> None:
    X, y = _cohort().values, _columns()
    y[5] = NAN
    others = np.delete(np.arange(24), 5)
    whole = _classifier(mode, batch_size=24).fit(X, y).decision_function(X)
    without = _classifier(mode, batch_size=24).fit(X[others], y[others]).decision_function(X)
    np.testing.assert_allclose(whole, without, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("names", [["AF", "SR"], ["a", "b", "c"]])
def test_classes_of_any_name(mode: str, names: list[str]) -> None:
    X = _cohort().values
    y = np.array(names)[np.arange(24) % len(names)]
    classifier = _classifier(mode).fit(X, y)
    proba = classifier.predict_proba(X)
    assert classifier.classes_.tolist() == names
    np.testing.assert_allclose(proba.sum(1), 1)
    assert (classifier.predict(X) == classifier.classes_[proba.argmax(1)]).all()
    assert classifier.decision_function(X).shape == ((24,) if len(names) == 2 else (24, 3))


@pytest.mark.parametrize("mode", MODES)
def test_refit_clone_and_pickle_give_the_same_numbers(mode: str) -> None:
    X, y = _cohort().values, _columns()
    classifier = _classifier(mode, encoder=FrozenEstimator(_jepa())).fit(X, y)
    first = classifier.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(X), first)
    np.testing.assert_array_equal(clone(classifier).fit(X, y).predict_proba(X), first)
    np.testing.assert_array_equal(classifier.fit(X, y).predict_proba(X), first)


@pytest.mark.parametrize("mode", MODES)
def test_subsets_orders_and_lengths_of_X_do_not_matter(mode: str) -> None:
    X, y = _cohort().values, _columns()
    classifier = _classifier(mode).fit(X, y)
    whole = classifier.predict_proba(X)
    order = np.random.default_rng(0).permutation(24)
    np.testing.assert_allclose(classifier.predict_proba(X[order]), whole[order], atol=1e-5)
    np.testing.assert_allclose(classifier.predict_proba(X[3:4]), whole[3:4], atol=1e-5)
    mixed = [X[0], X[1][:, :30], X[2][:, :300], X[3][:, :999]]
    together = classifier.predict_proba(mixed)
    alone = np.concatenate([classifier.predict_proba([x]) for x in mixed])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together[0], whole[0], atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_of_the_callers_changes(mode: str) -> None:
    X, y = _cohort().values.copy(), _columns()
    X.setflags(write=False)
    jepa = _jepa()
    weights = copy.deepcopy(jepa.jepa_.state_dict())
    grads = {k: p.requires_grad for k, p in jepa.jepa_.named_parameters()}
    before = (np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    classifier = _classifier(mode, encoder=FrozenEstimator(jepa), random_state=None).fit(X, y)
    classifier.predict(X)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(X, _cohort().values)
    assert all(torch.equal(v, weights[k]) for k, v in jepa.jepa_.state_dict().items())
    assert {k: p.requires_grad for k, p in jepa.jepa_.named_parameters()} == grads


def test_only_finetuning_moves_its_copy_of_the_encoder() -> None:
    X, y = _cohort().values, _columns()
    given = _jepa().jepa_.downstream_encoder.state_dict()
    for mode, moved in (("attentive", False), ("finetune", True)):
        network = _classifier(mode, encoder=FrozenEstimator(_jepa())).fit(X, y).network_
        own = network.encoder.state_dict()
        assert all(torch.equal(own[k], v) for k, v in given.items()) != moved
        assert not network.training
    assert network.head == "register"


def test_training_from_scratch_learns() -> None:
    X = _cohort().values.copy()
    y = np.arange(24) % 2
    X[y == 1] = X[y == 1][..., ::-1]  # time backwards
    classifier = _classifier("finetune", steps=60, batch_size=24).fit(X, y)
    assert macro_auc(y, classifier.decision_function(X)) > 0.9
    assert classifier.history_[-1]["loss"] < 0.8 * classifier.history_[0]["loss"]


def test_early_stopping_keeps_the_best_weights_on_other_patients(monkeypatch) -> None:
    X, y = _cohort().values, _columns()
    groups = np.arange(24) // 2
    looked_at: list[list[int]] = []
    scores = iter([0.6, 0.9, 0.7, 0.8, 0.7])
    weights: list[dict] = []

    def auc(truth, logits) -> float:
        looked_at.append([np.flatnonzero((y == row).all(1)).tolist() for row in truth])
        return next(scores)

    real = finetune.record_logits

    def logits(network, records, crops):
        weights.append(copy.deepcopy(network.state_dict()))
        return real(network, records, crops)

    monkeypatch.setattr(finetune, "macro_auc", auc)
    monkeypatch.setattr(finetune, "record_logits", logits)
    classifier = _classifier(
        "finetune", steps=30, patience=2, evaluate_every=3, validation_fraction=0.25
    ).fit(X, y, groups=groups)
    assert classifier.history_[-1]["step"] == 12  # best at 6, then two evaluations without better
    assert 2 <= len(looked_at[0]) <= 10
    own = classifier.network_.state_dict()
    assert all(torch.equal(own[k], v) for k, v in weights[1].items())
    assert not all(torch.equal(own[k], v) for k, v in weights[3].items())


def test_held_out_records_share_no_patient_with_training(monkeypatch) -> None:
    groups = np.arange(24) // 3
    seen: dict[str, np.ndarray] = {}
    real = finetune.patient_folds

    def folds(own, *args, **kwargs):
        train, held = real(own, *args, **kwargs)[0]
        seen["train"], seen["held"] = np.asarray(own)[train], np.asarray(own)[held]
        return [(train, held)]

    monkeypatch.setattr(finetune, "patient_folds", folds)
    _classifier("attentive", patience=1, validation_fraction=0.5).fit(
        _cohort().values, _columns(), groups=groups
    )
    assert set(seen["train"]).isdisjoint(seen["held"])
    assert len(seen["held"]) >= 6


@pytest.mark.parametrize("mode", ["linear", "attentive"])
def test_balanced_weights_favour_the_rare_class(mode: str) -> None:
    X = _cohort().values
    y = np.array(["common"] * 20 + ["rare"] * 4)
    options = {"steps": 40} if mode == "attentive" else {}
    plain, balanced = (
        _classifier(mode, class_weight=weight, **options).fit(X, y).predict_proba(X)[:, 1].mean()
        for weight in (None, "balanced")
    )
    assert balanced > plain + 0.1


def test_layer_decay_slows_the_layers_near_the_input() -> None:
    X, y = _cohort().values, _columns()
    start = _jepa().jepa_.downstream_encoder.state_dict()["patch_embed.proj.weight"]
    moves = []
    for decay in (1.0, 0.1):
        network = (
            _classifier("finetune", encoder=FrozenEstimator(_jepa()), layer_decay=decay)
            .fit(X, y)
            .network_
        )
        weight = network.encoder.state_dict()["patch_embed.proj.weight"]
        moves.append(float((weight - start).abs().mean()))
    assert moves[1] < 0.01 * moves[0]
    depth = finetune.BlockDepth(2)
    names = (
        "encoder.registers",
        "encoder.blocks.1.norm1.weight",
        "encoder.norm.weight",
        "fc.weight",
    )
    assert [depth(name) for name in names] == [0, 2, 3, 3]


def test_grid_search_in_two_processes_pipelines_and_groups() -> None:
    X, y = _cohort().values, np.arange(24) % 2
    classifier = _classifier(encoder=FrozenEstimator(_jepa()))
    search = GridSearchCV(classifier, {"C": [0.01, 1.0], "pool": ["mean"]}, cv=2, n_jobs=2)
    search.fit(X, y)
    assert search.predict(X).shape == (24,)
    pipeline = make_pipeline(FunctionTransformer(np.negative), classifier)
    groups = np.arange(24) // 4
    scores = cross_val_score(
        pipeline, X, y, groups=groups, cv=GroupKFold(3), scoring="roc_auc", error_score="raise"
    )
    assert scores.shape == (3,)
    columns = make_scorer(macro_auc, response_method="predict_proba")
    scores = cross_val_score(
        classifier,
        X,
        _columns(),
        groups=groups,
        cv=GroupKFold(2),
        scoring=columns,
        error_score="raise",
    )
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["columns", "names", "numbers"])
def test_a_saved_classifier_predicts_the_same(mode: str, kind: str, tmp_path) -> None:
    X, y = _cohort().values, _columns()
    if kind != "columns":
        y = np.array(["x", "y", "z"] if kind == "names" else [3, 5, 9])[np.arange(24) % 3]
    classifier = _classifier(mode, encoder=FrozenEstimator(_jepa()), crop_s=4.0).fit(X, y)
    classifier.save_pretrained(tmp_path / "model")
    again = ECGClassifier.from_pretrained(tmp_path / "model")
    again.set_params(fs=100, leads=_cohort().leads)
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    predicted = again.predict(X)
    np.testing.assert_array_equal(predicted, classifier.predict(X))
    assert predicted.dtype == classifier.predict(X).dtype
    assert again.mode == mode
    again.save_pretrained(tmp_path / "again")
    folders = [tmp_path / name / "SHA256SUMS" for name in ("model", "again")]
    assert folders[0].read_text() == folders[1].read_text()


def test_a_model_folder_is_an_encoder(tmp_path) -> None:
    X, y = _cohort().values, _columns()
    _jepa().save_pretrained(tmp_path / "encoder")
    by_path = _classifier(encoder=tmp_path / "encoder").fit(X, y).predict_proba(X)
    by_hand = _classifier(encoder=FrozenEstimator(_jepa())).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(by_path, by_hand, atol=1e-6)
    with pytest.raises(CheckpointError, match="classifier"):
        ECGClassifier.from_pretrained(tmp_path / "encoder")


def test_a_damaged_classifier_is_refused(tmp_path) -> None:
    _classifier().fit(_cohort().values, _columns()).save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    content = json.loads(config.read_text())
    content["labels"]["classes"] = [0, 1, 2, 3]
    config.write_text(json.dumps(content))
    with pytest.raises(CheckpointError):
        ECGClassifier.from_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="4 classes"):
        ECGClassifier.from_pretrained(tmp_path / "model", verify=False)


def test_leads_come_by_name_and_a_missing_one_is_told() -> None:
    X, y, leads = _cohort().values, _columns(), _cohort().leads
    classifier = _classifier().fit(X, y)
    order = np.random.default_rng(0).permutation(12)
    turned = copy.deepcopy(classifier).set_params(leads=[leads[i] for i in order])
    np.testing.assert_allclose(
        turned.predict_proba(X[:, order]), classifier.predict_proba(X), atol=1e-5
    )
    turned.set_params(leads=leads[:11], on_missing="drop")
    with pytest.warns(MissingLeadWarning, match="V6"):
        turned.predict_proba(X[:, :11])
    assert turned.missing_leads_ == ("V6",)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mode": "probe"}, "mode"),
        ({"head": "mean"}, "head"),
        ({"mode": "finetune", "head": "cls", "steps": 1}, "head"),
        ({"pool": "max"}, "pool"),
        ({"class_weight": "even"}, "class_weight"),
        ({"validation_fraction": 0.9}, "validation_fraction"),
        ({"mode": "finetune", "crop_s": 0.0, "steps": 1}, "crop_s"),
        ({"encoder": 3}, "int"),
        ({"encoder": ECGJEPA(preset="tiny")}, "FrozenEstimator"),
        ({"encoder": FrozenEstimator(ECGClassifier())}, "ECGClassifier"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        _classifier(**options).fit(_cohort().values, _columns())


def test_a_bare_fitted_encoder_is_refused_with_the_fix() -> None:
    with pytest.raises(ConfigError, match=r"FrozenEstimator\(encoder\).*save_pretrained"):
        _classifier(encoder=_jepa()).fit(_cohort().values, _columns())


def test_labels_and_groups_of_another_number_are_refused() -> None:
    with pytest.raises(DataError, match="24 records and 23 labels"):
        _classifier().fit(_cohort().values, _columns()[:-1])
    with pytest.raises(DataError, match="24 patients in groups, got 3"):
        _classifier().fit(_cohort().values, _columns(), groups=[1, 2, 3])
